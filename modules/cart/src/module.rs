//! The module itself: what it declares, and how each message is handled.

use cart_contract::{AddItem, CartSize, EmptyCart, GetCart, ItemAdded, ShopperId};
use checkout_contract::OrderPlaced;
use modulith_kernel::{
    Answer, Context, Declaration, Fault, Handle, Listen, Module, Outcome, Setup, SetupError, Tx,
};

use crate::{rules, store::CARTS};

/// Keeps what each shopper has chosen.
#[derive(Debug)]
pub struct Cart;

impl Module for Cart {
    const NAME: &'static str = "cart";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<AddItem>()
            .handles::<EmptyCart>()
            .answers::<GetCart>()
            .publishes::<ItemAdded>()
            .listens::<OrderPlaced>();
    }
}

impl Handle<AddItem> for Cart {
    fn handle(&self, command: AddItem, tx: &mut Tx<'_>) -> Outcome<AddItem> {
        let AddItem { shopper, item } = command;
        let mut cart = read(&shopper, tx)?;
        let size: CartSize = rules::add(&mut cart, item.clone())?;
        tx.put(&CARTS, &shopper, &cart.into())?;
        tx.publish(&ItemAdded { shopper, item })?;
        Ok(size)
    }
}

impl Handle<EmptyCart> for Cart {
    fn handle(&self, command: EmptyCart, tx: &mut Tx<'_>) -> Outcome<EmptyCart> {
        Ok(empty(&command.shopper, command.generation, tx)?)
    }
}

/// Usually finds the cart already emptied: checkout has asked for it before its order was
/// confirmed. The event makes up for an [`EmptyCart`] that never arrived.
impl Listen<OrderPlaced> for Cart {
    fn listen(&self, event: OrderPlaced, tx: &mut Tx<'_>) -> Result<(), Fault> {
        empty(&event.shopper, Some(event.cart_generation), tx)
    }
}

impl Answer<GetCart> for Cart {
    async fn answer(&self, query: GetCart, context: &Context) -> Outcome<GetCart> {
        let stored = context.snapshot()?.get(&CARTS, &query.shopper)?;
        Ok(stored.map(cart_contract::Cart::from).unwrap_or_default())
    }
}

fn empty(shopper: &ShopperId, generation: Option<u64>, tx: &mut Tx<'_>) -> Result<(), Fault> {
    let mut cart = read(shopper, tx)?;
    if rules::empty(&mut cart, generation) {
        tx.put(&CARTS, shopper, &cart.into())?;
    }
    Ok(())
}

/// The shopper's cart; an empty one for a shopper nobody knows.
fn read(shopper: &ShopperId, tx: &Tx<'_>) -> Result<cart_contract::Cart, Fault> {
    let stored = tx.get(&CARTS, shopper)?;
    Ok(stored.map(cart_contract::Cart::from).unwrap_or_default())
}
