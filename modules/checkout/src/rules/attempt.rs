//! When an order may be placed: one at a time for a shopper, and one for each cart.

use std::time::Duration;

use checkout_contract::{OrderId, PlaceOrderRefusal};
use modulith_kernel::Timestamp;
use serde::{Deserialize, Serialize};

/// How long an attempt may take before it is taken for one that a crash cut short.
///
/// A minute: the steps forward keep to the message's deadline, seconds, and the steps back to the
/// limits in `undo`, together some fifteen seconds. An attempt that outlives it harms nobody: it
/// is undone, and can no longer be recorded.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);

/// A shopper's last attempt to place an order. Stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// The generation of the cart that was to be bought.
    pub(crate) generation: u64,
    /// The order it was to become; also the reference of its charge and its shipment.
    pub(crate) order: OrderId,
    /// How it stands.
    pub(crate) state: State,
    /// Since when it is being placed or undone.
    pub(crate) since: Timestamp,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Its steps are being taken.
    Placing,
    /// Its steps are being taken back; it can no longer become an order.
    Undoing,
    /// Nothing is left of it.
    Undone,
    /// It became an order.
    Placed,
}

/// How an attempt may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// At once.
    Now,
    /// Once this order, which a crash left half-placed, is undone.
    AfterUndoing(OrderId),
}

/// Whether a cart of some generation may be bought, after the shopper's last attempt.
///
/// A cart that is bought, or older than one bought, counts as empty: its emptying is on its way.
pub(crate) fn start(
    last: Option<&Attempt>,
    generation: u64,
    now: Timestamp,
) -> Result<Start, PlaceOrderRefusal> {
    let Some(last) = last else {
        return Ok(Start::Now);
    };
    if generation < last.generation {
        return Err(PlaceOrderRefusal::CartIsEmpty);
    }
    match last.state {
        State::Placed if generation == last.generation => Err(PlaceOrderRefusal::CartIsEmpty),
        State::Placed | State::Undone => Ok(Start::Now),
        State::Placing | State::Undoing if !is_over(last.since, now) => {
            Err(PlaceOrderRefusal::InProgress)
        }
        State::Placing | State::Undoing => Ok(Start::AfterUndoing(last.order.clone())),
    }
}

fn is_over(since: Timestamp, now: Timestamp) -> bool {
    u128::from(now.0.saturating_sub(since.0)) >= ATTEMPT_MAX.as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGUN: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_first_attempt_begins_at_once() {
        assert_eq!(start(None, 0, BEGUN), Ok(Start::Now));
    }

    #[test]
    fn a_cart_is_bought_once() {
        let placed = attempt(3, State::Placed);
        for now in [BEGUN, much_later()] {
            let refusal = Err(PlaceOrderRefusal::CartIsEmpty);
            assert_eq!(start(Some(&placed), 3, now), refusal);
            assert_eq!(start(Some(&placed), 2, now), refusal);
            assert_eq!(start(Some(&placed), 4, now), Ok(Start::Now));
        }
    }

    #[test]
    fn a_cart_is_not_bought_after_a_later_one() {
        for state in [State::Placing, State::Undoing, State::Undone] {
            let refusal = Err(PlaceOrderRefusal::CartIsEmpty);
            assert_eq!(start(Some(&attempt(3, state)), 2, much_later()), refusal);
        }
    }

    #[test]
    fn an_attempt_undone_may_be_made_again_at_once() {
        let undone = attempt(3, State::Undone);
        assert_eq!(start(Some(&undone), 3, BEGUN), Ok(Start::Now));
    }

    #[test]
    fn two_attempts_at_once_are_refused_until_the_first_must_have_been_cut_short() {
        for state in [State::Placing, State::Undoing] {
            let last = attempt(3, state);
            for generation in [3, 4] {
                let at = |ms| start(Some(&last), generation, Timestamp(BEGUN.0 + ms));
                assert_eq!(at(0), Err(PlaceOrderRefusal::InProgress));
                assert_eq!(at(59_999), Err(PlaceOrderRefusal::InProgress));
                assert_eq!(at(60_000), Ok(Start::AfterUndoing(last.order.clone())));
            }
            let clock_set_back = start(Some(&last), 3, Timestamp(0));
            assert_eq!(clock_set_back, Err(PlaceOrderRefusal::InProgress));
        }
    }

    fn attempt(generation: u64, state: State) -> Attempt {
        Attempt {
            generation,
            order: OrderId::new("OWN").unwrap(),
            state,
            since: BEGUN,
        }
    }

    fn much_later() -> Timestamp {
        Timestamp(BEGUN.0 + 3_600_000)
    }
}
