//! Which faults are worth sending the same request again.

use std::time::Duration;

use modulith_contract::Fault;

use crate::Verdict;

/// What a fault on the way says: of the replica, and of another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// What it says of the replica that was asked.
    pub verdict: Verdict,
    /// Whether the same request may be sent again, given that it takes effect once.
    pub is_worth_it: bool,
    /// Whether it says that nothing took effect. Said of a second sending, it says nothing of the
    /// first.
    pub says_no_effect: bool,
    /// How long to wait at least before the same replica is asked again.
    pub not_before: Duration,
}

/// Judges a fault.
///
/// Sent again is only what never arrived, what broke off, what was refused for lack of room, and
/// what came to a module that stops. Not what the module did handle: a panic would come again,
/// and what is late has no time left.
pub fn again(fault: &Fault) -> Again {
    let now = |verdict, is_worth_it| Again {
        verdict,
        is_worth_it,
        says_no_effect: false,
        not_before: Duration::ZERO,
    };
    match fault {
        Fault::Unreachable { .. } | Fault::Stopped { .. } => now(Verdict::Faulty, true),
        Fault::Overloaded { retry_after_ms, .. } => {
            let not_before = Duration::from_millis(u64::from(*retry_after_ms));
            Again {
                verdict: Verdict::Busy(not_before),
                is_worth_it: true,
                says_no_effect: true,
                not_before,
            }
        }
        Fault::Late => now(Verdict::Faulty, false),
        // Whoever answers now may be of another version than whoever was asked first.
        Fault::Denied { .. } | Fault::Mismatch { .. } => Again {
            says_no_effect: true,
            ..now(Verdict::Well, false)
        },
        Fault::Panicked { .. }
        | Fault::Store { .. }
        | Fault::TooLarge { .. }
        | Fault::Malformed { .. }
        | Fault::KeyReused { .. }
        | Fault::Cancelled { .. }
        | Fault::Parked { .. } => now(Verdict::Well, false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_not_handled_is_sent_again() {
        let (module, reason) = (String::new(), String::new());
        let worth = |fault| again(&fault).is_worth_it;
        assert!(worth(Fault::Unreachable {
            module: module.clone(),
            reason: reason.clone()
        }));
        assert!(worth(Fault::Stopped {
            module: module.clone(),
            reason: reason.clone()
        }));
        assert!(!worth(Fault::Late));
        assert!(!worth(Fault::Panicked {
            module: module.clone()
        }));
        assert!(!worth(Fault::Denied {
            caller: module.clone(),
            message: reason
        }));
        let busy = again(&Fault::Overloaded {
            module,
            retry_after_ms: 10,
        });
        assert_eq!(busy.not_before, Duration::from_millis(10));
        assert_eq!(busy.verdict, Verdict::Busy(Duration::from_millis(10)));
    }
}
