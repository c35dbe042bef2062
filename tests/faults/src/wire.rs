//! `faults lossy --wire`: the real boutique in three processes, over datagrams that get lost.
//!
//! What one process sends another goes through a `path`, which does to it what `weather` says:
//! both are drawn from the seed. `shopper`s order all the while. In the end the network is well,
//! every form is sent once more, the `processes` are stopped, and the `books` are compared with
//! what shoppers were told. Unlike a simulation, a seed is not one course of events: processes and
//! threads run as fast as they do.

mod books;
mod browser;
mod path;
mod processes;
mod shopper;
mod weather;

use std::{
    collections::BTreeMap,
    fmt::Display,
    pin::pin,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{Either, join_all, select};
use tokio::{runtime::Builder, signal::ctrl_c, task::spawn_blocking, time::sleep};

use self::{books::Books, path::Network, processes::Processes, shopper::Shopper, weather::Weather};
use crate::{campaign, shop::audit::Findings};

/// For how long the network is bad; beside it, starting, settling and stopping take ten seconds.
const ROUGH: Duration = Duration::from_secs(60);
const ROUGH_QUICK: Duration = Duration::from_secs(14);

/// How many order at the same time: enough that some order is at every step when a path is cut.
const SHOPPERS: u64 = 6;

/// How long letters may take once the network is well: twice the longest pause of a step
/// (`Retry::PAUSE_MAX`, 30 s).
const SETTLED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(100);

/// How a shell hears of Ctrl-C.
const INTERRUPTED: u8 = 130;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs it. Whatever was started is ended, also after Ctrl-C.
pub(crate) fn run(seed: u64, is_quick: bool) -> ExitCode {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot("start", &error),
    };
    let code = runtime.block_on(async {
        let interrupted = pin!(ctrl_c());
        match select(pin!(carry_out(seed, is_quick)), interrupted).await {
            Either::Left((Ok(findings), _)) => conclude(seed, &findings),
            Either::Left((Err(error), _)) => cannot("carry on", &error),
            Either::Right(_) => ExitCode::from(INTERRUPTED),
        }
    });
    // Shoppers may still wait for a page.
    runtime.shutdown_background();
    code
}

fn cannot(attempt: &str, error: &dyn Display) -> ExitCode {
    eprintln!("lossy: cannot {attempt}: {error}");
    ExitCode::FAILURE
}

fn conclude(seed: u64, findings: &Findings) -> ExitCode {
    for violation in &findings.violations {
        println!("  VIOLATION: {violation}");
    }
    let violations = findings.violations.len();
    if violations > 0 {
        println!("again: cargo run --release -p faults -- lossy --wire --seed {seed}");
    }
    println!(
        "lossy: {} checked, {violations} violations",
        findings.checked
    );
    campaign::verdict(violations)
}

async fn carry_out(seed: u64, is_quick: bool) -> Result<Findings, Failure> {
    let begun = Instant::now();
    let rough = if is_quick { ROUGH_QUICK } else { ROUGH };
    let network = Arc::new(Network::open(seed).await?);
    let mut processes = Processes::prepare()?;
    processes.start_all(&network).await?;
    let shop = processes.shop()?;

    let is_over = Arc::new(AtomicBool::new(false));
    let shopping = (0..SHOPPERS).map(|number| {
        let (mut shopper, is_over) = (Shopper::new(number, seed, &shop), is_over.clone());
        spawn_blocking(move || {
            shopper.shop(&is_over);
            shopper
        })
    });
    let shopping = join_all(shopping.collect::<Vec<_>>());
    Weather::draw(seed, rough).befall(&network).await;
    network.heal();
    is_over.store(true, Ordering::Relaxed);
    let asked = shopping.await.into_iter().map(|shopper| {
        spawn_blocking(move || {
            let mut shopper = shopper?;
            shopper.ask_again();
            Ok::<_, tokio::task::JoinError>(shopper)
        })
    });
    let mut shoppers = Vec::new();
    for shopper in join_all(asked.collect::<Vec<_>>()).await {
        shoppers.push(shopper??);
    }

    let books = Books::of(shoppers);
    let letters = processes.letters();
    let settling = Instant::now();
    while !books.has_letters(&letters) && settling.elapsed() < SETTLED_MAX {
        sleep(GLANCE).await;
    }
    let mut findings = Findings::default();
    let broken = processes.connections_broken();
    processes.stop(&mut findings).await;
    books.audit(&letters, &mut findings);
    println!(
        "seed {seed}: {} s of bad network, {:.1} s in all; {}",
        rough.as_secs(),
        begun.elapsed().as_secs_f64(),
        books.summary()
    );
    let mut faults = network.faults();
    faults.insert("connections broken", broken);
    tell(network.carried(), &faults, &mut findings);
    Ok(findings)
}

/// Prints what was done wrong. A kind that never was has tried nothing.
fn tell(carried: u64, faults: &BTreeMap<&'static str, u64>, findings: &mut Findings) {
    println!("{carried:>10} datagrams sent");
    for (kind, count) in faults {
        println!("{count:>10} {kind}");
        findings.check(*count > 0, || {
            format!("{kind}: none were injected, so nothing was tried")
        });
    }
}
