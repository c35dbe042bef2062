//! The time of day in a simulation: it goes as tokio's virtual time does.

use modulith_kernel::{Clock, Timestamp};
use tokio::time::Instant;

/// 2026-11-23 12:00:00 UTC, where every simulation begins.
const NOON: u64 = 1_795_435_200_000;

pub(super) struct VirtualClock {
    noon: Instant,
}

impl VirtualClock {
    /// Lets it be noon now.
    pub(super) fn at_noon() -> Self {
        Self {
            noon: Instant::now(),
        }
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let since = u64::try_from(self.noon.elapsed().as_millis());
        Timestamp(NOON + since.expect("a simulation ends within minutes"))
    }
}
