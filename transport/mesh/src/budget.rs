//! How much of what is sent may be sent again.
//!
//! When everything fails, retries multiply the load of whoever fails already. So they are paid
//! for: every call adds a share of a retry, and beside that a few per second are always allowed,
//! so that a quiet caller can retry at all.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use crate::ticks::Epoch;

/// How much may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetOptions {
    /// Retries for each hundred calls. Default 20: under full failure the load grows by a fifth.
    pub percent: u32,
    /// Retries that are allowed in each second besides. Default 10.
    pub per_second: u32,
    /// How many retries can be saved up by calls that needed none. Default 100: what one process
    /// that dies with its calls in flight asks for.
    pub saved_max: u32,
}

impl Default for BudgetOptions {
    fn default() -> Self {
        Self {
            percent: 20,
            per_second: 10,
            saved_max: 100,
        }
    }
}

/// One retry, in the unit of [`Budget::saved`].
const RETRY: i64 = 100;

/// What may be sent again now.
#[derive(Debug)]
pub struct Budget {
    options: BudgetOptions,
    epoch: Epoch,
    /// Hundredths of retries that calls have saved up.
    saved: AtomicI64,
    /// The second (upper half) and how many of its free retries are used up (lower half).
    free: AtomicU64,
}

impl Budget {
    /// Begins with nothing saved.
    pub fn new(options: BudgetOptions, now: Instant) -> Self {
        Self {
            options,
            epoch: Epoch::new(now),
            saved: AtomicI64::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// Notes a call that is sent for the first time.
    pub fn deposit(&self) {
        let max = i64::from(self.options.saved_max) * RETRY;
        // May go over by what other threads add at this moment: a few hundredths.
        if self.saved.load(Relaxed) < max {
            self.saved
                .fetch_add(i64::from(self.options.percent), Relaxed);
        }
    }

    /// Takes a retry out; false when there is none left.
    pub fn withdraw(&self, now: Instant) -> bool {
        self.take_free(now) || self.take_saved()
    }

    fn take_saved(&self) -> bool {
        let take = |saved: i64| (saved >= RETRY).then_some(saved - RETRY);
        self.saved.fetch_update(Relaxed, Relaxed, take).is_ok()
    }

    fn take_free(&self, now: Instant) -> bool {
        let second = (self.epoch.millis(now) / 1000) & 0xffff_ffff;
        let per_second = u64::from(self.options.per_second);
        let take = |free: u64| {
            let (of, used) = (free >> 32, free & 0xffff_ffff);
            let used = if of == second { used } else { 0 };
            (used < per_second).then_some((second << 32) | (used + 1))
        };
        self.free.fetch_update(Relaxed, Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_quiet_caller_may_retry_a_few_times_a_second() {
        let now = Instant::now();
        let budget = Budget::new(BudgetOptions::default(), now);
        let allowed = |now| (0..1000).filter(|_| budget.withdraw(now)).count();
        assert_eq!(allowed(now), 10);
        assert_eq!(allowed(now), 0);
        assert_eq!(allowed(now + Duration::from_secs(1)), 10);
    }

    #[test]
    fn a_fifth_of_all_calls_may_be_sent_again() {
        let now = Instant::now();
        let budget = Budget::new(BudgetOptions::default(), now);
        let mut retried = 0;
        for _ in 0..10_000 {
            budget.deposit();
            retried += usize::from(budget.withdraw(now));
        }
        assert_eq!(retried, 2000 + 10);
    }

    #[test]
    fn what_is_saved_has_a_limit() {
        let now = Instant::now();
        let budget = Budget::new(BudgetOptions::default(), now);
        (0..1_000_000).for_each(|_| budget.deposit());
        assert_eq!((0..1000).filter(|_| budget.withdraw(now)).count(), 100 + 10);
    }

    proptest! {
        #[test]
        fn retries_stay_within_the_share_and_the_minimum(
            steps in prop::collection::vec((any::<bool>(), 0_u64..400), 1..2000),
        ) {
            let begin = Instant::now();
            let budget = Budget::new(BudgetOptions::default(), begin);
            let (mut calls, mut retries, mut now) = (0_u64, 0_u64, begin);
            for (is_call, pause) in steps {
                if is_call {
                    calls += 1;
                    budget.deposit();
                } else {
                    now += Duration::from_millis(pause);
                    retries += u64::from(budget.withdraw(now));
                }
                let seconds = (now - begin).as_secs() + 1;
                prop_assert!(retries <= calls / 5 + 10 * seconds);
            }
        }
    }
}
