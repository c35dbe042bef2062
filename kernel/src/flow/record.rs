//! What a module's store holds of its flows: those that have not ended, their steps, what they
//! wait for, and for a time those that have ended.

use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use super::Path;
use crate::Table;

/// Flows that have not ended, by id.
pub(crate) const FLOWS: Table<u128, Running> = Table::new("modulith.flows");

/// Flows that have ended, by id. Removed by `expiry`.
pub(crate) const ENDED: Table<u128, Ended> = Table::new("modulith.ended");

/// The journal: what each step of a flow has come to.
pub(crate) const STEPS: Table<(u128, Path), StepRecord> = Table::new("modulith.steps");

/// Which steps wait for an event.
pub(crate) const WAITS: Table<Waiting, ()> = Table::new("modulith.waits");

/// A wait: the event's name, the digest of its key, flow and step.
pub(crate) type Waiting = (String, (u128, (u128, Path)));

/// A flow that has not ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) about: About,
    /// The command, encoded without its secrets.
    pub(crate) command: Vec<u8>,
    /// The outcome its callers were given before its end.
    pub(crate) reply: Option<Vec<u8>>,
    pub(crate) state: State,
}

/// What stays known of a flow from its start to its expiry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    /// The name of the command that started it.
    pub(crate) name: String,
    /// Tells the command sent again from another one under its id.
    pub(crate) digest: u128,
    /// The version of the code it started with.
    pub(crate) version: u32,
    pub(crate) started_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// It goes on.
    Running,
    /// It takes back what it did, for a reason that its code does not know of.
    Undoing(Fault),
    /// It waits for an operator.
    Parked {
        reason: String,
        at: Timestamp,
        /// What it was doing.
        undoing: Option<Fault>,
    },
}

/// A flow that has ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) about: About,
    pub(crate) ended_at: Timestamp,
    /// How it ended, in words: `done`, or why not.
    pub(crate) end: String,
    /// What its callers are told, encoded.
    pub(crate) outcome: Vec<u8>,
}

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StepRecord {
    pub(crate) kind: StepKind,
    /// What was asked, run or awaited.
    pub(crate) label: String,
    /// Tells what was asked from anything else.
    pub(crate) digest: u128,
    /// What it came to, encoded.
    pub(crate) result: Vec<u8>,
    /// What it came to, in a few words.
    pub(crate) summary: String,
    /// How often it was tried.
    pub(crate) attempts: u32,
    pub(crate) at: Timestamp,
}

/// The kinds of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StepKind {
    Ask,
    Commit,
    Run,
    Now,
    Random,
    Sleep,
    Expect,
    Wait,
    Undo,
}

impl std::fmt::Display for StepKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ask => "ask",
            Self::Commit => "commit",
            Self::Run => "run",
            Self::Now => "now",
            Self::Random => "random",
            Self::Sleep => "sleep",
            Self::Expect => "expect",
            Self::Wait => "wait",
            Self::Undo => "undo",
        })
    }
}
