//! How long to wait before something is sent again.

use std::time::Duration;

/// The longest wait before the first repetition; it doubles with each further one.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(10);

/// The longest wait before any repetition.
pub const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// The wait before repetition number `times`, from 0: between half of its limit and all of it.
/// `random` keeps callers apart that failed together.
pub fn backoff(times: u32, random: u64) -> Duration {
    let limit = BACKOFF_FIRST
        .saturating_mul(1 << times.min(16))
        .min(BACKOFF_MAX);
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    limit.mul_f64(0.5 + share / 2.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn waits_grow_and_stay_within_their_limits(times: u32, random: u64) {
            let wait = backoff(times, random);
            prop_assert!(wait >= BACKOFF_FIRST / 2 && wait <= BACKOFF_MAX);
            prop_assert!(backoff(times, 0) <= wait && wait <= backoff(times, u64::MAX));
            prop_assert!(backoff(times.saturating_add(1), random) >= wait);
        }
    }
}
