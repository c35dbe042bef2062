//! The module: what it asks, and that it serves pages.

use ad_contract::GetAds;
use cart_contract::{AddItem, EmptyCart, GetCart};
use catalog_contract::{FindProducts, GetProduct, ListProducts};
use checkout_contract::{GetOrder, PlaceOrder};
use currency_contract::{ConvertAll, ListCurrencies};
use modulith_edge::{Pages, actix_web::web::ServiceConfig};
use modulith_kernel::{Declaration, Module, Port, Setup, SetupError};
use recommendation_contract::ListRecommendations;
use shipping_contract::GetQuote;

use crate::routes;

/// The web pages of the boutique.
#[derive(Debug)]
pub struct Storefront;

impl Module for Storefront {
    const NAME: &'static str = "storefront";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .asks::<ListProducts>()
            .asks::<GetProduct>()
            .asks::<FindProducts>()
            .asks::<ListCurrencies>()
            .asks::<ConvertAll>()
            .asks::<GetCart>()
            .asks::<AddItem>()
            .asks::<EmptyCart>()
            .asks::<GetQuote>()
            .asks::<PlaceOrder>()
            .asks::<GetOrder>()
            .asks::<ListRecommendations>()
            .asks::<GetAds>();
    }
}

impl Pages for Storefront {
    fn routes(port: Port, config: &mut ServiceConfig) {
        routes::configure(port, config);
    }
}
