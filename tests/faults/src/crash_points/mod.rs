//! `faults crash-points`: a crash at every point of a run.
//!
//! A run of three small modules (`ledger`, `counter`, `conductor`, driven by `script`) is recorded
//! by a storage in memory (`recorder`): every write, change of length and sync, in order, and
//! between which of them each answer was given. For every point of that order, `image` makes what
//! a crash there can leave on the disk, and `check` starts a node on it and compares.

mod check;
mod conductor;
mod counter;
mod image;
mod ledger;
mod recorder;
mod sabotage;
mod script;
mod world;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
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

use self::{
    check::Point,
    image::{Image, Kind},
    recorder::What,
    sabotage::Sabotage,
    script::{Run, Size},
};

/// Which points to crash at.
#[derive(Args)]
pub(crate) struct Options {
    /// Tear once at each point of a shorter run: seconds instead of minutes.
    #[arg(long)]
    quick: bool,
    /// The first seed that decides what is torn, and where.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only the point after so many steps.
    #[arg(long, value_name = "K")]
    point: Option<usize>,
    /// Only this kind of crash.
    #[arg(long)]
    kind: Option<Kind>,
}

/// How often the run's usual course of events is taken.
const ROUNDS: u64 = 4;
const ROUNDS_QUICK: u64 = 2;

/// With how many seeds each point is torn.
const TORN: u64 = 10;
const TORN_QUICK: u64 = 1;

/// At one point of so many, crashes are followed by another during the start.
const TWICE_EVERY: usize = 4;

/// How many violations are reported; the rest are only counted.
const REPORTED_MAX: usize = 20;

/// How many points one thread takes at a time; their images are made one from the other.
const STRETCH: usize = 16;

/// Runs it.
pub(crate) fn run(options: &Options) -> ExitCode {
    let began = Instant::now();
    let rounds = if options.quick { ROUNDS_QUICK } else { ROUNDS };
    let torn = if options.quick { TORN_QUICK } else { TORN };
    let run = script::record(Size { rounds }, Sabotage::None);
    describe(&run);
    let only = options.point.is_some();
    let kinds = kinds(options.seed, if only { 1 } else { torn });
    let kinds: Vec<_> = kinds
        .into_iter()
        .filter(|(kind, _)| options.kind.is_none_or(|only| only == *kind))
        .collect();
    let points = match options.point {
        Some(point) => point..point + 1,
        None => 0..run.steps.len() + 1,
    };
    let found = check_all(&run, points, &kinds, Sabotage::None);
    for (kind, count) in &found.checked {
        println!("{count:>10} {kind}");
    }
    let quick = if options.quick { " --quick" } else { "" };
    for (point, findings) in found.violations.iter().take(REPORTED_MAX) {
        let Point { after, kind, seed } = point;
        println!(
            "VIOLATION at point {after}, {kind}; again: cargo run --release -p faults -- crash-points{quick} --point {after} --kind {kind} --seed {seed}"
        );
        for finding in findings {
            println!("  {finding}");
        }
    }
    let checked: usize = found.checked.values().sum();
    let violations = found.violations.len();
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    println!("crash-points: {checked} checked, {violations} violations");
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn describe(run: &Run) {
    let count = |is: fn(&What) -> bool| run.steps.iter().filter(|step| is(&step.what)).count();
    let writes = count(|what| matches!(what, What::Write(..)));
    let lengths = count(|what| matches!(what, What::Length(_)));
    let syncs = count(|what| matches!(what, What::Sync));
    let told = run.deeds.iter().filter(|deed| deed.told.is_some()).count();
    println!(
        "{} steps ({writes} writes, {lengths} changes of length, {syncs} syncs), {told} answers",
        run.steps.len()
    );
}

/// The kinds of crash at each point, with their seeds.
fn kinds(seed: u64, torn: u64) -> Vec<(Kind, u64)> {
    let mut kinds = vec![(Kind::Kept, seed), (Kind::Dropped, seed)];
    kinds.extend((seed..seed + torn).map(|seed| (Kind::Torn, seed)));
    kinds.extend((seed..seed + torn).map(|seed| (Kind::Twice, seed)));
    kinds
}

/// What was found at many points.
#[derive(Default)]
struct Found {
    checked: BTreeMap<Kind, usize>,
    violations: Vec<(Point, Vec<String>)>,
}

/// Checks every point on every core.
fn check_all(
    run: &Run,
    points: std::ops::Range<usize>,
    kinds: &[(Kind, u64)],
    sabotage: Sabotage,
) -> Found {
    let next = AtomicUsize::new(points.start);
    let found = Mutex::new(Found::default());
    let work = || {
        let mut image = Image::default();
        let mut done = 0;
        loop {
            let from = next.fetch_add(STRETCH, Ordering::Relaxed);
            if from >= points.end {
                return;
            }
            for after in from..points.end.min(from + STRETCH) {
                run.steps[done..after]
                    .iter()
                    .for_each(|step| image.step(step));
                done = after;
                for (kind, seed) in kinds.iter().copied() {
                    let is_one = points.len() == 1;
                    if kind == Kind::Twice && !is_one && after % TWICE_EVERY > 0 {
                        continue;
                    }
                    let point = Point { after, kind, seed };
                    let findings = check_guarded(run, &image, point, sabotage);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    *found.checked.entry(kind).or_default() += 1;
                    if !findings.is_empty() {
                        found.violations.push((point, findings));
                    }
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found
        .violations
        .sort_by_key(|(point, _)| (point.after, point.kind, point.seed));
    found
}

/// Checks a point; a panic there is a violation.
fn check_guarded(run: &Run, image: &Image, point: Point, sabotage: Sabotage) -> Vec<String> {
    let checked = AssertUnwindSafe(|| check::check(run, image, point, sabotage));
    catch_unwind(checked).unwrap_or_else(|_| vec!["it panicked".to_string()])
}
