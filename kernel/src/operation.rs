//! What an operator can have done with a module, as plain data: the same whether it is asked of a
//! process that runs or of stores at rest.

use std::{path::PathBuf, sync::Arc, time::Duration};

use modulith_contract::Fault;
use serde::{Deserialize, Serialize};

use crate::{
    Audit, Backup, Counted, DeadLetter, DeadLetterError, EventLine, FlowLine, FlowPart, Node,
    Partition, StoreInfo, audit, flow, home::Home,
};

/// How many events one answer lists at most.
pub const EVENTS_LISTED_MAX: usize = 1000;

/// How often a store is asked to compact while queries read it, and the pause between.
const COMPACT_TRIES: u32 = 40;
const COMPACT_PAUSE: Duration = Duration::from_millis(25);

/// Something to be done with one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Lists events that follow a number; without one, the last.
    ListEvents {
        /// The number.
        after: Option<u64>,
        /// How many at most; no more than [`EVENTS_LISTED_MAX`].
        limit: usize,
    },
    /// Lists dead letters, the oldest first.
    ListDead,
    /// Shows one dead letter.
    ShowDead(LetterId),
    /// Hands a dead letter to its handler again.
    RetryDead(LetterId),
    /// Drops a dead letter.
    DropDead(LetterId),
    /// Lists flows: those that have not ended, then the latest of the others.
    ListFlows {
        /// How many at most.
        limit: usize,
    },
    /// Shows a flow and its steps.
    ShowFlow {
        /// Its id, or the beginning of it.
        flow: String,
    },
    /// Goes on with a parked flow.
    RetryFlow {
        /// Its id, or the beginning of it.
        flow: String,
    },
    /// Has a flow take back what it did, and end.
    CancelFlow {
        /// Its id, or the beginning of it.
        flow: String,
    },
    /// Says how the store stands.
    StoreInfo,
    /// Gives what the store's file has to spare back to the disk.
    Compact,
    /// Copies the store while it is in use.
    BackUp {
        /// Where to; an absolute path, seen from where the module runs.
        file: PathBuf,
    },
    /// Audits the store.
    Audit {
        /// Verifies the checksums of its file as well, for which nobody may use it meanwhile.
        deep: bool,
    },
    /// Counts published events.
    CountEvents {
        /// Their names.
        names: Vec<String>,
        /// Up to this number.
        up_to: u64,
        /// The partition of whoever listens that [`Counted::own`] is about.
        partition: Partition,
    },
}

/// Which dead letter of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetterId {
    /// Who published it.
    pub publisher: String,
    /// Its number in the publisher's log.
    pub number: u64,
}

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answered {
    /// Events, and the number of the last one in the log.
    Events {
        /// The number of the last event.
        head: u64,
        /// Those asked for.
        events: Vec<EventLine>,
    },
    /// Dead letters.
    DeadLetters(Vec<DeadLetter>),
    /// Flows.
    Flows(Vec<FlowLine>),
    /// A flow.
    Flow {
        /// The flow.
        flow: FlowLine,
        /// Its steps.
        steps: Vec<FlowPart>,
    },
    /// How a store stands.
    StoreInfo(StoreInfo),
    /// A store was compacted.
    Compacted {
        /// How large its file was.
        bytes_before: u64,
        /// How large it is.
        bytes: u64,
    },
    /// A backup was made.
    BackedUp(Backup),
    /// What the auditor is told.
    Audit(Box<Audit>),
    /// How many events there are.
    Counted(Counted),
    /// It was done, with this: the flow's whole id, or the letter's.
    Done(String),
}

/// Why an operation was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum OperationError {
    /// What it is about is not there.
    #[error("{0}")]
    NotThere(String),
    /// It cannot be done as things stand.
    #[error("{0}")]
    Cannot(String),
    /// It was tried, and failed.
    #[error("{0}")]
    Failed(String),
}

impl From<Fault> for OperationError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Denied { caller, message } => {
                Self::Cannot(format!("{caller} has not {message}"))
            }
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<DeadLetterError> for OperationError {
    fn from(error: DeadLetterError) -> Self {
        match error {
            DeadLetterError::NotThere { .. } => Self::NotThere(error.to_string()),
            DeadLetterError::Failed(fault) => Self::Failed(format!(
                "the handler failed again, and the letter stays: {fault}"
            )),
            DeadLetterError::Fault(fault) => fault.into(),
        }
    }
}

