//! How an application stands: asked of every process, shown as a table or as JSON.

use std::{collections::BTreeMap, fmt::Write, net::SocketAddr, path::Path, time::Duration};

use modulith_kernel::{ModuleStatus, Timestamp};
use modulith_quic::{CertificateStatus, Refused};
use serde::{Deserialize, Serialize};

use crate::{
    mesh::TrafficStatus,
    run_folder::{Addresses, RunFolder},
};

/// How long a process may take to say how it stands.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// The name under which a launcher writes itself down. No instance can have it: after a dot they have a
/// number.
pub(crate) const LAUNCHER: &str = "launcher.all";

/// How one process stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessStatus {
    pub(crate) process: String,
    /// Which of the process's instances: its name in the run folder and in the log.
    pub(crate) instance: String,
    pub(crate) state: ProcessState,
    /// None while it does not run.
    pub(crate) pid: Option<u32>,
    /// How often its launcher started it again after it had ended by itself.
    pub(crate) restarts: u32,
    pub(crate) modules: Vec<ModuleStatus>,
    /// What it turned away.
    #[serde(default)]
    pub(crate) refused: RefusedStatus,
    /// How its calls to other processes went.
    #[serde(default)]
    pub(crate) traffic: Vec<TrafficStatus>,
    /// None when it speaks with no other process.
    #[serde(default)]
    pub(crate) certificate: Option<CertificateNote>,
}

/// What a process turned away since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RefusedStatus {
    /// Requests of clients, because it had too much to do.
    pub(crate) requests: u64,
    /// Requests of other processes' modules that do not declare them.
    pub(crate) asks: u64,
    /// Processes that wanted to connect, or that it called, by reason.
    pub(crate) peers: BTreeMap<String, u64>,
}

/// The reasons for which peers were refused, and how often.
pub(crate) fn peers_refused(refused: Refused) -> BTreeMap<String, u64> {
    let Refused {
        no_certificate,
        unknown_root,
        expired,
        wrong_name,
        other_application,
        other_definitions,
        violation,
        other,
    } = refused;
    let reasons = [
        ("no_certificate", no_certificate),
        ("unknown_root", unknown_root),
        ("expired", expired),
        ("wrong_name", wrong_name),
        ("other_application", other_application),
        ("other_definitions", other_definitions),
        ("violation", violation),
        ("other", other),
    ];
    reasons
        .map(|(reason, count)| (reason.to_string(), count))
        .into()
}

/// What a process trusts, and the certificate it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CertificateNote {
    /// The fingerprint of the root that signs its certificates; none when they come from elsewhere.
    pub(crate) issuer: Option<String>,
    /// The fingerprints of the roots it trusts.
    pub(crate) roots: Vec<String>,
    /// Until when the certificate it shows is valid.
    pub(crate) valid_until: Timestamp,
    /// Connections that were made with a certificate of another root than the issuer.
    pub(crate) connections_outdated: usize,
}

impl From<CertificateStatus> for CertificateNote {
    fn from(status: CertificateStatus) -> Self {
        Self {
            issuer: status.issuer,
            roots: status.roots,
            valid_until: Timestamp(status.valid_until.saturating_mul(1000)),
            connections_outdated: status.connections_outdated,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProcessState {
    Starting,
    Running,
    /// It ended by itself and is started again.
    Restarting,
    /// It was told to stop, and is started again or its place taken.
    Replacing,
    /// It was told to stop for good.
    Draining,
    /// It ended too often; nothing starts it again.
    GivenUp,
    /// It wrote its address down and does not answer there.
    Silent,
}

impl ProcessStatus {
    /// Of an instance that is being started.
    pub(crate) fn starting(process: &str, instance: &str) -> Self {
        Self {
            process: process.to_string(),
            instance: instance.to_string(),
            state: ProcessState::Starting,
            pid: None,
            restarts: 0,
            modules: Vec::new(),
            refused: RefusedStatus::default(),
            traffic: Vec::new(),
            certificate: None,
        }
    }
}

/// What a launcher writes down of itself and its processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LauncherStatus {
    pub(crate) pid: u32,
    /// Where it takes orders.
    pub(crate) admin: SocketAddr,
    /// Whoever sends it may give orders.
    pub(crate) token: String,
    pub(crate) processes: Vec<ProcessStatus>,
}

/// Asks every process that runs on a data folder. Empty when none does.
pub(crate) fn collect(data: &Path) -> Vec<ProcessStatus> {
    let run = RunFolder::of(data);
    let ask = |process: ProcessStatus| match run.read::<Addresses>(&process.instance) {
        Some(addresses) => answered(process, fetch(addresses.admin)),
        None => process,
    };
    if let Some(launcher) = launcher(&run) {
        return launcher.processes.into_iter().map(ask).collect();
    }
    let alone = |name: String| ProcessStatus {
        state: ProcessState::Running,
        ..ProcessStatus::starting(&name, &name)
    };
    run.names()
        .into_iter()
        .filter(|name| name != LAUNCHER)
        .map(alone)
        .map(ask)
        .collect()
}

/// What a launcher wrote down, if it still runs.
pub(crate) fn launcher(run: &RunFolder) -> Option<LauncherStatus> {
    let written = run.read(LAUNCHER)?;
    // A launcher that was killed left its note behind, but no longer holds its name.
    run.claim(LAUNCHER).is_err().then_some(written)
}

/// What the process says of itself, with what its launcher knows of it.
fn answered(known: ProcessStatus, said: Option<ProcessStatus>) -> ProcessStatus {
    match said {
        Some(said) => ProcessStatus {
            restarts: known.restarts,
            state: match known.state {
                leaving @ (ProcessState::Replacing | ProcessState::Draining) => leaving,
                _ => said.state,
            },
            ..said
        },
        None if known.state == ProcessState::Running => ProcessStatus {
            state: ProcessState::Silent,
            ..known
        },
        None => known,
    }
}

/// Asks one admin address for all it knows.
pub(crate) fn fetch_all(admin: SocketAddr) -> Option<Vec<ProcessStatus>> {
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_TIMEOUT))
        .build();
    let mut response = ureq::Agent::from(agent)
        .get(format!("http://{admin}/status"))
        .call()
        .ok()?;
    serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()
}

