//! `chaos`: a game day for the running application. Kills instances, holds calls back and lets them
//! fail, for a time; then takes all of that away, waits until everything runs, and audits.

use std::{collections::BTreeMap, path::Path, time::Duration};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::time::{Instant, sleep, timeout_at};

use super::{CommandError, Common, audit, print, printed};
use crate::{
    App,
    config::Loaded,
    mesh::{FAULT_MAX, FaultOrder},
    operate::{OperateError, Seat},
    run_folder::{Note, RunFolder},
    signals::Signals,
    status::{self, LAUNCHER, ProcessState, ProcessStatus},
    verify,
};

/// How often one instance is killed at most: a launcher gives up what ends ten times in a row.
const KILLS_MAX: usize = 8;

/// How long the application may take to run again when it is over.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// How long between two looks at whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    chaos --kill orders                        kills process orders every 5 s, for 30 s\n  \
    chaos --for 2m --delay cart=200            holds every call to cart back for 200 ms\n  \
    chaos --drop currency=5 --drop ad=20       lets 5 % of the calls to currency fail, 20 % to ad\n  \
    chaos --kill currency --every 2s --json\n\n\
    Works on an application that runs under a launcher, which starts again what is killed. Delays\n\
    and drops concern calls between processes; a module in the asker's own process is asked\n\
    directly. Ctrl-C ends it early; what was put in is taken away then, and ends by itself should\n\
    this program be killed.\n\
    Exit codes: 0 the audit found nothing, 1 it did, or not everything came back, 2 it could not\n\
    be begun.")]
pub(crate) struct ChaosArgs {
    /// For how long, such as 500ms, 30s or 2m
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration)]
    lasts: Duration,
    /// A process of which an instance is killed again and again; may be repeated
    #[arg(long, value_name = "PROCESS")]
    kill: Vec<String>,
    /// How long between two kills
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    every: Duration,
    /// Holds calls to a module or message back; may be repeated
    #[arg(long, value_name = "MODULE=MS", value_parser = assigned::<u64>)]
    delay: Vec<(String, u64)>,
    /// Lets a share of the calls to a module or message fail, in percent; may be repeated
    #[arg(long, value_name = "MODULE=PERCENT", value_parser = assigned::<u8>)]
    drop: Vec<(String, u8)>,
    #[command(flatten)]
    pub(super) common: Common,
}

/// Why there is no game day, or what is left of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChaosError {
    #[error(
        "nothing to do: say what with --kill PROCESS, --delay MODULE=MS or --drop MODULE=PERCENT"
    )]
    NothingToDo,
    #[error("--kill {found}: no such process runs; those that do are {}", running.join(", "))]
    UnknownProcess { found: String, running: Vec<String> },
    #[error(
        "no launcher runs on this data folder, so nothing would start again what is killed; \
             start the application with `run`"
    )]
    NoLauncher,
    #[error("nothing runs on this data folder; start the application with `run`")]
    NothingRuns,
    #[error("{option} {found:?}: expected {expected}")]
    OutOfRange {
        option: &'static str,
        found: String,
        expected: String,
    },
    #[error("it is over, and not everything runs again after {} s: {}", BACK_WITHIN.as_secs(), missing.join(", "))]
    NotBack { missing: Vec<String> },
    #[error("{0}")]
    Refused(String),
    #[error("cannot listen for signals")]
    Signals(#[source] std::io::Error),
}

/// What was done, and what the audit found.
#[derive(Debug, Serialize)]
struct Outcome {
    lasted_ms: u64,
    kills: Vec<Kill>,
    faults: Vec<FaultOrder>,
    audit: verify::Report,
}

/// One instance that was killed.
#[derive(Debug, Clone, Serialize)]
struct Kill {
    at_ms: u64,
    instance: String,
    pid: u32,
}

/// A game day under way.
struct Game<'a> {
    args: &'a ChaosArgs,
    run: RunFolder,
    begun: Instant,
    /// By what they are about, without their time.
    faults: BTreeMap<String, (u64, u8)>,
    kills: Vec<Kill>,
}