impl Node {
    /// Does something with a hosted module, or with one of its partitions (`cart/2`), on behalf of
    /// an operator. Inside a tokio runtime.
    ///
    /// # Errors
    /// [`OperationError`]; nothing was changed unless it is [`OperationError::Failed`].
    pub async fn operate(
        &self,
        module: &str,
        operation: Operation,
    ) -> Result<Answered, OperationError> {
        let (home, tools) = self.tools(module)?;
        if !home.manifest.is_stateful() {
            let reason = format!("module {module} has no store: it handles no command or event");
            return Err(OperationError::Cannot(reason));
        }
        match operation {
            Operation::ListEvents { after, limit } => {
                let head = home.head.number();
                let limit = limit.min(EVENTS_LISTED_MAX);
                let last = || head.saturating_sub(limit as u64);
                let events = self.events(module, after.unwrap_or_else(last), limit)?;
                Ok(Answered::Events { head, events })
            }
            Operation::ListDead => Ok(Answered::DeadLetters(self.dead_letters(module)?)),
            Operation::ShowDead(LetterId { publisher, number }) => {
                match self.dead_letter(module, &publisher, number)? {
                    Some(letter) => Ok(Answered::DeadLetters(vec![letter])),
                    None => Err(no_letter(module, &publisher, number)),
                }
            }
            Operation::RetryDead(LetterId { publisher, number }) => {
                self.retry_dead(module, &publisher, number).await?;
                Ok(Answered::Done(format!("{publisher}/{number}")))
            }
            Operation::DropDead(LetterId { publisher, number }) => {
                self.drop_dead(module, &publisher, number).await?;
                Ok(Answered::Done(format!("{publisher}/{number}")))
            }
            Operation::ListFlows { limit } => {
                let flows = flow::list(&home.store()?.snapshot()?, limit)?;
                Ok(Answered::Flows(flows))
            }
            Operation::ShowFlow { flow } => {
                let (_, flow, steps) = find(home, &flow)?;
                Ok(Answered::Flow { flow, steps })
            }
            Operation::RetryFlow { flow } => {
                let (id, line, _) = find(home, &flow)?;
                done(line, self.retry_flow(module, id).await)
            }
            Operation::CancelFlow { flow } => {
                let (id, line, _) = find(home, &flow)?;
                done(line, self.cancel_flow(module, id).await)
            }
            Operation::StoreInfo => {
                let info = aside(home, |home| home.store()?.info()).await?;
                Ok(Answered::StoreInfo(info))
            }
            Operation::Compact => compact(home).await,
            Operation::BackUp { file } => {
                let made = aside(home, move |home| Ok(home.store()?.back_up(&file))).await?;
                let made = made.map_err(|error| OperationError::Failed(error.to_string()))?;
                Ok(Answered::BackedUp(made))
            }
            Operation::Audit { deep } => {
                let tools = tools.clone();
                let audited = aside(home, move |home| audit::audit(home, &tools, deep)).await?;
                Ok(Answered::Audit(Box::new(audited)))
            }
            Operation::CountEvents {
                names,
                up_to,
                partition,
            } => {
                let count = move |home: &Home| audit::count(home, &names, up_to, partition);
                let counted = aside(home, count).await?;
                Ok(Answered::Counted(counted))
            }
        }
    }
}

/// Does what blocks on a thread kept for that.
async fn aside<T: Send + 'static>(
    home: &Arc<Home>,
    work: impl FnOnce(&Home) -> Result<T, Fault> + Send + 'static,
) -> Result<T, OperationError> {
    let home = home.clone();
    match tokio::task::spawn_blocking(move || work(&home)).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(OperationError::Failed("it panicked; see the log".into())),
    }
}

/// Compacts; tries again while queries read, which it cannot do beside.
async fn compact(home: &Arc<Home>) -> Result<Answered, OperationError> {
    let bytes_before = aside(home, |home| home.store()?.info())
        .await?
        .database_bytes;
    let mut tries = 0;
    loop {
        tries += 1;
        match aside(home, |home| home.store()?.compact()).await {
            Ok(_) => break,
            Err(error) if tries == COMPACT_TRIES => return Err(error),
            Err(_) => tokio::time::sleep(COMPACT_PAUSE).await,
        }
    }
    let bytes = aside(home, |home| home.store()?.info())
        .await?
        .database_bytes;
    Ok(Answered::Compacted {
        bytes_before,
        bytes,
    })
}

/// The one flow whose id begins so.
fn find(home: &Home, prefix: &str) -> Result<(u128, FlowLine, Vec<FlowPart>), OperationError> {
    let module = home.name();
    let digits = prefix.to_lowercase();
    let snapshot = home.store()?.snapshot()?;
    let not_there = || {
        OperationError::NotThere(format!(
            "module {module} has no flow {prefix}; `flows list {module}` shows which it has"
        ))
    };
    match flow::with_prefix(&snapshot, &digits, 2)?.as_slice() {
        [] => Err(not_there()),
        [id] => {
            let (line, steps) = flow::show(&snapshot, *id)?.ok_or_else(not_there)?;
            Ok((*id, line, steps))
        }
        _ => Err(OperationError::Cannot(format!(
            "more than one flow of module {module} begins with {prefix}; give more digits"
        ))),
    }
}

fn done(line: FlowLine, ordered: Result<(), Fault>) -> Result<Answered, OperationError> {
    match ordered {
        Ok(()) => Ok(Answered::Done(line.id)),
        Err(Fault::Denied { .. }) => Err(OperationError::Cannot(format!(
            "flow {} is {}: a parked flow can be retried, a running or parked one cancelled",
            line.id,
            line.stand.word(),
        ))),
        Err(fault) => Err(fault.into()),
    }
}

fn no_letter(module: &str, publisher: &str, number: u64) -> OperationError {
    OperationError::NotThere(format!(
        "module {module} has no dead letter {publisher}/{number}; `dead list {module}` shows \
         which it has"
    ))
}
