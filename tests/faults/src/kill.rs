//! `faults kill`: the real boutique under load, killed with SIGKILL about every second.
//!
//! By a `schedule` drawn from the seed one of its processes is killed, and now and then all of
//! them with their launcher (`boutique`); `kin` sees to it that nothing else ever is. A `real`
//! crowd orders all the while. In the end everything runs, every form is sent until it is known
//! what became of it, and all is stopped. Then what shoppers were told is compared with the
//! letters, `letters` says which of those were written twice, and `boutique verify` looks at the
//! stores. What the disk would lose without power is not tried here: `simulate` does that.

mod boutique;
mod kin;
mod letters;
mod placement;
mod run_files;
mod schedule;

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use tokio::time::sleep;

use self::{
    boutique::Boutique,
    letters::Letters,
    placement::Placement,
    schedule::{Blow, Schedule},
};
use crate::{
    real::{Failure, crowd::Crowd, session::Session},
    shop::audit::Findings,
};

/// How long to kill, and by which plan.
#[derive(Args)]
pub(crate) struct Options {
    /// Kill for 12 seconds in each placement.
    #[arg(long)]
    quick: bool,
    /// Kill for this long in each placement, in seconds; 60 unless told.
    #[arg(long, value_name = "N", conflicts_with = "quick")]
    seconds: Option<u64>,
    /// What is killed when.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

const SECONDS: u64 = 60;
const SECONDS_QUICK: u64 = 12;

/// How many order at the same time: enough that some order is at every step when a process dies.
const SHOPPERS: u64 = 16;

/// How long letters may take once all is well: twice the longest pause of a step
/// (`Retry::PAUSE_MAX`, 30 s).
const SETTLED_MAX: Duration = Duration::from_secs(60);
const GLANCE: Duration = Duration::from_millis(100);

/// Runs it in both placements.
pub(crate) fn run(options: &Options) -> ExitCode {
    let ordinary = if options.quick {
        SECONDS_QUICK
    } else {
        SECONDS
    };
    let (seconds, seed) = (options.seconds.unwrap_or(ordinary), options.seed);
    let again = format!("kill --seconds {seconds} --seed {seed}");
    let session = Session {
        name: "kill",
        again: &again,
    };
    session.run(async {
        let mut findings = Findings::default();
        for placement in [Placement::EveryModuleApart, Placement::OneProcess] {
            kill(placement, Duration::from_secs(seconds), seed, &mut findings).await?;
        }
        Ok(findings)
    })
}

async fn kill(
    placement: Placement,
    rough: Duration,
    seed: u64,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut boutique = Boutique::prepare(placement)?;
    boutique.start()?;
    boutique.runs().await?;
    let mut letters = Letters::in_folder(boutique.letters());
    let crowd = Crowd::enter(SHOPPERS, seed, boutique.shop());
    let schedule = Schedule::draw(seed, placement);
    let kills = strike(&mut boutique, schedule, rough, &mut letters, findings).await?;
    boutique.runs().await?;

    let books = crowd.find_out().await?;
    let settling = Instant::now();
    while !books.has_letters(&boutique.letters()) && settling.elapsed() < SETTLED_MAX {
        sleep(GLANCE).await;
    }
    boutique.stop(findings).await;
    letters.look(Instant::now(), findings);
    letters.none_is_half(findings);
    books.audit(&boutique.letters(), findings);
    let verified = boutique.verify(findings)?;

    println!(
        "{placement}, seed {seed}: {} s of killing, {:.1} s in all; {}",
        rough.as_secs(),
        begun.elapsed().as_secs_f64(),
        books.summary()
    );
    println!("{:>10} orders placed", books.orders());
    println!("{:>10} faults seen by shoppers", books.faults);
    println!("{:>10} letters written twice", letters.written_twice());
    let total: u64 = kills.values().sum();
    println!("{total:>10} kills: {}", by_process(&kills));
    println!("           {verified}");
    for (what, count) in [("kills", total), ("faults seen by shoppers", books.faults)] {
        findings.check(count > 0, || {
            format!("{placement}: no {what}, so nothing was tried")
        });
    }
    Ok(())
}

/// Kills by schedule until the time is over. How often which process was killed.
async fn strike(
    boutique: &mut Boutique,
    mut schedule: Schedule,
    rough: Duration,
    letters: &mut Letters,
    findings: &mut Findings,
) -> Result<BTreeMap<String, u64>, Failure> {
    let mut kills = BTreeMap::new();
    let over = Instant::now() + rough;
    loop {
        let (pause, blow) = schedule.next();
        if Instant::now() + pause >= over {
            break;
        }
        sleep(pause).await;
        let killed = match blow {
            Blow::One(choice) => boutique.kill_one(choice)?,
            Blow::Everything => boutique.kill_everything().await?,
        };
        if boutique.writes_no_letters(&killed) {
            letters.look(Instant::now(), findings);
        }
        for name in killed {
            *kills.entry(name).or_insert(0) += 1;
        }
        boutique.start_what_only_we_start()?;
    }
    sleep(over.saturating_duration_since(Instant::now())).await;
    Ok(kills)
}

fn by_process(kills: &BTreeMap<String, u64>) -> String {
    let each = kills.iter().map(|(name, count)| format!("{name} {count}"));
    each.collect::<Vec<_>>().join(", ")
}
