//! Looking at flows from outside, and what an operator can do with them.

use std::ops::ControlFlow;

use modulith_contract::{Command, Fault, Never, Stop, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    Path,
    flows::Halt,
    journal::hex,
    record::{ENDED, FLOWS, Running, STEPS, State, WAITS},
};
use crate::{Snapshot, Tx, codec, faults, home::Home, port::Meta};

/// How many steps of a flow are shown.
const STEPS_SHOWN_MAX: usize = 1000;

/// One flow, in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowLine {
    /// Its id, in hexadecimal.
    pub id: String,
    /// The command that started it.
    pub command: String,
    /// The version of the code it started with.
    pub version: u32,
    /// Where it stands.
    pub stand: FlowStand,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it ended; none while it has not.
    pub ended_at: Option<Timestamp>,
}

/// Where a flow stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowStand {
    /// It goes on.
    Running,
    /// It takes back what it did, because of this.
    Undoing(String),
    /// It waits for an operator, because of this.
    Parked(String),
    /// It ended like this.
    Ended(String),
}

impl FlowStand {
    /// In one word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Undoing(_) => "undoing",
            Self::Parked(_) => "parked",
            Self::Ended(_) => "ended",
        }
    }
}

/// One step of a flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowPart {
    /// Which: `3`, in a branch `2.1`, taken back `undo 3`.
    pub path: String,
    /// `ask`, `commit`, `run`, `now`, `random`, `sleep`, `expect`, `wait` or `undo`.
    pub kind: String,
    /// What was asked, run or awaited.
    pub label: String,
    /// What it came to, in a few words.
    pub summary: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it ended.
    pub at: Timestamp,
}

/// What an operator can have done with a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on with a parked one.
    Retry,
    /// Take back what it did, and end.
    Cancel,
}

/// The flows of a module: those that have not ended, then the latest that have.
pub(crate) fn list(snapshot: &Snapshot, limit: usize) -> Result<Vec<FlowLine>, Fault> {
    let running = snapshot.range(&FLOWS, .., limit)?;
    let mut lines: Vec<_> = running
        .iter()
        .map(|(id, row)| running_line(*id, row))
        .collect();
    let mut ended: Vec<_> = snapshot
        .range(&ENDED, .., usize::MAX)?
        .into_iter()
        .map(|(id, row)| FlowLine {
            id: hex(id),
            command: row.about.name,
            version: row.about.version,
            stand: FlowStand::Ended(row.end),
            started_at: row.about.started_at,
            ended_at: Some(row.ended_at),
        })
        .collect();
    lines.sort_by_key(|line| line.started_at);
    ended.sort_by_key(|line| std::cmp::Reverse(line.ended_at));
    ended.truncate(limit.saturating_sub(lines.len()));
    lines.extend(ended);
    Ok(lines)
}

/// The flows that have not ended.
pub(crate) fn unended(snapshot: &Snapshot) -> Result<Vec<(u128, FlowLine)>, Fault> {
    let rows = snapshot.range(&FLOWS, .., usize::MAX)?;
    let lines = rows.iter().map(|(id, row)| (*id, running_line(*id, row)));
    Ok(lines.collect())
}

/// How many flows are parked.
pub(crate) fn parked_count(snapshot: &Snapshot) -> Result<u64, Fault> {
    let mut count = 0;
    snapshot.walk(&FLOWS, .., |_, row, _| {
        count += u64::from(matches!(row.state, State::Parked { .. }));
        ControlFlow::Continue(())
    })?;
    Ok(count)
}

/// The ids of the flows that have ended.
pub(crate) fn ended_ids(snapshot: &Snapshot) -> Result<Vec<u128>, Fault> {
    let mut ids = Vec::new();
    snapshot.keys(&ENDED, |id| ids.push(id))?;
    Ok(ids)
}

/// The ids of the flows that have steps.
pub(crate) fn ids_of_steps(snapshot: &Snapshot) -> Result<Vec<u128>, Fault> {
    let mut ids = Vec::new();
    snapshot.keys(&STEPS, |(id, _)| ids.push(id))?;
    ids.dedup();
    Ok(ids)
}

/// The ids of the flows that wait for an event.
pub(crate) fn ids_of_waits(snapshot: &Snapshot) -> Result<Vec<u128>, Fault> {
    let mut ids = Vec::new();
    snapshot.keys(&WAITS, |(_, (_, (id, _)))| ids.push(id))?;
    ids.dedup();
    Ok(ids)
}