pub(crate) fn fetch(admin: SocketAddr) -> Option<ProcessStatus> {
    fetch_all(admin)?.into_iter().next()
}

/// A table for people.
pub(crate) fn table(processes: &[ProcessStatus]) -> String {
    let mut rows = vec![
        [
            "PROCESS", "PID", "STATE", "MODULE", "COMMANDS", "QUERIES", "REFUSED", "FAULTS",
            "COMMITS", "EVENTS", "FLOWS", "PARKED",
        ]
        .map(String::from),
    ];
    for process in processes {
        let state = match (process.state, process.restarts) {
            (ProcessState::Starting, _) => "starting".to_string(),
            (ProcessState::Running, 0) => "running".to_string(),
            (ProcessState::Running, n) => format!("running, restarted {n}x"),
            (ProcessState::Restarting, n) => format!("restarting, {n}x"),
            (ProcessState::Replacing, _) => "being replaced".to_string(),
            (ProcessState::Draining, _) => "draining".to_string(),
            (ProcessState::GivenUp, n) => format!("given up after {n}x"),
            (ProcessState::Silent, _) => "does not answer".to_string(),
        };
        let pid = process
            .pid
            .map_or_else(|| "-".to_string(), |pid| pid.to_string());
        let mut own = [process.instance.clone(), pid, state];
        if process.modules.is_empty() {
            rows.push(row(&own, std::array::from_fn(|_| "-".to_string())));
        }
        for module in &process.modules {
            let name = match &module.stopped {
                Some(_) => format!("{} (stopped)", module.module),
                None => module.module.clone(),
            };
            let of_store = |count: u64| match module.stateful {
                true => count.to_string(),
                false => "-".to_string(),
            };
            let cells = [
                name,
                of_store(module.commands),
                module.queries.to_string(),
                module.refusals.to_string(),
                module.faults.to_string(),
                of_store(module.commits),
                of_store(module.events),
                of_store(module.flows_running),
                of_store(module.flows_parked),
            ];
            rows.push(row(&own, cells));
            // The process is named once, before its first module.
            own = std::array::from_fn(|_| String::new());
        }
    }
    let mut table = aligned(&rows);
    table.push_str(&troubles(processes));
    table
}

fn row(process: &[String; 3], module: [String; 9]) -> [String; 12] {
    let mut cells = process.iter().cloned().chain(module);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn aligned(rows: &[[String; 12]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|r| r[column].len())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 12] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Text to the left, numbers to the right.
            let is_number = column == 1 || column >= 4;
            _ = if is_number {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// What does not go as it should, a line each.
fn troubles(processes: &[ProcessStatus]) -> String {
    let mut text = String::new();
    for process in processes {
        let instances = process
            .traffic
            .iter()
            .flat_map(|traffic| &traffic.instances);
        for ejected in instances.filter(|instance| instance.is_ejected) {
            _ = writeln!(
                text,
                "{} leaves {} alone: calls to it fail",
                process.process, ejected.instance,
            );
        }
    }
    for module in processes.iter().flat_map(|process| &process.modules) {
        if let Some(reason) = &module.stopped {
            _ = writeln!(text, "{} is stopped: {reason}", module.module);
        }
        if let Some((log, subscriber)) = module
            .log
            .as_ref()
            .and_then(|log| Some((log, log.held_by.as_ref()?)))
        {
            _ = writeln!(
                text,
                "{} keeps {} bytes of events, some beyond their time, for {subscriber}",
                module.module, log.bytes,
            );
        }
        if module.flows_parked > 0 {
            _ = writeln!(
                text,
                "{} has {} parked flows; `flows list {0}` says why",
                module.module, module.flows_parked
            );
        }
        for subscription in &module.subscriptions {
            if subscription.lag > 0 {
                _ = writeln!(
                    text,
                    "{} is {} events behind {}",
                    module.module, subscription.lag, subscription.publisher,
                );
            }
            if subscription.dead > 0 {
                _ = writeln!(
                    text,
                    "{} has {} dead letters of {}",
                    module.module, subscription.dead, subscription.publisher,
                );
            }
            if let Some(stuck) = &subscription.stuck {
                _ = writeln!(
                    text,
                    "{} waits for events of {} after number {}, {} tries: {stuck}",
                    module.module,
                    subscription.publisher,
                    subscription.position,
                    subscription.attempts,
                );
            }
        }
    }
    text
}

/// Whether everything runs.
pub(crate) fn is_well(processes: &[ProcessStatus]) -> bool {
    !processes.is_empty()
        && processes.iter().all(|process| {
            process.state == ProcessState::Running
                && process
                    .modules
                    .iter()
                    .all(|module| module.stopped.is_none())
        })
}
