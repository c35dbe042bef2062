//! A clock that stands still until it is told to move.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use modulith_kernel::{Clock, Timestamp};

/// 2026-11-23 12:00:00 UTC, where every fake clock starts.
const NOON: u64 = 1_795_435_200_000;

/// The time of day in a test. Does not move on its own.
#[derive(Debug)]
pub struct FakeClock(AtomicU64);

impl FakeClock {
    pub(crate) fn at_noon() -> Self {
        Self(AtomicU64::new(NOON))
    }

    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("tests move less than 584 million years");
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}
