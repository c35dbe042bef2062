//! How long requests were under way, from clocks that share no zero.
//!
//! A request says how long its asker still waits from sending, so what it spends under way has to
//! be taken off. The network's own share is small; what matters is a receiver that was stopped or
//! starved, and reads long afterwards what its socket kept: work that nobody waits for.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Milliseconds of this process's clock; wraps around after 49 days.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only differences are used, and they survive the wrap"
)]
pub(crate) fn millis(now: Instant) -> u32 {
    static ZERO: OnceLock<Instant> = OnceLock::new();
    let zero = *ZERO.get_or_init(|| now);
    now.saturating_duration_since(zero).as_millis() as u32
}

/// For how long the shortest way is remembered: two clocks drift apart by less than a millisecond
/// meanwhile.
const MEMORY: Duration = Duration::from_secs(30);

/// The delays of one connection, against the shortest of late.
///
/// The difference of the two clocks when a request arrives is their offset and its time under
/// way. The smallest difference seen stands for a request that was not held up at all; what
/// another has more than that, it was held up.
#[derive(Debug, Default)]
pub(crate) struct Delay {
    current: Option<Least>,
    /// The least of the period before, so that a new one does not begin with a bad example.
    previous: Option<u32>,
}

#[derive(Debug)]
struct Least {
    difference: u32,
    since: Instant,
}

impl Delay {
    /// How long the request was held up.
    pub(crate) fn of(&mut self, sent_ms: u32, arrived: Instant) -> Duration {
        let difference = millis(arrived).wrapping_sub(sent_ms);
        match &mut self.current {
            Some(least) if arrived.saturating_duration_since(least.since) < MEMORY => {
                least.difference = smaller(least.difference, difference);
            }
            current => {
                self.previous = current.take().map(|least| least.difference);
                *current = Some(Least {
                    difference,
                    since: arrived,
                });
            }
        }
        let least = self.current.as_ref().map_or(difference, |it| it.difference);
        let least = self.previous.map_or(least, |it| smaller(it, least));
        Duration::from_millis(difference.wrapping_sub(least).into())
    }
}

/// The smaller of two differences that may have wrapped around.
fn smaller(a: u32, b: u32) -> u32 {
    if a.wrapping_sub(b) < 1 << 31 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_up(delay: &mut Delay, sent_ms: u32, arrived: Instant) -> u128 {
        delay.of(sent_ms, arrived).as_millis()
    }

    #[test]
    fn what_comes_later_than_the_fastest_was_held_up() {
        for offset in [0u32, 5_000, u32::MAX - 10] {
            let mut delay = Delay::default();
            let start = Instant::now();
            let (zero, at) = (millis(start), |ms| start + Duration::from_millis(ms));
            let sent = |ms: u32| zero.wrapping_add(offset).wrapping_add(ms);
            assert_eq!(held_up(&mut delay, sent(0), at(5)), 0);
            assert_eq!(held_up(&mut delay, sent(10), at(12)), 0);
            assert_eq!(held_up(&mut delay, sent(20), at(2_022)), 2_000);
            assert_eq!(held_up(&mut delay, sent(2_030), at(2_033)), 1);
        }
    }

    #[test]
    fn a_pause_longer_than_the_memory_is_still_noticed() {
        let mut delay = Delay::default();
        let start = Instant::now();
        let zero = millis(start);
        delay.of(zero, start);
        let after = start + MEMORY + Duration::from_secs(10);
        assert_eq!(held_up(&mut delay, zero.wrapping_add(1_000), after), 39_000);
    }
}
