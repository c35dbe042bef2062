//! How many requests of a kind a worker takes at once: a limit that it learns, and a line to wait
//! in that it keeps short. Pure: it is told the time and what happened.

use std::time::{Duration, Instant};

use modulith_kernel::Priority;

/// How long a request may wait for its turn on the worker before others like it are refused.
///
/// 50 ms: shorter than a person notices, longer than any pause of a worker that keeps up. What is
/// worth finishing waits four times as long.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(50);

/// When more than a tenth of the requests take longer than this, too many are served at once.
///
/// 500 ms: ten times what the slowest page takes in a shop that keeps up. A tenth, because a few
/// that wait for a disk say nothing about the others.
pub(crate) const TOOK_MAX: Duration = Duration::from_millis(500);

/// Bounds of the limit, in requests of a kind per worker. The least leaves room for other pages while
/// some wait for a module that is down; the most is what a process has file descriptors for.
const LIMIT_MIN: f64 = 64.0;
const LIMIT_MAX: f64 = 2048.0;
const LIMIT_FIRST: f64 = 128.0;

/// How often the limit moves: a few times the duration of a request.
const PERIOD: Duration = Duration::from_millis(100);

/// The limit of one worker for one kind of request: it rises by a tenth while it is reached and
/// requests are fast, and falls by a fifth when they are not (additive increase would take minutes on a large machine;
/// decrease must win, or the limit would swing around the wrong value).
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: f64,
    in_flight: usize,
    since: Instant,
    /// Of the current period: whether the limit was reached, how many were in flight at most, and
    /// how many ended, of these too slowly.
    was_reached: bool,
    most: usize,
    ended: usize,
    slow: usize,
}

impl Limiter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            limit: LIMIT_FIRST,
            in_flight: 0,
            since: now,
            was_reached: false,
            most: 0,
            ended: 0,
            slow: 0,
        }
    }

    /// Takes a request in, unless there is too much of its kind. `waited` is how long it had to
    /// wait for its turn.
    pub(crate) fn admit(&mut self, priority: Priority, waited: Duration) -> bool {
        let (share, patience) = match priority {
            Priority::Critical => return self.take(),
            Priority::High => (1.0, WAIT_MAX * 4),
            Priority::Normal => (0.8, WAIT_MAX),
            Priority::Low => (0.4, WAIT_MAX / 2),
        };
        let is_full = self.in_flight as f64 >= self.limit * share;
        self.was_reached |= is_full;
        if is_full || waited > patience {
            return false;
        }
        self.take()
    }

    fn take(&mut self) -> bool {
        self.in_flight += 1;
        self.most = self.most.max(self.in_flight);
        true
    }

    /// Notes the end of a request that was taken in.
    pub(crate) fn done(&mut self, took: Duration, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.ended += 1;
        self.slow += usize::from(took > TOOK_MAX);
        if now.saturating_duration_since(self.since) >= PERIOD {
            self.move_limit();
            self.since = now;
        }
    }

    fn move_limit(&mut self) {
        if self.slow * 10 > self.ended {
            // From what was really there: a limit far above it would not be felt for a long time.
            let from = self.limit.min(self.most as f64);
            self.limit = (from * 0.8).max(LIMIT_MIN);
        } else if self.was_reached {
            self.limit = (self.limit * 1.1).min(LIMIT_MAX);
        }
        self.was_reached = false;
        self.most = self.in_flight;
        self.ended = 0;
        self.slow = 0;
    }

    /// How many requests may be in flight.
    #[cfg(test)]
    fn limit(&self) -> usize {
        self.limit as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Duration = Duration::from_millis(5);
    const NONE: Duration = Duration::ZERO;

    /// A worker whose requests take longer the more there are, driven at full load.
    fn settle(capacity: usize) -> Limiter {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(now);
        for _ in 0..400 {
            let mut taken = 0;
            while limiter.admit(Priority::High, NONE) {
                taken += 1;
            }
            // Up to its capacity each is fast; beyond, all wait for each other.
            let took = if taken <= capacity {
                FAST
            } else {
                TOOK_MAX * 2
            };
            now += PERIOD;
            for _ in 0..taken {
                limiter.done(took, now);
            }
        }
        limiter
    }

    #[test]
    fn the_limit_finds_what_a_worker_can_do() {
        for capacity in [100, 300, 1000] {
            let limit = settle(capacity).limit();
            assert!(
                limit >= capacity / 3 && limit <= capacity * 6 / 5,
                "{limit} for a worker that can serve {capacity}"
            );
        }
    }

    #[test]
    fn the_limit_stays_within_its_bounds() {
        assert!(settle(1_000_000).limit() <= LIMIT_MAX as usize);
        assert!(settle(0).limit() >= LIMIT_MIN as usize);
    }

    #[test]
    fn the_important_is_taken_when_the_rest_is_refused() {
        let mut limiter = Limiter::new(Instant::now());
        while limiter.admit(Priority::Normal, NONE) {}
        assert!(!limiter.admit(Priority::Low, NONE));
        assert!(limiter.admit(Priority::High, NONE));
        while limiter.admit(Priority::High, NONE) {}
        assert!(limiter.admit(Priority::Critical, NONE));
    }

    #[test]
    fn who_waited_too_long_is_refused_the_important_last() {
        let mut limiter = Limiter::new(Instant::now());
        let waited = WAIT_MAX + FAST;
        assert!(!limiter.admit(Priority::Normal, waited));
        assert!(limiter.admit(Priority::High, waited));
        assert!(!limiter.admit(Priority::High, waited * 4));
        assert!(limiter.admit(Priority::Critical, waited * 4));
    }

    #[test]
    fn a_few_that_are_slow_among_many_cost_nobody_a_place() {
        // Orders that waited for a disk once brought the limit of all pages to its least, because
        // one slow request in a period was enough and pages are hardly ever in flight together.
        let mut now = Instant::now();
        let mut limiter = Limiter::new(now);
        let before = limiter.limit();
        for _ in 0..100 {
            now += PERIOD;
            for number in 0..20 {
                assert!(limiter.admit(Priority::Normal, NONE));
                let took = if number == 10 { TOOK_MAX * 2 } else { FAST };
                limiter.done(took, now);
            }
        }
        assert!(limiter.limit() >= before);
    }

    #[test]
    fn pages_that_wait_for_a_module_that_is_down_leave_room_for_others() {
        let mut now = Instant::now();
        let mut limiter = Limiter::new(now);
        for _ in 0..100 {
            now += PERIOD;
            assert!(limiter.admit(Priority::Normal, NONE));
            limiter.done(TOOK_MAX * 2, now);
        }
        for _ in 0..50 {
            assert!(limiter.admit(Priority::Normal, NONE));
        }
    }
}
