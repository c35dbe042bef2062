//! The cart: looking at it, adding to it, emptying it.

use std::num::NonZeroU32;

use cart_contract::{AddItem, Cart, CartItem, EmptyCart, GetCart};
use catalog_contract::{FindProducts, GetProduct, GetProductRefusal, Product, ProductId};
use currency_contract::Money;
use futures_util::future::join3;
use modulith_edge::actix_web::{HttpResponse, http::StatusCode};
use modulith_kernel::Stop;
use shipping_contract::GetQuote;

use crate::{
    browse::{cards, converted, recommended, shown},
    form,
    page::{self, CheckoutForm, Line},
    trouble::{Trouble, asked, failed},
    visit::{Typed, Visit, pieces},
};

pub(crate) async fn view(visit: Visit) -> HttpResponse {
    let fresh = CheckoutForm {
        order_key: visit.order_key(),
        ..CheckoutForm::default()
    };
    match draw(&visit, fresh, None).await {
        Ok((_, page)) => visit.page(StatusCode::OK, page),
        Err(trouble) => trouble.respond(&visit).await,
    }
}

pub(crate) async fn add(visit: Visit, typed: Typed) -> HttpResponse {
    match try_add(&visit, &typed).await {
        Ok(()) => visit.redirect("/cart"),
        Err(trouble) => trouble.respond(&visit).await,
    }
}

async fn try_add(visit: &Visit, typed: &Typed) -> Result<(), Trouble> {
    let quantity = form::quantity(typed.field("quantity")).map_err(Trouble::invalid)?;
    let product = ProductId::new(typed.field("product_id")).map_err(|_| unknown_product())?;
    let known = visit
        .port
        .ask(GetProduct {
            id: product.clone(),
        })
        .await;
    known.map_err(|stop| match stop {
        Stop::Refused(GetProductRefusal::UnknownProduct { .. }) => unknown_product(),
        fault @ Stop::Fault(_) => failed::<GetProduct>(&fault),
    })?;
    let item = CartItem { product, quantity };
    let add = AddItem {
        shopper: visit.shopper.clone(),
        item,
    };
    visit
        .port
        .ask(add)
        .await
        .map(|_| ())
        .map_err(|stop| match stop {
            Stop::Refused(refusal) => Trouble::invalid(form::sentence(&refusal)),
            fault @ Stop::Fault(_) => failed::<AddItem>(&fault),
        })
}

fn unknown_product() -> Trouble {
    Trouble::invalid("We do not sell that product.".to_string())
}

pub(crate) async fn empty(visit: Visit) -> HttpResponse {
    let command = EmptyCart {
        shopper: visit.shopper.clone(),
    };
    match asked::<EmptyCart>(visit.port.ask(command).await) {
        Ok(()) => visit.redirect("/"),
        Err(trouble) => trouble.respond(&visit).await,
    }
}

/// Draws the cart with the checkout form as far as it was filled in, and says how many pieces
/// are in it.
pub(crate) async fn draw(
    visit: &Visit,
    checkout: CheckoutForm,
    declined: Option<String>,
) -> Result<(u32, maud::Markup), Trouble> {
    let cart = asked::<GetCart>(
        visit
            .port
            .ask(GetCart {
                shopper: visit.shopper.clone(),
            })
            .await,
    )?;
    let count = pieces(&cart);
    let frame = visit.frame_with(count);
    let ids: Vec<_> = cart.items.iter().map(|item| item.product.clone()).collect();
    let (products, quote, recommended) = join3(
        visit.port.ask(FindProducts { ids: ids.clone() }),
        visit.port.ask(GetQuote {
            address: None,
            items: cart.items.clone(),
        }),
        recommended(visit, ids),
    )
    .await;
    let products = asked::<FindProducts>(products)?;
    let quote = asked::<GetQuote>(quote)?;
    let recommendations = cards(visit, recommended).await?;
    let lines = matched(&cart, products);
    let prices = lines
        .iter()
        .map(|(_, product)| product.price.clone())
        .chain([quote])
        .collect();
    let mut prices = converted(visit, prices).await?;
    let shipping = prices
        .pop()
        .expect("as many amounts come back as were sent");
    let total = total(&lines, &prices, &shipping)?;
    let lines = lines
        .iter()
        .zip(&prices)
        .map(|((item, product), price)| {
            let line_price = price.times(item.quantity.get());
            let line_price = line_price.map_err(|error| Trouble::internal(&error))?;
            Ok(line(item.quantity, product, price, &line_price))
        })
        .collect::<Result<_, Trouble>>()?;
    let view = page::Cart {
        lines,
        shipping: shown(&shipping),
        total: shown(&total),
        checkout,
        declined,
        recommendations,
    };
    Ok((count, page::cart(&frame, &view)))
}

/// The cart's items with their products; an item no longer sold is left out.
fn matched(cart: &Cart, products: Vec<Product>) -> Vec<(CartItem, Product)> {
    let product = |item: &CartItem| products.iter().find(|p| p.id == item.product).cloned();
    cart.items
        .iter()
        .filter_map(|item| Some((item.clone(), product(item)?)))
        .collect()
}

fn total(
    lines: &[(CartItem, Product)],
    prices: &[Money],
    shipping: &Money,
) -> Result<Money, Trouble> {
    let mut total = shipping.clone();
    for ((item, _), price) in lines.iter().zip(prices) {
        let line = price.times(item.quantity.get());
        let sum = line.and_then(|line| total.plus(&line));
        total = sum.map_err(|error| Trouble::internal(&error))?;
    }
    Ok(total)
}

pub(crate) fn line(
    quantity: NonZeroU32,
    product: &Product,
    price: &Money,
    line_price: &Money,
) -> Line {
    Line {
        product_id: product.id.to_string(),
        name: product.name.clone(),
        picture: product.picture.clone(),
        quantity: quantity.get(),
        unit_price: shown(price),
        line_price: shown(line_price),
    }
}
