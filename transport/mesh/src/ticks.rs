//! Time as numbers that fit into atomics.

use std::time::{Duration, Instant};

/// Counts from one moment on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn new(begin: Instant) -> Self {
        Self(begin)
    }

    /// Whole milliseconds since; 0 for what was before.
    pub(crate) fn millis(self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.0))
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