pub(super) async fn run(
    app: &App,
    loaded: Loaded,
    args: &ChaosArgs,
    reload: impl Fn() -> Option<Loaded>,
) -> Result<u8, CommandError> {
    let mut signals = Signals::listen().map_err(ChaosError::Signals)?;
    let mut game = Game::prepare(&loaded, args)?;
    if let Err(error) = game.put_faults(true) {
        _ = game.take_away();
        return Err(match error {
            OperateError::Operation(refused) => ChaosError::Refused(refused.to_string()).into(),
            other => other.into(),
        });
    }
    let played = game.play(&mut signals).await;
    // Whatever happened, what was put in goes.
    let healed = game.take_away();
    played?;
    healed?;
    let lasted = game.begun.elapsed();
    game.say("over; waiting until everything runs");
    until_back(&loaded.config.data, &mut signals).await?;
    game.say("everything runs; auditing");
    let outcome = Outcome {
        lasted_ms: millis(lasted),
        faults: game.orders(Duration::ZERO).collect(),
        kills: game.kills,
        audit: audit(app, reload().unwrap_or(loaded)).await?,
    };
    print(&printed(args.common.json, &outcome, text))?;
    Ok(u8::from(outcome.audit.violations > 0))
}

fn text(outcome: &Outcome) -> String {
    let kills = outcome.kills.len();
    let seconds = outcome.lasted_ms.div_ceil(1000);
    format!(
        "{kills} killed in {seconds} s\n{}",
        verify::text(&outcome.audit)
    )
}

impl<'a> Game<'a> {
    fn prepare(loaded: &Loaded, args: &'a ChaosArgs) -> Result<Self, ChaosError> {
        let run = RunFolder::of(&loaded.config.data);
        if args.kill.is_empty() && args.delay.is_empty() && args.drop.is_empty() {
            return Err(ChaosError::NothingToDo);
        }
        let out_of_range = |option, found: Duration, expected: &str| ChaosError::OutOfRange {
            option,
            found: format!("{found:?}"),
            expected: expected.to_string(),
        };
        if args.lasts > FAULT_MAX {
            return Err(out_of_range("--for", args.lasts, "at most an hour"));
        }
        if args.every < Duration::from_millis(100) {
            return Err(out_of_range("--every", args.every, "at least 100ms"));
        }
        let running = run.held();
        if running.is_empty() {
            return Err(ChaosError::NothingRuns);
        }
        if !args.kill.is_empty() && !running.iter().any(|name| name == LAUNCHER) {
            return Err(ChaosError::NoLauncher);
        }
        let named = |process: &&String| running.iter().any(|name| is_instance(name, process));
        if let Some(found) = args.kill.iter().find(|process| !named(process)) {
            return Err(ChaosError::UnknownProcess {
                found: found.clone(),
                running: running.into_iter().filter(|it| it != LAUNCHER).collect(),
            });
        }
        let mut faults = BTreeMap::<String, (u64, u8)>::new();
        for (about, delay_ms) in &args.delay {
            faults.entry(about.clone()).or_default().0 = *delay_ms;
        }
        for (about, percent) in &args.drop {
            faults.entry(about.clone()).or_default().1 = *percent;
        }
        Ok(Self {
            args,
            run,
            begun: Instant::now(),
            faults,
            kills: Vec::new(),
        })
    }

    /// Does its worst until its time is over, or somebody has seen enough.
    async fn play(&mut self, signals: &mut Signals) -> Result<(), OperateError> {
        let end = self.begun + self.args.lasts;
        for (about, (delay_ms, percent)) in &self.faults {
            self.say(&format!(
                "calls to {about}: held {delay_ms} ms, {percent} % fail"
            ));
        }
        while Instant::now() < end {
            self.kill_one();
            let next = end.min(Instant::now() + self.args.every);
            if timeout_at(next, signals.next()).await.is_ok() {
                self.say("stopped early");
                return Ok(());
            }
            // What was started again knows nothing of them.
            self.put_faults(false)?;
        }
        Ok(())
    }

    /// Kills one instance of the processes named, if one runs that was not killed too often.
    fn kill_one(&mut self) {
        let held = self.run.held();
        let is_named = |name: &&String| {
            let mut named = self.args.kill.iter();
            named.any(|process| is_instance(name, process))
        };
        let may_die = |name: &&String| {
            let kills = self.kills.iter();
            kills.filter(|kill| kill.instance == **name).count() < KILLS_MAX
        };
        let candidates = held.iter().filter(is_named).filter(may_die);
        // One that is still starting has not written anything yet.
        let noted = candidates.filter_map(|name| Some((name, self.run.read::<Note>(name)?)));
        let noted: Vec<_> = noted.collect();
        let Some((name, note)) = fastrand::choice(&noted) else {
            return;
        };
        let pid = note.addresses.pid;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let is_killed = raw.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
        if is_killed {
            self.say(&format!("killed {name} (pid {pid})"));
            self.kills.push(Kill {
                at_ms: millis(self.begun.elapsed()),
                instance: name.to_string(),
                pid,
            });
        }
    }

