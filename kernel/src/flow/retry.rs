//! How often a step is tried.

use std::time::Duration;

use modulith_contract::Fault;
use tokio::time::Instant;

/// When a step that ended in a fault is tried again. A refusal is an answer: it never is.
///
/// The pauses double from [`Retry::PAUSE_FIRST`] to [`Retry::PAUSE_MAX`]. A fault that the same
/// message would meet again, such as [`Fault::Denied`], ends the step at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    attempts_max: u32,
    within: Duration,
}

impl Retry {
    /// The pause after the first failed attempt.
    pub const PAUSE_FIRST: Duration = Duration::from_millis(50);
    /// The longest pause: short enough that what was down is used soon after it is back, long
    /// enough that thousands of flows waiting for it are no load.
    pub const PAUSE_MAX: Duration = Duration::from_secs(30);

    /// Tries until there is an answer.
    pub const fn forever() -> Self {
        Self {
            attempts_max: u32::MAX,
            within: Duration::MAX,
        }
    }

    /// Tries once.
    pub const fn never() -> Self {
        Self::attempts(1)
    }

    /// Tries this often at most.
    pub const fn attempts(attempts_max: u32) -> Self {
        Self {
            attempts_max,
            within: Duration::MAX,
        }
    }

    /// Begins no attempt later than this after the first one. After a restart the time counts
    /// anew.
    pub const fn within(within: Duration) -> Self {
        Self {
            attempts_max: u32::MAX,
            within,
        }
    }

    /// The pause before another attempt; none when there is to be no other.
    pub(crate) fn pause(&self, attempts: u32, begun: Instant, fault: &Fault) -> Option<Duration> {
        if !fault.is_transient() || attempts >= self.attempts_max {
            return None;
        }
        let doubled = Self::PAUSE_FIRST.saturating_mul(1 << (attempts - 1).min(16));
        let pause = doubled.min(Self::PAUSE_MAX);
        (begun.elapsed().saturating_add(pause) <= self.within).then_some(pause)
    }
}
