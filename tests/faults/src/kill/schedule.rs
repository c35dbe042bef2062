//! What is killed when: drawn from a seed.

use std::time::Duration;

use fastrand::Rng;

use super::placement::Placement;

/// From one blow to the next, in milliseconds: about a second, and often while what was killed
/// last is still starting.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 500..=1_500;

/// The blows until everything is killed. The first time is early, for short runs.
const UNTIL_EVERYTHING: std::ops::RangeInclusive<u32> = 8..=12;
const UNTIL_EVERYTHING_FIRST: std::ops::RangeInclusive<u32> = 4..=7;

pub(super) struct Schedule {
    rng: Rng,
    placement: Placement,
    until_everything: u32,
}

pub(super) enum Blow {
    /// One process; which of those that run, the number tells.
    One(usize),
    Everything,
}

impl Schedule {
    pub(super) fn draw(seed: u64, placement: Placement) -> Self {
        let mut rng = Rng::with_seed(seed);
        Self {
            until_everything: rng.u32(UNTIL_EVERYTHING_FIRST),
            rng,
            placement,
        }
    }

    pub(super) fn next(&mut self) -> (Duration, Blow) {
        let pause = Duration::from_millis(self.rng.u64(PAUSE_MS));
        if self.placement == Placement::OneProcess {
            return (pause, Blow::Everything);
        }
        self.until_everything -= 1;
        if self.until_everything == 0 {
            self.until_everything = self.rng.u32(UNTIL_EVERYTHING);
            return (pause, Blow::Everything);
        }
        (pause, Blow::One(self.rng.usize(..)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_a_quick_run_kills_the_launcher() {
        for seed in 1..200 {
            let mut schedule = Schedule::draw(seed, Placement::EveryModuleApart);
            let mut waited = Duration::ZERO;
            loop {
                let (pause, blow) = schedule.next();
                waited += pause;
                assert!(waited < Duration::from_secs(12), "seed {seed}");
                if matches!(blow, Blow::Everything) {
                    break;
                }
            }
        }
    }

    #[test]
    fn a_seed_is_one_schedule() {
        let draw = || {
            let mut schedule = Schedule::draw(7, Placement::EveryModuleApart);
            let blows = (0..50).map(move |_| match schedule.next() {
                (pause, Blow::One(choice)) => (pause, Some(choice)),
                (pause, Blow::Everything) => (pause, None),
            });
            blows.collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }
}
