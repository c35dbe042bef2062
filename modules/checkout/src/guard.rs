//! The guard of an order: at most one is being placed for a shopper, and one is placed per cart.
//!
//! A double click sends two orders for one cart, side by side. Both may read the cart before
//! either has emptied it, so what tells them apart is here: an attempt is committed before the
//! card is charged, and only an attempt that still stands becomes an order.

use std::time::Duration;

use cart_contract::ShopperId;
use checkout_contract::{Order, OrderId, OrderPlaced, PlaceOrderRefusal};
use modulith_kernel::{Context, Fault, Never, Stop, Tx};
use tokio::time::sleep;
use tracing::warn;

use crate::{
    rules::{self, Attempt, Reached, Start, State},
    store::{ATTEMPTS, ORDERS},
    undo::undo,
};

/// How often the store is asked what became of a commit, with [`SETTLE_PAUSE`] in between. Five
/// seconds: more than a full mailbox takes to work off.
const SETTLE_TRIES_MAX: u32 = 50;

const SETTLE_PAUSE: Duration = Duration::from_millis(100);

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
            left.move_on(&[State::Undoing], State::Undone, context)
                .await?;
            if self.start(context).await? != Start::Now {
                return Err(PlaceOrderRefusal::InProgress.into());
            }
        }
        Ok(())
    }

    /// Records the order and publishes it, if its attempt still stands.
    ///
    /// # Errors
    /// A fault, after which nothing is recorded.
    pub(crate) async fn record(&self, order: Order, context: &Context) -> Result<(), Fault> {
        let claim = self.clone();
        let recorded = context
            .commit(move |tx| Ok::<_, Stop<Never>>(claim.write(order, tx)?))
            .await;
        match recorded {
            Ok(()) => Ok(()),
            Err(_) if self.settled(context).await == Some(State::Placed) => Ok(()),
            Err(stop) => Err(stop.into_fault()),
        }
    }

    /// Notes that nothing is left of the attempt, so that the shopper may try again.
    ///
    /// Should it fail, the shopper must wait a minute, and the next attempt undoes
    /// this one once more.
    pub(crate) async fn undone(&self, context: &Context) {
        match self
            .move_on(&[State::Placing, State::Undoing], State::Undone, context)
            .await
        {
            // When it is late, the change still waits its turn in the store.
            Ok(()) | Err(Fault::Late) => {}
            Err(fault) => warn!(order = %self.order, %fault, "attempt not cleared"),
        }
    }

    async fn start(&self, context: &Context) -> Result<Start, Stop<PlaceOrderRefusal>> {
        let claim = self.clone();
        let started = context.commit(move |tx| claim.start_in(tx)).await;
        if started == Err(Stop::Fault(Fault::Late)) {
            // It may yet happen: leave no claim behind that nobody follows up.
            self.undone(context).await;
        }
        started
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
        if !self.advance(&[State::Placing], State::Placed, tx)? {
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

    /// How the attempt stands once it is certain, after a commit that faulted.
    ///
    /// A commit that was late may still be waiting for its turn, and then happen. What is asked
    /// here takes its turn behind it, and keeps it from becoming an order if it has not.
    async fn settled(&self, context: &Context) -> Option<State> {
        for _ in 0..SETTLE_TRIES_MAX {
            match self
                .move_on(&[State::Placing], State::Undoing, context)
                .await
            {
                Ok(()) => break,
                Err(Fault::Late | Fault::Overloaded { .. }) => {}
                Err(_) => break,
            }
            if self
                .state(context)
                .is_some_and(|state| state != State::Placing)
            {
                break;
            }
            sleep(SETTLE_PAUSE).await;
        }
        self.state(context)
    }

    /// How the attempt stands in what is durable; none when the store does not say.
    fn state(&self, context: &Context) -> Option<State> {
        let read = || context.snapshot()?.get(&ATTEMPTS, &self.shopper);
        let attempt = read().ok().flatten();
        attempt
            .filter(|attempt| attempt.order == self.order)
            .map(|attempt| attempt.state)
    }

    async fn move_on(
        &self,
        from: &'static [State],
        to: State,
        context: &Context,
    ) -> Result<(), Fault> {
        let claim = self.clone();
        let moved = context.commit(move |tx| {
            claim.advance(from, to, tx)?;
            Ok::<_, Stop<Never>>(())
        });
        moved.await.map_err(Stop::into_fault)
    }

    /// Moves the attempt to another state; false, and nothing, if it is in none of `from`.
    fn advance(&self, from: &[State], to: State, tx: &mut Tx<'_>) -> Result<bool, Fault> {
        match tx.get(&ATTEMPTS, &self.shopper)? {
            Some(attempt) if attempt.order == self.order && from.contains(&attempt.state) => {
                tx.put(
                    &ATTEMPTS,
                    &self.shopper,
                    &Attempt {
                        state: to,
                        ..attempt
                    },
                )?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
