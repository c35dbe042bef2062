//! The module itself: what it declares, and who handles each message.

use cart_contract::{GetCart, TakeBought};
use catalog_contract::FindProducts;
use checkout_contract::{GetOrder, GetOrderRefusal, OrderPlaced, PlaceOrder};
use currency_contract::ConvertAll;
use email_contract::SendConfirmation;
use modulith_kernel::{Answer, Conduct, Context, Declaration, Flow, Module, Outcome, Setup, SetupError};
use payment_contract::{Charge, Refund};
use shipping_contract::{CancelShipment, GetQuote, ShipOrder};

use crate::{placing, store::ORDERS};

/// Places orders, and keeps them.
#[derive(Debug)]
pub struct Checkout;

impl Module for Checkout {
    const NAME: &'static str = "checkout";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .conducts::<PlaceOrder>()
            .answers::<GetOrder>()
            .publishes::<OrderPlaced>()
            .asks::<GetCart>()
            .asks::<FindProducts>()
            .asks::<GetQuote>()
            .asks::<ConvertAll>()
            .asks::<Charge>()
            .asks::<Refund>()
            .asks::<ShipOrder>()
            .asks::<CancelShipment>()
            .asks::<TakeBought>()
            .asks::<SendConfirmation>();
    }
}

impl Conduct<PlaceOrder> for Checkout {
    async fn conduct(&self, command: PlaceOrder, flow: &Flow) -> Outcome<PlaceOrder> {
        placing::place(command, flow).await
    }
}

impl Answer<GetOrder> for Checkout {
    async fn answer(&self, query: GetOrder, context: &Context) -> Outcome<GetOrder> {
        match context.snapshot()?.get(&ORDERS, &query.id)? {
            Some(stored) => Ok(stored.into_order(query.id)?),
            None => Err(GetOrderRefusal::UnknownOrder { id: query.id }.into()),
        }
    }
}