/// The flows whose id begins with these hexadecimal digits, at most `limit` of them.
pub(crate) fn with_prefix(
    snapshot: &Snapshot,
    prefix: &str,
    limit: usize,
) -> Result<Vec<u128>, Fault> {
    let digits = prefix.len();
    let Ok(first) = u128::from_str_radix(prefix, 16) else {
        return Ok(Vec::new());
    };
    if digits > 32 || prefix.starts_with('+') {
        return Ok(Vec::new());
    }
    let open = 4 * u32::try_from(32 - digits).expect("there are at most 32 digits");
    let first = first.checked_shl(open).unwrap_or(0);
    let last = first | u128::MAX.checked_shr(128 - open).unwrap_or(0);
    let unended = snapshot.range(&FLOWS, first..=last, limit)?;
    let ended = snapshot.range(&ENDED, first..=last, limit)?;
    let mut ids: Vec<_> = unended.into_iter().map(|(id, _)| id).collect();
    ids.extend(ended.into_iter().map(|(id, _)| id));
    ids.truncate(limit);
    Ok(ids)
}

impl Snapshot {
    /// The commands of a kind whose flows have not ended, without their secrets. For
    /// [`Module::ledger`](crate::Module::ledger), which enters what they are about as pending.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails, [`Fault::Malformed`] when a command cannot be read.
    pub fn commands_in_flow<C: Command>(&self) -> Result<Vec<C>, Fault> {
        let rows = self.range(&FLOWS, .., usize::MAX)?;
        let named = rows.iter().filter(|(_, row)| row.about.name == C::NAME);
        named
            .map(|(_, row)| {
                codec::decode(&row.command).map_err(|error| faults::malformed::<C>(&error))
            })
            .collect()
    }
}

fn running_line(id: u128, running: &Running) -> FlowLine {
    let stand = match &running.state {
        State::Running => FlowStand::Running,
        State::Undoing(fault) => FlowStand::Undoing(fault.to_string()),
        State::Parked { reason, .. } => FlowStand::Parked(reason.clone()),
    };
    FlowLine {
        id: hex(id),
        command: running.about.name.clone(),
        version: running.about.version,
        stand,
        started_at: running.about.started_at,
        ended_at: None,
    }
}

/// One flow and its steps so far; none when there is no such flow.
pub(crate) fn show(
    snapshot: &Snapshot,
    id: u128,
) -> Result<Option<(FlowLine, Vec<FlowPart>)>, Fault> {
    let line = match (snapshot.get(&FLOWS, &id)?, snapshot.get(&ENDED, &id)?) {
        (Some(running), _) => running_line(id, &running),
        (None, Some(ended)) => FlowLine {
            id: hex(id),
            command: ended.about.name,
            version: ended.about.version,
            stand: FlowStand::Ended(ended.end),
            started_at: ended.about.started_at,
            ended_at: Some(ended.ended_at),
        },
        (None, None) => return Ok(None),
    };
    let steps = (id, Path::default())..=(id, Path::last());
    let steps = snapshot.range(&STEPS, steps, STEPS_SHOWN_MAX)?;
    let part = |((_, path), step): ((u128, Path), super::record::StepRecord)| FlowPart {
        path: path.to_string(),
        kind: step.kind.to_string(),
        label: step.label,
        summary: step.summary,
        attempts: step.attempts,
        at: step.at,
    };
    Ok(Some((line, steps.into_iter().map(part).collect())))
}

/// Has a flow go on, or take back what it did. Gives its row if it has to be resumed.
///
/// # Errors
/// [`Fault::Denied`] when the flow is not there, or is not where this can be done.
pub(crate) async fn order(home: &Home, id: u128, order: Order) -> Result<Option<Running>, Fault> {
    if let Some(entry) = home.flows.lock().get(&id) {
        return match order {
            Order::Cancel => {
                entry.control.halt(Halt::Cancelled);
                Ok(None)
            }
            Order::Retry => Err(cannot(id, "it is running")),
        };
    }
    let meta = Meta::unhurried(id);
    let at_rest = home.resumes.load().is_none();
    let change = move |tx: &mut Tx<'_>| {
        let Some(mut running) = tx.get(&FLOWS, &id)? else {
            let reason = "it has ended, or never was";
            return Err::<_, Stop<Never>>(cannot(id, reason).into());
        };
        let undoing = match running.state {
            State::Parked { undoing, .. } => undoing,
            // Nothing runs: it finds out when it is resumed.
            State::Running if at_rest && order == Order::Cancel => None,
            _ => return Err(cannot(id, "it is not parked").into()),
        };
        running.state = match (order, undoing) {
            (_, Some(fault)) => State::Undoing(fault),
            (Order::Retry, None) => State::Running,
            (Order::Cancel, None) => State::Undoing(Fault::Cancelled { flow: hex(id) }),
        };
        tx.put(&FLOWS, &id, &running)?;
        Ok(running)
    };
    let changed = home.mailbox()?.transact_waiting(meta, change).await;
    changed.map(Some).map_err(Stop::into_fault)
}

fn cannot(id: u128, reason: &str) -> Fault {
    Fault::Denied {
        caller: "the operator".to_string(),
        message: format!("this of flow {}: {reason}", hex(id)),
    }
}
