//! The modules of the shop that are not the real ones, and the ledger.

use cart_contract::{AddItem, GetCart, ItemAdded, ShopperId};
use checkout_contract::{GetOrder, OrderId, OrderPlaced, PlaceOrder};
use email_contract::SendConfirmation;
use modulith_contract::{Query, Schema};
use modulith_kernel::{
    Answer, Context, Declaration, Fault, Handle, Listen, Module, Outcome, Setup, SetupError, Table,
    Tx,
};
use payment_contract::FindCharge;
use recommendation_contract::ListRecommendations;
use serde::{Deserialize, Serialize};

/// Stands where the storefront is: asks for shoppers, and for the audit.
pub(super) struct Storefront;

impl Module for Storefront {
    const NAME: &'static str = "storefront";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .asks::<AddItem>()
            .asks::<GetCart>()
            .asks::<PlaceOrder>()
            .asks::<GetOrder>()
            .asks::<ListRecommendations>()
            .asks::<FindCharge>()
            .asks::<FindLetter>()
            .asks::<ListPlaced>()
            .asks::<ListAdded>();
    }
}

/// Whether an order's letter was sent.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "email", reply = bool)]
pub(super) struct FindLetter {
    /// Which order's.
    pub(super) order: OrderId,
}

/// Stands where email is: a letter is a row.
pub(super) struct Email;

const LETTERS: Table<OrderId, ()> = Table::new("letters");

impl Module for Email {
    const NAME: &'static str = "email";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<SendConfirmation>()
            .answers::<FindLetter>();
    }
}

impl Handle<SendConfirmation> for Email {
    fn handle(&self, command: SendConfirmation, tx: &mut Tx<'_>) -> Outcome<SendConfirmation> {
        Ok(tx.put(&LETTERS, &command.order.id, &())?)
    }
}

impl Answer<FindLetter> for Email {
    async fn answer(&self, query: FindLetter, context: &Context) -> Outcome<FindLetter> {
        Ok(context.snapshot()?.get(&LETTERS, &query.order)?.is_some())
    }
}

/// Lists what was heard of every order.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger", reply = Vec<Placed>)]
pub(super) struct ListPlaced {}

/// Lists how many pieces were heard to be added, by shopper.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger", reply = Vec<Added>)]
pub(super) struct ListAdded {}

/// What the ledger heard of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Placed {
    pub(super) order: OrderId,
    pub(super) shopper: ShopperId,
    pub(super) generation: u64,
    pub(super) pieces: u64,
    /// How often it was heard of.
    pub(super) times: u32,
}

/// What the ledger heard of one shopper's cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Added {
    pub(super) shopper: ShopperId,
    pub(super) pieces: u64,
}

/// Listens to carts and orders, and counts: an event handled twice, or never, shows here.
pub(super) struct Ledger;

const PLACED: Table<OrderId, Placed> = Table::new("placed");
const ADDED: Table<ShopperId, u64> = Table::new("added");

/// More rows than any simulation has.
const ROWS_MAX: usize = 10_000;

impl Module for Ledger {
    const NAME: &'static str = "ledger";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .listens::<OrderPlaced>()
            .listens::<ItemAdded>()
            .answers::<ListPlaced>()
            .answers::<ListAdded>();
    }
}

impl Listen<OrderPlaced> for Ledger {
    fn listen(&self, event: OrderPlaced, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let order = event.order.id.clone();
        let before = tx.get(&PLACED, &order)?.map_or(0, |placed| placed.times);
        let pieces = event.order.items.iter();
        let placed = Placed {
            order: order.clone(),
            shopper: event.shopper,
            generation: event.cart_generation,
            pieces: pieces.map(|line| u64::from(line.item.quantity.get())).sum(),
            times: before + 1,
        };
        tx.put(&PLACED, &order, &placed)
    }
}

impl Listen<ItemAdded> for Ledger {
    fn listen(&self, event: ItemAdded, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let before = tx.get(&ADDED, &event.shopper)?.unwrap_or(0);
        let pieces = before + u64::from(event.item.quantity.get());
        tx.put(&ADDED, &event.shopper, &pieces)
    }
}

impl Answer<ListPlaced> for Ledger {
    async fn answer(&self, _: ListPlaced, context: &Context) -> Outcome<ListPlaced> {
        let rows = context.snapshot()?.range(&PLACED, .., ROWS_MAX)?;
        Ok(rows.into_iter().map(|(_, placed)| placed).collect())
    }
}

impl Answer<ListAdded> for Ledger {
    async fn answer(&self, _: ListAdded, context: &Context) -> Outcome<ListAdded> {
        let rows = context.snapshot()?.range(&ADDED, .., ROWS_MAX)?;
        let added = |(shopper, pieces)| Added { shopper, pieces };
        Ok(rows.into_iter().map(added).collect())
    }
}
