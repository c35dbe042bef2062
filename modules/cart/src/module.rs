//! The module itself: what it declares, and how each message is handled.

use cart_contract::{AddItem, CartItem, CartSize, EmptyCart, GetCart, ItemAdded, ShopperId, TakeBought};
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
            .handles::<TakeBought>()
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
        let mut cart = read(&command.shopper, tx)?;
        if rules::empty(&mut cart) {
            tx.put(&CARTS, &command.shopper, &cart.into())?;
        }
        Ok(())
    }
}

impl Handle<TakeBought> for Cart {
    fn handle(&self, command: TakeBought, tx: &mut Tx<'_>) -> Outcome<TakeBought> {
        let TakeBought {
            shopper,
            generation,
            items,
        } = command;
        Ok(take_bought(&shopper, generation, &items, tx)?)
    }
}

/// Usually finds it already taken out: checkout has asked for it before its order was confirmed.
/// The event makes up for a [`TakeBought`] that never arrived.
impl Listen<OrderPlaced> for Cart {
    fn listen(&self, event: OrderPlaced, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let items = event.order.items.into_iter().map(|line| line.item);
        let items: Vec<_> = items.collect();
        take_bought(&event.shopper, event.cart_generation, &items, tx)
    }
}

impl Answer<GetCart> for Cart {
    async fn answer(&self, query: GetCart, context: &Context) -> Outcome<GetCart> {
        let stored = context.snapshot()?.get(&CARTS, &query.shopper)?;
        Ok(stored.map(cart_contract::Cart::from).unwrap_or_default())
    }
}

fn take_bought(
    shopper: &ShopperId,
    generation: u64,
    items: &[CartItem],
    tx: &mut Tx<'_>,
) -> Result<(), Fault> {
    let mut cart = read(shopper, tx)?;
    if rules::take_bought(&mut cart, generation, items) {
        tx.put(&CARTS, shopper, &cart.into())?;
    }
    Ok(())
}

/// The shopper's cart; an empty one for a shopper nobody knows.
fn read(shopper: &ShopperId, tx: &Tx<'_>) -> Result<cart_contract::Cart, Fault> {
    let stored = tx.get(&CARTS, shopper)?;
    Ok(stored.map(cart_contract::Cart::from).unwrap_or_default())
}
