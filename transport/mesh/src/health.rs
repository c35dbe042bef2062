//! Which replicas are left alone because they fail, and when they are tried again.
//!
//! ```text
//!          faults in a row, or too many           its time is over
//!   well ───────────────────────────────► ejected ────────────────► probed: one call
//!    ▲                                       ▲                        │ │
//!    │                                       └──── it fails: longer ──┘ │
//!    └──────────────────────────── it goes well ────────────────────────┘
//! ```

use std::{
    sync::atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed},
    },
    time::Duration,
};

use crate::ticks::millis;

/// When a replica is ejected, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ejection {
    /// After how many calls in a row that never reached it or had no answer in time. Default 3:
    /// one may be bad luck, and callers pay for each.
    pub faults_in_a_row: u32,
    /// Below which share of good answers within [`Ejection::window`], in percent. Default 50.
    pub success_percent_min: u32,
    /// Over how long the share is counted. Default 5 s.
    pub window: Duration,
    /// How many calls a window needs before its share says anything. Default 20.
    pub window_calls_min: u32,
    /// For how long the first time; it doubles with each further one. Default 500 ms: a process
    /// that its launcher starts again is there by then.
    pub first: Duration,
    /// For how long at most. Default 30 s.
    pub longest: Duration,
    /// How long it has to be well before the next ejection is a first one again. Default 60 s.
    pub forgotten_after: Duration,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            faults_in_a_row: 3,
            success_percent_min: 50,
            window: Duration::from_secs(5),
            window_calls_min: 20,
            first: Duration::from_millis(500),
            longest: Duration::from_secs(30),
            forgotten_after: Duration::from_secs(60),
        }
    }
}

/// What a call says of the replica that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It answered, whatever the answer says.
    Well,
    /// It could not be reached, is stopped, or had no answer in time.
    Faulty,
    /// It is alive and has too much to do; another try is worth it after this long.
    Busy(Duration),
    /// Nothing: whoever asked stopped waiting before.
    Unknown,
}

/// What a verdict changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// The replica is left alone for this long.
    Ejected(Duration),
    /// It is well again.
    Restored,
}

/// Where a replica stands, packed into one atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Since this millisecond.
    Well(u64),
    /// Until this millisecond.
    Ejected(u64),
    /// One call finds out, since this millisecond.
    Probed(u64),
}

/// How a probe that nobody tells the end of is given up: its caller went away.
const PROBE_MAX_MS: u64 = 10_000;

#[derive(Debug)]
pub(crate) struct Health {
    /// [`State`] and how often it was ejected lately.
    state: AtomicU64,
    faults_in_a_row: AtomicU32,
    /// When the window began (40 bits, milliseconds), good and bad calls in it (12 bits each).
    window: AtomicU64,
}

/// Whether a replica may get a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fitness {
    Well,
    /// This very call finds out.
    Probe,
    Ejected,
}

