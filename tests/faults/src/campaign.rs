//! Many simulations: on every core, one thread each, and what was found in the end.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use clap::Args;

use crate::{
    simulation::{self, Plan, Report, shrink},
    tally::Tally,
};

/// How many seeds to run.
#[derive(Args)]
pub(crate) struct Options {
    /// Run few seeds: seconds instead of minutes.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Run this seed only, and print what happens.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Run this many seeds.
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
}

/// A kind of simulation, as a subcommand runs it.
pub(crate) struct Campaign {
    pub(crate) name: &'static str,
    /// Draws a plan from a seed.
    pub(crate) plan: fn(u64) -> Plan,
    /// Seeds to run first, one to a line.
    pub(crate) regressions: &'static str,
    pub(crate) seeds: u64,
    pub(crate) seeds_quick: u64,
    /// The kinds of fault it has no part in.
    pub(crate) never: &'static [&'static str],
}

/// How many failing seeds are reported; the rest are only counted.
const REPORTED_MAX: usize = 5;

/// Each seed that this divides is run twice, to see that it is the same both times.
const REPEATED: u64 = 20;

/// Runs a campaign and says what was found.
pub(crate) fn run(campaign: &Campaign, options: &Options) -> ExitCode {
    if let Some(seed) = options.seed {
        return run_one(campaign, seed);
    }
    let count = options.seeds.unwrap_or(if options.quick {
        campaign.seeds_quick
    } else {
        campaign.seeds
    });
    let mut seeds = seeds_in(campaign.regressions);
    seeds.extend(options.from..options.from.saturating_add(count));
    let begun = Instant::now();
    let (tally, failed) = run_all(campaign, &seeds);
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    for (seed, violations) in failed.iter().take(REPORTED_MAX) {
        report(campaign, *seed, violations);
    }
    let mut violations = failed
        .iter()
        .map(|(_, violations)| violations.len())
        .sum::<usize>();
    let Tally {
        checked,
        calls,
        orders,
        virtual_ms,
        faults,
    } = tally;
    let seconds = virtual_ms / 1000;
    println!(
        "{} seeds in {:.1} s ({:.0} a minute): {calls} calls, {orders} orders, {seconds} s of virtual time",
        seeds.len(),
        minutes * 60.0,
        seeds.len() as f64 / minutes,
    );
    for (kind, count) in faults.by_kind() {
        println!("{count:>10} {kind}");
        if count == 0 && !campaign.never.contains(&kind) {
            println!("           VIOLATION: none were injected, so nothing was tried");
            violations += 1;
        }
    }
    if failed.len() > REPORTED_MAX {
        let seeds: Vec<_> = failed.iter().map(|(seed, _)| seed.to_string()).collect();
        println!("failing seeds: {}", seeds.join(" "));
    }
    println!(
        "{}: {checked} checked, {violations} violations",
        campaign.name
    );
    verdict(violations)
}

/// The seeds of a file: the first word of each line that is not a comment.
pub(crate) fn seeds_in(text: &str) -> Vec<u64> {
    let words = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    words.filter_map(|word| word.parse().ok()).collect()
}

fn run_one(campaign: &Campaign, seed: u64) -> ExitCode {
    let plan = (campaign.plan)(seed);
    println!("{plan:#?}");
    let found = simulation::run(&plan, true);
    println!("trace {:016x}", found.hash);
    if !found.violations.is_empty() {
        report(campaign, seed, &found.violations);
    }
    let (checked, violations) = (found.tally.checked, found.violations.len());
    println!(
        "{}: {checked} checked, {violations} violations",
        campaign.name
    );
    verdict(violations)
}

/// The exit code.
pub(crate) fn verdict(violations: usize) -> ExitCode {
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs every seed, and gives back those that failed, in order.
fn run_all(campaign: &Campaign, seeds: &[u64]) -> (Tally, Vec<(u64, Vec<String>)>) {
    let next = AtomicUsize::new(0);
    let found = Mutex::new((Tally::default(), Vec::new()));
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let plan = (campaign.plan)(*seed);
            let mut report = run_guarded(&plan);
            if seed.is_multiple_of(REPEATED) {
                report.tally.checked += 1;
                if run_guarded(&plan).hash != report.hash {
                    let what = "the same seed again was another course of events";
                    report.violations.push(what.to_string());
                }
            }
            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
            found.0 += report.tally;
            if !report.violations.is_empty() {
                found.1.push((*seed, report.violations));
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (tally, mut failed) = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort();
    (tally, failed)
}

/// Runs a plan; a panic in it is a violation.
pub(crate) fn run_guarded(plan: &Plan) -> Report {
    let ran = catch_unwind(AssertUnwindSafe(|| simulation::run(plan, false)));
    ran.unwrap_or_else(|_| Report {
        violations: vec!["the simulation panicked".to_string()],
        tally: Tally::default(),
        hash: 0,
    })
}

fn report(campaign: &Campaign, seed: u64, violations: &[String]) {
    let name = campaign.name;
    println!("seed {seed} fails; again: cargo run --release -p faults -- {name} --seed {seed}");
    for violation in violations {
        println!("  VIOLATION: {violation}");
    }
    let smallest = shrink((campaign.plan)(seed), |plan| {
        !run_guarded(plan).violations.is_empty()
    });
    println!("  it still fails with no more than {smallest:?}\n");
}
