//! Power of two choices: of two replicas at random, the one with less to do.
//!
//! Nearly as even as asking every replica how busy it is, at the cost of asking two, and without
//! everybody running to the one that looks best (Mitzenmacher, "The power of two choices in
//! randomized load balancing", 2001). What a replica has to do is its calls in flight, counted by
//! this process, times how long it takes.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicU32, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    time::{Duration, Instant},
};

use crate::{
    Change, Ejection, Verdict,
    health::{Fitness, Health},
    latency::Latency,
    ticks::Epoch,
};

/// What the replicas of one process have in common.
#[derive(Debug)]
pub struct Group {
    epoch: Epoch,
    rules: Ejection,
    /// How many of them are out now.
    out: AtomicUsize,
}

/// What a caller knows of one replica.
#[derive(Debug)]
pub struct Replica {
    group: Arc<Group>,
    in_flight: AtomicU32,
    latency: Latency,
    health: Health,
}

impl Group {
    /// Begins with no replicas.
    pub fn new(rules: Ejection, now: Instant) -> Arc<Self> {
        Arc::new(Self {
            epoch: Epoch::new(now),
            rules,
            out: AtomicUsize::new(0),
        })
    }

    /// Gets to know a replica.
    pub fn replica(self: &Arc<Self>, now: Instant) -> Replica {
        let now_ms = self.epoch.millis(now);
        Replica {
            group: Arc::clone(self),
            in_flight: AtomicU32::new(0),
            latency: Latency::new(now_ms),
            health: Health::new(now_ms),
        }
    }

    /// Chooses one of the replicas; none when there are none.
    ///
    /// `replica_of` finds what is known of a replica in whatever holds it. `avoid` is one that was tried already; it is chosen only when there is no other. Replicas
    /// that are out are passed over, but when one's time is over, this call may be its probe.
    /// Should more than half be out, which happens when others leave, all count again: a slow
    /// answer is better than none.
    pub fn pick<R>(
        &self,
        replicas: &[R],
        replica_of: impl Fn(&R) -> &Replica,
        now: Instant,
        random: u64,
        avoid: Option<usize>,
    ) -> Option<usize> {
        match (replicas.len(), avoid) {
            (0, _) => return None,
            (1, _) => return Some(0),
            (2, Some(avoid)) => return Some(usize::from(avoid == 0)),
            _ => {}
        }
        let now_ms = self.epoch.millis(now);
        let out = self.out.load(Relaxed);
        let judges = out > 0 && out * 2 <= replicas.len();
        let (first, second) = two(replicas.len(), random, avoid);
        let replica = |index: usize| replica_of(&replicas[index]);
        if !judges {
            return Some(lesser(first, second, |index| replica(index).cost(now_ms)));
        }
        let fitness = |index| replica(index).health.fitness(now_ms);
        match (fitness(first), fitness(second)) {
            (Fitness::Probe, _) => Some(first),
            (_, Fitness::Probe) => Some(second),
            (Fitness::Well, Fitness::Well) => {
                Some(lesser(first, second, |index| replica(index).cost(now_ms)))
            }
            (Fitness::Well, Fitness::Ejected) => Some(first),
            (Fitness::Ejected, Fitness::Well) => Some(second),
            (Fitness::Ejected, Fitness::Ejected) => {
                let count = replicas.len();
                let from_first = (0..count).map(|step| (first + step) % count);
                let mut others = from_first.filter(|index| Some(*index) != avoid);
                let well = others.find(|index| !replica(*index).health.is_out());
                Some(well.unwrap_or(first))
            }
        }
    }

    /// How many replicas are out now.
    pub fn ejected(&self) -> usize {
        self.out.load(Relaxed)
    }

    /// Takes one more out, unless half of `count` are.
    fn take_out(&self, count: usize) -> bool {
        let more = |out: usize| (out < count / 2).then_some(out + 1);
        self.out.fetch_update(AcqRel, Acquire, more).is_ok()
    }
}

