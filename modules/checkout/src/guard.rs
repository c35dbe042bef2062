//! The guard of an order: at most one is being placed for a shopper, and one is placed per cart.
//!
//! A double click sends two orders for one cart, side by side. Both may read the cart before
//! either is recorded, so what tells them apart is here: an attempt is committed before the card
//! is charged. An attempt that is being placed has a flow, which ends or goes on after a crash,
//! and so nobody ever has to clear one away.

use cart_contract::ShopperId;
use checkout_contract::{Order, OrderId, OrderPlaced, PlaceOrderRefusal};
use modulith_kernel::{Fault, Flow, Never, Stop, Tx};

use crate::{
    rules::{self, Attempt, State},
    store::{ATTEMPTS, ORDERS},
};

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
    /// Claims the cart; released when the flow fails.
    ///
    /// # Errors
    /// Refused as in progress while another order is being placed, and as empty when the cart was
    /// bought already.
    pub(crate) async fn begin(&self, flow: &Flow) -> Result<(), PlaceOrderRefusal> {
        let (claim, released) = (self.clone(), self.clone());
        flow.commit("claim", move |tx| claim.start_in(tx))
            .undo(move |tx| released.note(State::Undone, tx))
            .await
    }

    /// Records the order and publishes it. Waits for a store that fails.
    ///
    /// Taken back only when an operator cancels the flow, or it panics: the order is then none.
    pub(crate) async fn record(&self, order: Order, flow: &Flow) {
        let (claim, removed) = (self.clone(), self.order.clone());
        let recorded = flow
            .commit("record", move |tx| {
                Ok::<_, Stop<Never>>(claim.write(&order, tx)?)
            })
            .undo(move |tx| {
                tx.remove(&ORDERS, &removed);
                Ok(())
            })
            .await;
        match recorded {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    fn start_in(&self, tx: &mut Tx<'_>) -> Result<(), Stop<PlaceOrderRefusal>> {
        let last = tx.get(&ATTEMPTS, &self.shopper)?;
        rules::may_start(last.as_ref(), self.generation)?;
        Ok(self.note(State::Placing, tx)?)
    }

    fn write(&self, order: &Order, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.note(State::Placed, tx)?;
        tx.put(&ORDERS, &self.order, &order.clone().into())?;
        tx.publish(&OrderPlaced {
            shopper: self.shopper.clone(),
            cart_generation: self.generation,
            order: order.clone(),
        })
    }

    /// Notes how this attempt stands: the shopper's last, for no other begins before it has ended.
    fn note(&self, state: State, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let attempt = Attempt {
            generation: self.generation,
            order: self.order.clone(),
            state,
        };
        tx.put(&ATTEMPTS, &self.shopper, &attempt)
    }
}
