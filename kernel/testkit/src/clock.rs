//! A clock that stands still until it is told to move.

use std::time::Duration;

use futures_util::future::BoxFuture;
use modulith_kernel::{Clock, Timestamp};
use tokio::sync::watch;

/// 2026-11-23 12:00:00 UTC, where every fake clock starts.
const NOON: u64 = 1_795_435_200_000;

/// The time of day in a test. Does not move on its own.
#[derive(Debug)]
pub struct FakeClock(watch::Sender<u64>);

impl FakeClock {
    pub(crate) fn at_noon() -> Self {
        Self(watch::Sender::new(NOON))
    }

    /// Sets the time.
    pub fn set(&self, now: Timestamp) {
        self.0.send_replace(now.0);
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_millis()).expect("tests move less than 584 million years");
        self.0.send_modify(|now| *now += by);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp(*self.0.borrow())
    }

    fn reaches(&self, until: Timestamp) -> BoxFuture<'_, ()> {
        let mut moved = self.0.subscribe();
        Box::pin(async move {
            // The sender is in this very clock.
            _ = moved.wait_for(|now| *now >= until.0).await;
        })
    }
}