    fn orders(&self, lasts: Duration) -> impl Iterator<Item = FaultOrder> + '_ {
        let order = move |(about, (delay_ms, percent)): (&String, &(u64, u8))| FaultOrder::Put {
            about: about.clone(),
            delay_ms: *delay_ms,
            delay_percent: 100,
            abort_percent: *percent,
            for_ms: millis(lasts),
        };
        self.faults.iter().map(order)
    }

    /// Puts the faults into every process that runs. Those that are starting get them later.
    fn put_faults(&self, must_answer: bool) -> Result<(), OperateError> {
        let left = self.args.lasts.saturating_sub(self.begun.elapsed());
        for seat in self.seats() {
            for order in self.orders(left) {
                match seat.put_faults(order) {
                    Err(OperateError::Silent { .. }) if !must_answer => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    fn take_away(&self) -> Result<(), OperateError> {
        if self.faults.is_empty() {
            return Ok(());
        }
        for seat in self.seats() {
            match seat.put_faults(FaultOrder::TakeAway) {
                // It was killed a moment ago, and its faults with it.
                Err(OperateError::Silent { .. }) => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn seats(&self) -> Vec<Seat> {
        let held = self.run.held().into_iter();
        let processes = held.filter(|name| name != LAUNCHER);
        let seats = processes.filter_map(|name| Some(Seat::of(&name, self.run.read(&name)?)));
        seats.collect()
    }

    /// Tells people how it goes; programs get the outcome alone.
    fn say(&self, what: &str) {
        if !self.args.common.json {
            let at = self.begun.elapsed().as_secs_f32();
            eprintln!("{at:6.1} s  {what}");
        }
    }
}

/// Whether a name in the run folder is an instance of a process: `currency`, or `currency.2`.
fn is_instance(name: &str, process: &str) -> bool {
    let rest = name.strip_prefix(process);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Waits until every process answers.
async fn until_back(data: &Path, signals: &mut Signals) -> Result<(), ChaosError> {
    let end = Instant::now() + BACK_WITHIN;
    loop {
        let processes = status::collect(data);
        if status::is_well(&processes) {
            return Ok(());
        }
        let is_stopped = tokio::select! {
            () = signals.next() => true,
            () = sleep(LOOK_EVERY) => false,
        };
        if is_stopped || Instant::now() >= end {
            let is_away = |process: &&ProcessStatus| process.state != ProcessState::Running;
            let missing = processes.iter().filter(is_away);
            let missing = missing.map(|process| process.instance.clone()).collect();
            return Err(ChaosError::NotBack { missing });
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads `500ms`, `30s` or `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let count: Option<u32> = digits.parse().ok();
    match (count, unit) {
        (Some(count), "ms") => Ok(Duration::from_millis(count.into())),
        (Some(count), "s") => Ok(Duration::from_secs(count.into())),
        (Some(count), "m") => Ok(Duration::from_secs(60 * u64::from(count))),
        _ => Err("expected a number and ms, s or m, such as 30s".to_string()),
    }
}

/// Reads `module=number`.
fn assigned<T: std::str::FromStr>(text: &str) -> Result<(String, T), String> {
    let parts = text.split_once('=');
    let parts = parts.and_then(|(about, number)| Some((about.to_string(), number.parse().ok()?)));
    parts.ok_or_else(|| "expected a module and a number, such as cart=20".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in ["", "30", "s", "-1s", "1.5s", "1h", "99999999999s", "3ö"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_assigned_has_a_name_and_a_number() {
        assert_eq!(assigned("cart=20"), Ok(("cart".to_string(), 20_u8)));
        for bad in ["cart", "cart=", "cart=x", "cart=300"] {
            assert!(assigned::<u8>(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_instance_bears_the_name_of_its_process() {
        assert!(is_instance("currency", "currency"));
        assert!(is_instance("currency.2", "currency"));
        assert!(!is_instance("currency-next", "currency"));
        assert!(!is_instance("cart", "currency"));
    }
}
