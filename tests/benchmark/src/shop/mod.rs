//! A load run from start to end: reach the shop, set the shoppers going, gather their tallies.
//!
//! One arbiter per core, each with its own share of the shoppers, its own connections and its own
//! tally, so that shoppers on different cores share nothing but the progress counters.

mod client;
mod options;
mod progress;
mod report;
mod shopper;
mod tally;

pub(crate) use options::Options;
pub(crate) use report::{Report, Row};
pub(crate) use shopper::{CURRENCIES, ORDER, PRODUCTS};

use std::cell::RefCell;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use actix_rt::{Arbiter, System};
use awc::http::Method;
use fastrand::Rng;

use client::{Browser, Fault};
use progress::{Counters, Progress};
use shopper::Shopper;
use tally::Tally;

/// How often the progress bar moves; ten times a second looks alive and costs nothing.
const TICK: Duration = Duration::from_millis(100);

/// Runs the load and prints the report.
pub(crate) fn run(options: &Options) -> ExitCode {
    match measure(options) {
        Ok(report) => {
            print!("{report}");
            ExitCode::from(u8::from(report.total.failures > 0))
        }
        Err(error) => {
            match std::error::Error::source(&error) {
                Some(cause) => eprintln!("error: {error}: {cause}"),
                None => eprintln!("error: {error}"),
            }
            ExitCode::from(2)
        }
    }
}

/// Why a run could not be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("cannot reach {url} (is the shop running?)")]
    Unreachable { url: String, source: Fault },
    #[error("cannot write the report to {}", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("a worker stopped before it handed over its tally, see its panic above")]
    WorkerLost,
}

/// Runs the load. Outside any runtime.
///
/// # Errors
/// Nothing could be measured.
pub(crate) fn measure(options: &Options) -> Result<Report, RunError> {
    let system = System::new();
    system.block_on(reach(options))?;
    let json = options
        .json
        .as_ref()
        .map(|path| Ok((path, create(path)?)))
        .transpose()?;

    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!(
        "shopping at {} with {} shoppers, seed {seed}",
        options.url, options.shoppers
    );
    let started = Instant::now();
    let tally = shop(
        options,
        seed,
        started + Duration::from_secs(options.seconds.into()),
    )?;
    let report = Report::new(options, &tally, started.elapsed());

    if let Some((path, file)) = json {
        serde_json::to_writer_pretty(file, &report).map_err(|error| RunError::Unwritable {
            path: path.clone(),
            source: error.into(),
        })?;
    }
    Ok(report)
}

/// Asks for the first page, so that a wrong URL is told at once and not as a million failures.
/// What the shop answers does not matter yet.
async fn reach(options: &Options) -> Result<(), RunError> {
    Browser::new(client::new(), options.url.clone())
        .fetch(Method::GET, "/", None)
        .await
        .map(drop)
        .map_err(|source| RunError::Unreachable {
            url: options.url.to_string(),
            source,
        })
}

/// Creates the report's file before the run: a wrong path must not cost the measurement.
fn create(path: &PathBuf) -> Result<File, RunError> {
    File::create(path).map_err(|source| RunError::Unwritable {
        path: path.clone(),
        source,
    })
}

/// Lets everybody shop until `deadline` and adds up what they saw.
fn shop(options: &Options, seed: u64, deadline: Instant) -> Result<Tally, RunError> {
    let shoppers = usize::from(options.shoppers.get());
    let workers = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(shoppers);
    let mut seeds = Rng::with_seed(seed);
    let mut shares = vec![Vec::new(); workers];
    for shopper in 0..shoppers {
        shares[shopper % workers].push(seeds.fork());
    }

    let counters = Arc::new(Counters::default());
    let (sender, tallies) = mpsc::channel();
    let arbiters: Vec<Arbiter> = shares
        .into_iter()
        .map(|rngs| {
            let (options, counters, sender) = (options.clone(), counters.clone(), sender.clone());
            let arbiter = Arbiter::new();
            arbiter.spawn_fn(move || {
                actix_rt::spawn(async move {
                    // Nobody listens any more once another worker was lost.
                    let _ = sender.send(work(options, rngs, counters, deadline).await);
                });
            });
            arbiter
        })
        .collect();
    drop(sender);

    let mut progress = Progress::new(options.seconds, counters);
    let mut total = Tally::new();
    let mut missing = workers;
    while missing > 0 {
        match tallies.recv_timeout(TICK) {
            Ok(tally) => {
                total.merge(tally);
                missing -= 1;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => progress.tick(),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(RunError::WorkerLost),
        }
    }
    progress.finish();

    for arbiter in arbiters {
        arbiter.stop();
        // A panic after the tally was handed over changes nothing that was measured.
        let _ = arbiter.join();
    }
    Ok(total)
}

/// One core's share: a shopper for each of `rngs`, all using one pool of connections.
async fn work(
    options: Options,
    rngs: Vec<Rng>,
    counters: Arc<Counters>,
    deadline: Instant,
) -> Tally {
    let tally = Rc::new(RefCell::new(Tally::new()));
    let client = client::new();
    let shoppers: Vec<_> = rngs
        .into_iter()
        .map(|rng| {
            let shopper = Shopper {
                browser: Browser::new(client.clone(), options.url.clone()),
                rng,
                think: Duration::from_millis(options.think_ms.into()),
                deadline,
                tally: tally.clone(),
                counters: counters.clone(),
            };
            actix_rt::spawn(shopper.shop())
        })
        .collect();
    for shopper in shoppers {
        shopper
            .await
            .expect("a shopper neither panics nor is cancelled");
    }
    tally.replace(Tally::new())
}
