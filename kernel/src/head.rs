//! How far a module's log goes, and waiting until it goes further.
//!
//! Not a `tokio::sync::watch`, which wakes those who wait in an order it draws at random: in a
//! simulation nothing may be random that the seed does not decide. These are woken in the order in
//! which they came.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The number of the last event that is durable.
pub(crate) struct Head {
    number: AtomicU64,
    moved: Notify,
}

impl Head {
    pub(crate) fn at(number: u64) -> Self {
        Self {
            number: AtomicU64::new(number),
            moved: Notify::new(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Tells those who wait.
    pub(crate) fn move_to(&self, number: u64) {
        if self.number.swap(number, Ordering::AcqRel) != number {
            self.moved.notify_waiters();
        }
    }

    /// Waits until there is an event after this one.
    pub(crate) async fn beyond(&self, after: u64) {
        loop {
            // Made before looking, so that no move in between is missed.
            let moved = self.moved.notified();
            if self.number() > after {
                return;
            }
            moved.await;
        }
    }
}