impl Health {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            state: AtomicU64::new(pack(State::Well(now_ms), 0)),
            faults_in_a_row: AtomicU32::new(0),
            window: AtomicU64::new(now_ms << 24),
        }
    }

    /// Whether it is left out of choices, now or while it is probed.
    pub(crate) fn is_out(&self) -> bool {
        !matches!(unpack(self.state.load(Acquire)).0, State::Well(_))
    }

    /// Whether it may get a call. Of those who ask when its time is over, one gets the probe.
    pub(crate) fn fitness(&self, now_ms: u64) -> Fitness {
        let before = self.state.load(Acquire);
        let (state, times) = unpack(before);
        let is_due = match state {
            State::Well(_) => return Fitness::Well,
            State::Ejected(until) => now_ms >= until,
            State::Probed(since) => now_ms >= since + PROBE_MAX_MS,
        };
        let probed = pack(State::Probed(now_ms), times);
        let is_mine = is_due
            && self
                .state
                .compare_exchange(before, probed, AcqRel, Relaxed)
                .is_ok();
        if is_mine {
            Fitness::Probe
        } else {
            Fitness::Ejected
        }
    }

    /// Learns how a call went. `may_eject` is asked, once, before a well replica is ejected.
    pub(crate) fn learn(
        &self,
        now_ms: u64,
        verdict: Verdict,
        rules: &Ejection,
        may_eject: impl FnOnce() -> bool,
    ) -> Change {
        let is_good = match verdict {
            Verdict::Unknown => return Change::None,
            Verdict::Well | Verdict::Busy(_) => true,
            Verdict::Faulty => false,
        };
        let before = self.state.load(Acquire);
        match unpack(before) {
            // Calls that were under way when it was ejected say nothing new.
            (State::Ejected(_), _) => Change::None,
            (State::Probed(_), times) if is_good => self.restore(before, times, now_ms),
            (State::Probed(_), times) => self.eject(before, times, now_ms, rules),
            (State::Well(since), times) => {
                if !self.is_failing(now_ms, is_good, rules) || !may_eject() {
                    return Change::None;
                }
                let is_forgotten = now_ms >= since + millis(rules.forgotten_after);
                let times = if is_forgotten { 0 } else { times };
                self.eject(before, times, now_ms, rules)
            }
        }
    }

    fn restore(&self, before: u64, times: u8, now_ms: u64) -> Change {
        let after = pack(State::Well(now_ms), times);
        match self.state.compare_exchange(before, after, AcqRel, Relaxed) {
            Ok(_) => {
                self.faults_in_a_row.store(0, Relaxed);
                self.window.store(now_ms << 24, Relaxed);
                Change::Restored
            }
            Err(_) => Change::None,
        }
    }

    fn eject(&self, before: u64, times: u8, now_ms: u64, rules: &Ejection) -> Change {
        let pause = rules
            .first
            .saturating_mul(1 << times.min(20))
            .min(rules.longest);
        let after = pack(
            State::Ejected(now_ms + millis(pause)),
            times.saturating_add(1),
        );
        match self.state.compare_exchange(before, after, AcqRel, Relaxed) {
            Ok(_) => Change::Ejected(pause),
            Err(_) => Change::None,
        }
    }

    /// Counts a call; whether the replica has failed too often by now.
    fn is_failing(&self, now_ms: u64, is_good: bool, rules: &Ejection) -> bool {
        let in_a_row = if is_good {
            // Most of the time it is 0, and reading shares the cache line.
            if self.faults_in_a_row.load(Relaxed) != 0 {
                self.faults_in_a_row.store(0, Relaxed);
            }
            0
        } else {
            self.faults_in_a_row.fetch_add(1, Relaxed) + 1
        };
        let share_is_low = self.count(now_ms, is_good, rules);
        in_a_row >= rules.faults_in_a_row || share_is_low
    }

    /// Counts a call in the window; whether the share of good ones is too low. A count that
    /// another thread overwrites is lost: the share is an estimate.
    fn count(&self, now_ms: u64, is_good: bool, rules: &Ejection) -> bool {
        const MANY: u64 = 0xfff;
        let window = self.window.load(Relaxed);
        let (mut since, mut good, mut bad) = (window >> 24, (window >> 12) & MANY, window & MANY);
        if now_ms >= since + millis(rules.window) {
            (since, good, bad) = (now_ms, 0, 0);
        }
        if is_good {
            good += 1;
        } else {
            bad += 1;
        }
        if good > MANY || bad > MANY {
            (good, bad) = (good / 2, bad / 2);
        }
        self.window
            .store((since << 24) | (good << 12) | bad, Relaxed);
        let calls = good + bad;
        !is_good
            && calls >= u64::from(rules.window_calls_min)
            && good * 100 < calls * u64::from(rules.success_percent_min)
    }
}

const KIND_SHIFT: u32 = 62;
const TIMES_SHIFT: u32 = 54;
const MILLIS: u64 = (1 << TIMES_SHIFT) - 1;

fn pack(state: State, times: u8) -> u64 {
    let (kind, ms) = match state {
        State::Well(ms) => (0, ms),
        State::Ejected(ms) => (1, ms),
        State::Probed(ms) => (2, ms),
    };
    (kind << KIND_SHIFT) | (u64::from(times) << TIMES_SHIFT) | (ms & MILLIS)
}

