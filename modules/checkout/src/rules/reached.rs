//! How far an order may have come when a step failed, and so what must be undone.

use modulith_kernel::{Fault, Stop};

/// The last step that may have been taken. Later steps include earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reached {
    /// None that must be undone.
    Nothing,
    /// The card may have been charged.
    Charge,
    /// The items may have been shipped.
    Shipment,
}

impl Reached {
    /// What was reached when a step stopped: the step itself when it may have been taken
    /// nonetheless, otherwise no more than was reached `before`.
    pub(crate) fn when<R>(stop: &Stop<R>, before: Self, step: Self) -> Self {
        match stop {
            Stop::Refused(_) => before,
            Stop::Fault(fault) if may_have_happened(fault) => step,
            Stop::Fault(_) => before,
        }
    }
}

/// Whether a step that ended in this fault may have been taken.
///
/// More cautious than [`Fault`] promises: a reply that is too large, malformed or cut off by a
/// stop may follow a step that was taken, and to undo one that was not is harmless. Spelled out,
/// so that a new fault must be thought about.
fn may_have_happened(fault: &Fault) -> bool {
    match fault {
        Fault::Late
        | Fault::Unreachable { .. }
        | Fault::Stopped { .. }
        | Fault::Store { .. }
        | Fault::TooLarge { .. }
        | Fault::Malformed { .. }
        | Fault::Cancelled { .. }
        | Fault::Parked { .. } => true,
        // Never started, or rolled back. Undoing would only add to an overload.
        Fault::Overloaded { .. }
        | Fault::Panicked { .. }
        | Fault::Denied { .. }
        | Fault::Mismatch { .. }
        | Fault::KeyReused { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use payment_contract::ChargeRefusal;

    use super::*;

    #[test]
    fn a_refused_step_was_not_taken() {
        let stop = Stop::Refused(ChargeRefusal::InvalidCard);
        assert_eq!(
            Reached::when(&stop, Reached::Nothing, Reached::Charge),
            Reached::Nothing
        );
    }

    #[test]
    fn a_step_that_faulted_may_have_been_taken() {
        let late = Stop::<ChargeRefusal>::Fault(Fault::Late);
        assert_eq!(
            Reached::when(&late, Reached::Charge, Reached::Shipment),
            Reached::Shipment
        );
        let overloaded = Fault::Overloaded {
            module: "payment".to_string(),
            retry_after_ms: 100,
        };
        let overloaded = Stop::<ChargeRefusal>::Fault(overloaded);
        assert_eq!(
            Reached::when(&overloaded, Reached::Nothing, Reached::Charge),
            Reached::Nothing
        );
    }

    #[test]
    fn a_shipment_comes_after_its_charge() {
        assert!(Reached::Nothing < Reached::Charge && Reached::Charge < Reached::Shipment);
    }
}
