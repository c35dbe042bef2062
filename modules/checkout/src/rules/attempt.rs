//! When an order may be placed: one at a time for a shopper, and one for each cart.

use checkout_contract::{OrderId, PlaceOrderRefusal};
use serde::{Deserialize, Serialize};

/// A shopper's last attempt to place an order. Stored as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    /// The generation of the cart that was to be bought.
    pub(crate) generation: u64,
    /// The order it was to become; also the reference of its charge and its shipment.
    pub(crate) order: OrderId,
    /// How it stands.
    pub(crate) state: State,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// Its steps are being taken, or taken back.
    Placing,
    /// Nothing is left of it.
    Undone,
    /// It became an order.
    Placed,
}

/// Whether a cart of some generation may be bought, after the shopper's last attempt.
///
/// A cart that is bought, or older than one bought, counts as empty: its emptying is on its way.
pub(crate) fn may_start(last: Option<&Attempt>, generation: u64) -> Result<(), PlaceOrderRefusal> {
    let Some(last) = last else {
        return Ok(());
    };
    match last.state {
        _ if generation < last.generation => Err(PlaceOrderRefusal::CartIsEmpty),
        State::Placed if generation == last.generation => Err(PlaceOrderRefusal::CartIsEmpty),
        State::Placed | State::Undone => Ok(()),
        State::Placing => Err(PlaceOrderRefusal::InProgress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Result<(), PlaceOrderRefusal> = Err(PlaceOrderRefusal::CartIsEmpty);

    #[test]
    fn a_first_attempt_may_start() {
        assert_eq!(may_start(None, 0), Ok(()));
    }

    #[test]
    fn a_cart_is_bought_once() {
        let placed = attempt(3, State::Placed);
        assert_eq!(may_start(Some(&placed), 3), EMPTY);
        assert_eq!(may_start(Some(&placed), 2), EMPTY);
        assert_eq!(may_start(Some(&placed), 4), Ok(()));
    }

    #[test]
    fn a_cart_is_not_bought_after_a_later_one() {
        for state in [State::Placing, State::Undone, State::Placed] {
            assert_eq!(may_start(Some(&attempt(3, state)), 2), EMPTY);
        }
    }

    #[test]
    fn an_attempt_undone_may_be_made_again_at_once() {
        assert_eq!(may_start(Some(&attempt(3, State::Undone)), 3), Ok(()));
    }

    #[test]
    fn two_attempts_at_once_are_refused() {
        let placing = attempt(3, State::Placing);
        for generation in [3, 4] {
            let refusal = Err(PlaceOrderRefusal::InProgress);
            assert_eq!(may_start(Some(&placing), generation), refusal);
        }
    }

    fn attempt(generation: u64, state: State) -> Attempt {
        Attempt {
            generation,
            order: OrderId::new("7K3M-Q0WD-91XE-5BTC").unwrap(),
            state,
        }
    }
}
