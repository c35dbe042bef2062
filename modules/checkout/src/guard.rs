//! The guard of an order: at most one is being placed for a shopper, and one is placed per cart.
//!
//! A double click sends two orders for one cart, side by side. Both may read the cart before
//! either has emptied it, so what tells them apart is here: an attempt is committed before the
//! card is charged, and only an attempt that still stands becomes an order.

use std::time::Duration;

use cart_contract::ShopperId;
use checkout_contract::{Order, OrderId, OrderPlaced, PlaceOrderRefusal};
use modulith_kernel::{Context, Fault, Never, Stop, Tx};
use tracing::warn;

use crate::{
    rules::{self, Attempt, Reached, Start, State},
    store::{ATTEMPTS, ORDERS},
    undo::undo,
};

/// How long noting the state of an attempt may take.
const NOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// An order to be, as the guard knows it.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// Who buys.
    pub(crate) shopper: ShopperId,
    /// The generation of the cart that is bought.
    pub(crate) generation: u64,
    /// The order it is to become.
    pub(crate) order: OrderId,
}

impl Claim {
    /// Claims the cart. An earlier attempt that a crash cut short is undone first.
    ///
    /// # Errors
    /// Refused as in progress while another order is being placed, and as empty when the cart was
    /// bought already. After any error nothing is claimed.
    pub(crate) async fn begin(&self, context: &Context) -> Result<(), Stop<PlaceOrderRefusal>> {
        if let Start::AfterUndoing(left) = self.start(context).await? {
            warn!(order = %left, "order was left half-placed; undoing it");
            undo(&left, Reached::Shipment, &context.port()).await?;
            let left = Self {
                order: left,
                ..self.clone()
            };
            left.move_on(State::Undoing, State::Undone, context).await?;
            if self.start(context).await? != Start::Now {
                return Err(PlaceOrderRefusal::InProgress.into());
            }
        }
        Ok(())
    }

    /// Records the order and publishes it, if its attempt still stands.
    ///
    /// # Errors
    /// A fault, after which nothing is recorded: a commit is begun in time and then waited for, or
    /// not begun at all.
    pub(crate) async fn record(&self, order: Order, context: &Context) -> Result<(), Fault> {
        let claim = self.clone();
        let recorded = context.commit(move |tx| Ok::<_, Stop<Never>>(claim.write(order, tx)?));
        recorded.await.map_err(Stop::into_fault)
    }

    /// Notes that nothing is left of the attempt, so that the shopper may try again.
    ///
    /// Should it fail, the next attempt undoes this one once more, a minute later or more.
    pub(crate) async fn undone(&self, context: &Context) {
        let undone = self.move_on(State::Placing, State::Undone, context);
        if let Err(fault) = undone.await {
            warn!(order = %self.order, %fault, "attempt not cleared; the shopper has to wait");
        }
    }

    async fn start(&self, context: &Context) -> Result<Start, Stop<PlaceOrderRefusal>> {
        let claim = self.clone();
        context.commit(move |tx| claim.start_in(tx)).await
    }

    fn start_in(self, tx: &mut Tx<'_>) -> Result<Start, Stop<PlaceOrderRefusal>> {
        let last = tx.get(&ATTEMPTS, &self.shopper)?;
        let start = rules::start(last.as_ref(), self.generation, tx.now())?;
        let attempt = match (&start, last) {
            (Start::AfterUndoing(_), Some(left)) => Attempt {
                state: State::Undoing,
                since: tx.now(),
                ..left
            },
            _ => Attempt {
                generation: self.generation,
                order: self.order,
                state: State::Placing,
                since: tx.now(),
            },
        };
        tx.put(&ATTEMPTS, &self.shopper, &attempt)?;
        Ok(start)
    }

    fn write(self, order: Order, tx: &mut Tx<'_>) -> Result<(), Fault> {
        if !self.advance(State::Placing, State::Placed, tx)? {
            // It took so long that it was given up.
            return Err(Fault::Late);
        }
        tx.put(&ORDERS, &self.order, &order.clone().into())?;
        tx.publish(&OrderPlaced {
            shopper: self.shopper,
            cart_generation: self.generation,
            order,
        })
    }

    async fn move_on(&self, from: State, to: State, context: &Context) -> Result<(), Fault> {
        let claim = self.clone();
        let advance = move |tx: &mut Tx<'_>| {
            claim.advance(from, to, tx)?;
            Ok::<_, Stop<Never>>(())
        };
        // What was undone is noted even when the order's own time is up.
        let moved = context.commit_within(advance, NOTE_TIMEOUT);
        moved.await.map_err(Stop::into_fault)
    }

    /// Moves the attempt to another state; false, and nothing, if it is not in the first.
    fn advance(&self, from: State, to: State, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        match tx.get(&ATTEMPTS, &self.shopper)? {
            Some(attempt) if attempt.order == self.order && attempt.state == from => {
                let attempt = Attempt {
                    state: to,
                    ..attempt
                };
                tx.put(&ATTEMPTS, &self.shopper, &attempt)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
