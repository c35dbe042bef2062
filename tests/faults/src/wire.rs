//! `faults lossy --wire`: the real boutique in three processes, over datagrams that get lost.
//!
//! What one process sends another goes through a `path`, which does to it what `weather` says:
//! both are drawn from the seed. A `real` crowd orders all the while. In the end the network is well,
//! every form is sent once more, the `processes` are stopped, and the letters are compared with
//! what shoppers were told. Unlike a simulation, a seed is not one course of events: processes and
//! threads run as fast as they do.

mod path;
mod processes;
mod weather;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use self::{path::Network, processes::Processes, weather::Weather};
use crate::{
    real::{Failure, crowd::Crowd, session::Session},
    shop::audit::Findings,
};

/// For how long the network is bad; beside it, starting, settling and stopping take ten seconds.
const ROUGH: Duration = Duration::from_secs(60);
const ROUGH_QUICK: Duration = Duration::from_secs(14);

/// How many order at the same time: enough that some order is at every step when a path is cut.
const SHOPPERS: u64 = 6;

/// How long letters may take once the network is well: twice the longest pause of a step
/// (`Retry::PAUSE_MAX`, 30 s).
const SETTLED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(100);

/// Runs it.
pub(crate) fn run(seed: u64, is_quick: bool) -> ExitCode {
    let again = format!("lossy --wire --seed {seed}");
    let session = Session {
        name: "lossy",
        again: &again,
    };
    session.run(carry_out(seed, is_quick))
}

async fn carry_out(seed: u64, is_quick: bool) -> Result<Findings, Failure> {
    let begun = Instant::now();
    let rough = if is_quick { ROUGH_QUICK } else { ROUGH };
    let network = Arc::new(Network::open(seed).await?);
    let mut processes = Processes::prepare()?;
    processes.start_all(&network).await?;
    let shop = processes.shop()?;

    let crowd = Crowd::enter(SHOPPERS, seed, &shop);
    Weather::draw(seed, rough).befall(&network).await;
    network.heal();
    let books = crowd.find_out().await?;
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