impl Replica {
    /// Notes that a call is on its way.
    pub fn begin(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// Notes how a call went that began before, and how long it took. `count` is how many
    /// replicas there are: no more than half of them are ever ejected.
    pub fn end(&self, now: Instant, took: Duration, verdict: Verdict, count: usize) -> Change {
        self.in_flight.fetch_sub(1, Relaxed);
        let now_ms = self.group.epoch.millis(now);
        match verdict {
            Verdict::Well => self.latency.record(now_ms, took),
            Verdict::Faulty | Verdict::Unknown => self.latency.record_at_least(now_ms, took),
            Verdict::Busy(pause) => self.latency.record_at_least(now_ms, took.max(pause)),
        }
        let mut taken = false;
        let may_eject = || {
            taken = self.group.take_out(count);
            taken
        };
        let change = self
            .health
            .learn(now_ms, verdict, &self.group.rules, may_eject);
        match change {
            Change::Restored => _ = self.group.out.fetch_sub(1, AcqRel),
            // Another thread ejected it at the same moment.
            Change::None if taken => _ = self.group.out.fetch_sub(1, AcqRel),
            Change::None | Change::Ejected(_) => {}
        }
        change
    }

    /// Notes the end of a call whose length says nothing, such as a question left open on purpose.
    pub fn end_untimed(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// Calls on their way now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Whether it is left alone now, or probed.
    pub fn is_ejected(&self) -> bool {
        self.health.is_out()
    }

    fn cost(&self, now_ms: u64) -> f32 {
        let calls = self.in_flight.load(Relaxed) as f32 + 1.0;
        // One more microsecond: nothing is infinitely fast, and calls in flight always count.
        calls * (self.latency.read(now_ms) + 1.0)
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if self.health.is_out() {
            self.group.out.fetch_sub(1, AcqRel);
        }
    }
}

/// Two different places out of `count`, neither of them `avoid`. At least two must be left.
fn two(count: usize, random: u64, avoid: Option<usize>) -> (usize, usize) {
    let skip = avoid.filter(|avoid| *avoid < count);
    let left = count - usize::from(skip.is_some());
    let below = |bits: u64, limit: usize| (((bits & 0xffff_ffff) * limit as u64) >> 32) as usize;
    let first = below(random, left);
    let second = (first + 1 + below(random >> 32, left - 1)) % left;
    let beyond = |index: usize| index + usize::from(skip.is_some_and(|skip| index >= skip));
    (beyond(first), beyond(second))
}

fn lesser(first: usize, second: usize, cost: impl Fn(usize) -> f32) -> usize {
    if cost(second) < cost(first) {
        second
    } else {
        first
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn group(count: usize, now: Instant) -> (Arc<Group>, Vec<Replica>) {
        let group = Group::new(Ejection::default(), now);
        let replicas = (0..count).map(|_| group.replica(now)).collect();
        (group, replicas)
    }

    fn itself(replica: &Replica) -> &Replica {
        replica
    }

    fn fail(replica: &Replica, now: Instant, count: usize) -> Change {
        replica.begin();
        replica.end(now, Duration::ZERO, Verdict::Faulty, count)
    }

    fn eject(replica: &Replica, now: Instant, count: usize) {
        for _ in 0..3 {
            fail(replica, now, count);
        }
    }

    /// Simulates calls that take as long as their replica takes; how many each got.
    fn spread(took_ms: &[u64], calls: u32, at_once: usize) -> Vec<u32> {
        let mut now = Instant::now();
        let mut random = fastrand::Rng::with_seed(7);
        let (group, replicas) = group(took_ms.len(), now);
        let mut got = vec![0; took_ms.len()];
        let mut under_way: Vec<(Instant, Instant, usize)> = Vec::new();
        for _ in 0..calls {
            if under_way.len() == at_once {
                under_way.sort_by_key(|(ends, ..)| *ends);
                let (ends, began, index) = under_way.remove(0);
                now = now.max(ends);
                replicas[index].end(now, ends - began, Verdict::Well, replicas.len());
            }
            let index = group
                .pick(&replicas, itself, now, random.u64(..), None)
                .unwrap();
            replicas[index].begin();
            got[index] += 1;
            under_way.push((now + Duration::from_millis(took_ms[index]), now, index));
        }
        got
    }

    #[test]
    fn replicas_that_are_alike_get_alike() {
        let got = spread(&[5, 5, 5, 5], 4000, 16);
        assert!(got.iter().all(|it| (800..1200).contains(it)), "{got:?}");
    }

    #[test]
    fn a_slow_replica_gets_far_fewer_calls() {
        let got = spread(&[2, 2, 200], 3000, 16);
        assert!(got[2] * 20 < got[0] && got[2] > 0, "{got:?}");
    }

    #[test]
    fn an_ejected_replica_gets_one_call_when_its_time_is_over() {
        let now = Instant::now();
        let (group, replicas) = group(4, now);
        eject(&replicas[1], now, 4);
        let picks = |now| {
            let mut random = fastrand::Rng::with_seed(3);
            let picks = (0..1000).map(|_| group.pick(&replicas, itself, now, random.u64(..), None));
            picks.filter(|pick| *pick == Some(1)).count()
        };
        assert_eq!(picks(now), 0);
        assert_eq!(picks(now + Duration::from_millis(500)), 1);
        replicas[1].begin();
        let later = now + Duration::from_millis(501);
        let change = replicas[1].end(later, Duration::ZERO, Verdict::Well, 4);
        assert_eq!((change, group.ejected()), (Change::Restored, 0));
        assert!(picks(later) > 100);
    }

    #[test]
    fn never_more_than_half_are_ejected() {
        let now = Instant::now();
        for count in 1..8 {
            let (group, replicas) = group(count, now);
            replicas.iter().for_each(|it| eject(it, now, count));
            assert_eq!(group.ejected(), count / 2);
            assert!(group.pick(&replicas, itself, now, 0, None).is_some());
        }
    }

    #[test]
    fn when_well_ones_leave_all_count_again() {
        let now = Instant::now();
        let (group, mut replicas) = group(4, now);
        eject(&replicas[0], now, 4);
        eject(&replicas[1], now, 4);
        replicas.truncate(2);
        let mut random = fastrand::Rng::with_seed(3);
        let mut pick = || {
            group
                .pick(&replicas, itself, now, random.u64(..), None)
                .unwrap()
        };
        let picked: Vec<_> = (0..100).map(|_| pick()).collect();
        assert!(picked.contains(&0) || picked.contains(&1));
        drop(replicas);
        assert_eq!(group.ejected(), 0);
    }

    #[test]
    fn threads_do_not_eject_more_than_half_between_them() {
        let now = Instant::now();
        let (group, replicas) = group(8, now);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        replicas.iter().for_each(|it| _ = fail(it, now, 8));
                    }
                });
            }
        });
        assert_eq!(group.ejected(), 4);
        let out = replicas.iter().filter(|it| it.is_ejected()).count();
        assert_eq!(out, 4);
    }

    proptest! {
        #[test]
        fn two_are_different_and_neither_is_avoided(
            count in 3_usize..50,
            random: u64,
            avoid in prop::option::of(0_usize..60),
        ) {
            let (first, second) = two(count, random, avoid);
            prop_assert!(first < count && second < count && first != second);
            prop_assert!(Some(first) != avoid && Some(second) != avoid);
        }

        #[test]
        fn whatever_happens_there_is_a_pick_and_no_more_than_half_are_out(
            count in 1_usize..7,
            steps in prop::collection::vec((0_usize..7, 0_u8..5, 0_u64..700, any::<u64>()), 1..300),
        ) {
            let mut now = Instant::now();
            let (group, replicas) = group(count, now);
            for (which, what, pause, random) in steps {
                now += Duration::from_millis(pause);
                let replica = &replicas[which % count];
                let verdict = match what {
                    0 => Verdict::Well,
                    1 => Verdict::Busy(Duration::from_millis(5)),
                    2 => Verdict::Unknown,
                    _ => Verdict::Faulty,
                };
                replica.begin();
                replica.end(now, Duration::from_millis(pause), verdict, count);
                let picked = group.pick(&replicas, itself, now, random, Some(which % count));
                prop_assert!(picked.is_some_and(|index| index < count));
                if count > 1 {
                    prop_assert_ne!(picked, Some(which % count));
                }
                prop_assert!(group.ejected() <= count / 2);
                let out = replicas.iter().filter(|it| it.is_ejected()).count();
                prop_assert_eq!(out, group.ejected());
            }
        }
    }
}