fn unpack(packed: u64) -> (State, u8) {
    let ms = packed & MILLIS;
    let state = match packed >> KIND_SHIFT {
        0 => State::Well(ms),
        1 => State::Ejected(ms),
        _ => State::Probed(ms),
    };
    (state, (packed >> TIMES_SHIFT) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(health: &Health, now_ms: u64) -> Change {
        health.learn(now_ms, Verdict::Faulty, &Ejection::default(), || true)
    }

    fn goes_well(health: &Health, now_ms: u64) -> Change {
        health.learn(now_ms, Verdict::Well, &Ejection::default(), || true)
    }

    fn ejected() -> Health {
        let health = Health::new(0);
        assert_eq!(fails(&health, 0), Change::None);
        assert_eq!(fails(&health, 0), Change::None);
        assert_eq!(
            fails(&health, 0),
            Change::Ejected(Duration::from_millis(500))
        );
        health
    }

    #[test]
    fn faults_in_a_row_eject_and_one_good_answer_between_them_does_not() {
        let health = Health::new(0);
        for _ in 0..10 {
            fails(&health, 0);
            fails(&health, 0);
            goes_well(&health, 0);
        }
        // Two of three failed by now, which the share has noticed.
        assert!(health.is_out());
        assert!(ejected().is_out());
        let patient = Ejection {
            success_percent_min: 0,
            ..Ejection::default()
        };
        let health = Health::new(0);
        for _ in 0..100 {
            for verdict in [Verdict::Faulty, Verdict::Faulty, Verdict::Well] {
                health.learn(0, verdict, &patient, || true);
            }
        }
        assert!(!health.is_out());
    }

    #[test]
    fn one_call_probes_when_the_time_is_over() {
        let health = ejected();
        assert_eq!(health.fitness(499), Fitness::Ejected);
        assert_eq!(health.fitness(500), Fitness::Probe);
        assert_eq!(health.fitness(500), Fitness::Ejected);
        assert_eq!(goes_well(&health, 501), Change::Restored);
        assert_eq!(health.fitness(501), Fitness::Well);
    }

    #[test]
    fn a_failed_probe_ejects_for_twice_as_long_up_to_a_limit() {
        let health = ejected();
        let mut now = 500;
        let mut pauses = Vec::new();
        for _ in 0..10 {
            assert_eq!(health.fitness(now), Fitness::Probe);
            let Change::Ejected(pause) = fails(&health, now) else {
                panic!("a failed probe ejects");
            };
            pauses.push(pause.as_secs());
            now += millis(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
    }

    #[test]
    fn a_probe_that_never_ends_is_given_up() {
        let health = ejected();
        assert_eq!(health.fitness(500), Fitness::Probe);
        assert_eq!(health.fitness(500 + PROBE_MAX_MS - 1), Fitness::Ejected);
        assert_eq!(health.fitness(500 + PROBE_MAX_MS), Fitness::Probe);
    }

    #[test]
    fn a_second_ejection_is_longer_unless_the_first_is_long_ago() {
        let again = |well_for: u64| {
            let health = ejected();
            assert_eq!(health.fitness(500), Fitness::Probe);
            assert_eq!(goes_well(&health, 500), Change::Restored);
            (0..3).map(|_| fails(&health, 500 + well_for)).last()
        };
        let for_ms = |ms| Some(Change::Ejected(Duration::from_millis(ms)));
        assert_eq!(again(59_999), for_ms(1000));
        assert_eq!(again(60_000), for_ms(500));
    }

    #[test]
    fn a_replica_that_may_not_be_ejected_stays() {
        let health = Health::new(0);
        for _ in 0..100 {
            let change = health.learn(0, Verdict::Faulty, &Ejection::default(), || false);
            assert_eq!(change, Change::None);
        }
        assert_eq!(health.fitness(0), Fitness::Well);
    }

    #[test]
    fn being_busy_ejects_nobody() {
        let health = Health::new(0);
        for _ in 0..100 {
            let busy = Verdict::Busy(Duration::from_millis(10));
            assert_eq!(
                health.learn(0, busy, &Ejection::default(), || true),
                Change::None
            );
        }
    }
}
