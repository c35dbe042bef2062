//! What a pick costs: `cargo run --release -p modulith-mesh --example pick`.
//!
//! One thread; three replicas, all well; the clock is read for each pick and each end, as
//! `host/src/mesh` does.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use modulith_mesh::{Budget, BudgetOptions, Ejection, Group, Policy, Replica, Verdict};

const ROUNDS: u32 = 5_000_000;

fn main() {
    let now = Instant::now();
    let group = Group::new(Ejection::default(), now);
    let replicas: Vec<Replica> = (0..3).map(|_| group.replica(now)).collect();
    let budget = Budget::new(BudgetOptions::default(), now);
    let policy = Policy::<u8>::default();
    let mut random = fastrand::Rng::with_seed(1);
    let pick = |random: u64, now| {
        let picked = group.pick(&replicas, |it| it, now, random, None);
        picked.unwrap_or_default()
    };
    let took = Duration::from_micros(100);
    time("clock", || _ = black_box(Instant::now()));
    time("pick, without the clock", || {
        _ = black_box(pick(random.u64(..), now));
    });
    time("begin and end, without the clock", || {
        replicas[0].begin();
        replicas[0].end(now, took, Verdict::Well, replicas.len());
    });
    time("deposit", || budget.deposit());
    time("decide", || _ = black_box(policy.decide(None, 7)));
    time("all of it", || {
        let began = Instant::now();
        budget.deposit();
        let picked = pick(random.u64(..), began);
        replicas[picked].begin();
        let ended = Instant::now();
        replicas[picked].end(ended, ended - began, Verdict::Well, replicas.len());
    });
}

fn time(what: &str, mut one: impl FnMut()) {
    let begun = Instant::now();
    (0..ROUNDS).for_each(|_| one());
    let each = begun.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS);
    println!("{what:34} {each:6.1} ns");
}
