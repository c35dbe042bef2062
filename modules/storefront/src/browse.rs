//! Looking around: the home page, a product's page, and a page that is not there.

use std::time::Duration;

use ad_contract::GetAds;
use catalog_contract::{
    FindProducts, GetProduct, GetProductRefusal, ListProducts, Product, ProductId,
};
use currency_contract::{ConvertAll, ConvertRefusal, Money};
use futures_util::future::{join, join3};
use modulith_edge::actix_web::{HttpResponse, http::StatusCode, web::Path};
use modulith_kernel::Stop;
use recommendation_contract::ListRecommendations;
use tracing::debug;

use crate::{
    page::{self, ProductCard},
    trouble::{Trouble, asked, failed},
    visit::{EXTRAS_TIMEOUT, Visit},
};

/// How long an ad may keep a page.
const AD_TIMEOUT: Duration = Duration::from_millis(100);

/// How many recommendations a page shows.
const RECOMMENDATIONS: usize = 4;

pub(crate) async fn home(visit: Visit) -> HttpResponse {
    match draw_home(&visit).await {
        Ok(page) => page,
        Err(trouble) => trouble.respond(&visit).await,
    }
}

async fn draw_home(visit: &Visit) -> Result<HttpResponse, Trouble> {
    let (frame, products) = join(visit.frame(), visit.port.ask(ListProducts {})).await;
    let products = asked::<ListProducts>(products)?;
    let products = cards(visit, products).await?;
    Ok(visit.page(StatusCode::OK, page::home(&frame, &page::Home { products })))
}

pub(crate) async fn product(visit: Visit, id: Path<String>) -> HttpResponse {
    match draw_product(&visit, &id).await {
        Ok(page) => page,
        Err(trouble) => trouble.respond(&visit).await,
    }
}

async fn draw_product(visit: &Visit, id: &str) -> Result<HttpResponse, Trouble> {
    let id = ProductId::new(id).map_err(|_| Trouble::not_found())?;
    let product = visit
        .port
        .ask(GetProduct { id: id.clone() })
        .await
        .map_err(|stop| match stop {
            Stop::Refused(GetProductRefusal::UnknownProduct { .. }) => Trouble::not_found(),
            fault @ Stop::Fault(_) => failed::<GetProduct>(&fault),
        })?;
    let categories = product.categories.clone();
    let (frame, recommended, ad) = join3(
        visit.frame(),
        recommended(visit, vec![id]),
        ad(visit, categories),
    )
    .await;
    // One conversion for the product and its recommendations together.
    let mut cards = cards(
        visit,
        std::iter::once(product.clone())
            .chain(recommended)
            .collect(),
    )
    .await?
    .into_iter();
    let own = cards.next().unwrap_or_default();
    let view = page::Product {
        id: own.id,
        name: own.name,
        description: product.description,
        picture: own.picture,
        price: own.price,
        categories: product.categories,
        recommendations: cards.collect(),
        ad,
    };
    Ok(visit.page(StatusCode::OK, page::product(&frame, &view)))
}

pub(crate) async fn nowhere(visit: Visit) -> HttpResponse {
    Trouble::not_found().respond(&visit).await
}

/// Products that go with others; none when nobody answers in time.
pub(crate) async fn recommended(visit: &Visit, products: Vec<ProductId>) -> Vec<Product> {
    let found = async {
        let port = visit.port.within(EXTRAS_TIMEOUT);
        let mut ids = port.ask(ListRecommendations { products }).await?;
        ids.truncate(RECOMMENDATIONS);
        port.ask(FindProducts { ids }).await
    };
    found.await.unwrap_or_else(|fault| {
        debug!(%fault, "a page goes without recommendations");
        Vec::new()
    })
}

/// An ad that fits; none when nobody answers in time.
async fn ad(visit: &Visit, categories: Vec<String>) -> Option<page::Ad> {
    match visit
        .port
        .ask_within(GetAds { categories }, AD_TIMEOUT)
        .await
    {
        Ok(ads) => ads.into_iter().next().map(|ad| page::Ad {
            text: ad.text,
            href: ad.redirect_url,
        }),
        Err(fault) => {
            debug!(%fault, "a page goes without an ad");
            None
        }
    }
}

/// Products with their prices in the shopper's currency.
pub(crate) async fn cards(
    visit: &Visit,
    products: Vec<Product>,
) -> Result<Vec<ProductCard>, Trouble> {
    let prices = products
        .iter()
        .map(|product| product.price.clone())
        .collect();
    let prices = converted(visit, prices).await?;
    let card = |(product, price): (Product, Money)| ProductCard {
        id: product.id.to_string(),
        name: product.name,
        picture: product.picture,
        price: shown(&price),
    };
    Ok(products.into_iter().zip(prices).map(card).collect())
}

/// Amounts in the shopper's currency.
pub(crate) async fn converted(visit: &Visit, from: Vec<Money>) -> Result<Vec<Money>, Trouble> {
    let to = visit.currency.clone();
    visit
        .port
        .ask(ConvertAll { from, to })
        .await
        .map_err(|stop| match stop {
            // A cookie from elsewhere, or a currency that is no longer quoted.
            Stop::Refused(ConvertRefusal::UnknownCurrency { code }) => Trouble::invalid(format!(
                "We have no prices in {code}; please choose another."
            )),
            Stop::Refused(refusal) => Trouble::internal(&refusal),
            fault @ Stop::Fault(_) => failed::<ConvertAll>(&fault),
        })
}

pub(crate) fn shown(money: &Money) -> String {
    page::price(money.currency().as_str(), money.units(), money.nanos())
}
