//! The step that asks another module, and the one that takes it back.

use std::{future::IntoFuture, time::Duration};

use futures_util::future::BoxFuture;
use modulith_contract::{Command, Key, Kind, Outcome, Request, Stop};
use tokio::time::{Instant, sleep};

use super::{
    Flow, Path, Retry,
    journal::{Certainty, Journal, Undo},
    record::{StepKind, StepRecord},
    step::undone,
};
use crate::{MessageName, REPLY_TIMEOUT, codec};

/// A request about to be asked by a flow; see [`Flow::ask`].
#[must_use = "a step is taken when it is awaited"]
pub struct Ask<'a, R: Request> {
    pub(super) flow: &'a Flow,
    pub(super) path: Path,
    pub(super) request: R,
    pub(super) undo: Option<Undo>,
    pub(super) retry: Retry,
    pub(super) limit: Duration,
}

impl<R: Request + Clone> Ask<'_, R> {
    /// Names the command that takes this one back. It is asked when the flow fails later, or when
    /// this step ended in a fault, for then it may have taken effect: it must be harmless, and
    /// must prevail, when there is nothing to take back yet. It is tried until it is done.
    pub fn undo<U: Command + Clone>(mut self, undo: U) -> Self {
        self.undo = Some(undo_by_asking(undo));
        self
    }

    /// Says how often it is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says how long one attempt may take.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn take(self) -> Outcome<R> {
        let Self {
            flow,
            path,
            request,
            undo,
            retry,
            limit,
        } = self;
        let journal = flow.journal();
        let label = MessageName::of::<R>().to_string();
        let digest = crate::inbox::digest(&request)?;
        if let Some(undo) = undo {
            journal.may_undo(&path, undo);
        }
        let recalled = journal.recall(&path, StepKind::Ask, &label, digest).await;
        let outcome: Outcome<R> = match recalled {
            Some(record) => flow.decode(&record.result).await,
            None => {
                let is_command = R::KIND == Kind::Command;
                if is_command {
                    journal.settle().await;
                }
                let asked = Asked { retry, limit };
                let (outcome, attempts) = asked.insist(journal, &path, &request).await;
                let certainty = match &outcome {
                    Ok(_) | Err(Stop::Refused(_)) if is_command => Certainty::Determined,
                    _ => Certainty::Undetermined,
                };
                let record = StepRecord {
                    attempts,
                    ..flow.record(StepKind::Ask, &label, digest, &outcome, told(&outcome))
                };
                journal.note(path.clone(), record, certainty);
                outcome
            }
        };
        if matches!(outcome, Err(Stop::Refused(_))) {
            journal.need_not_undo(&path);
        }
        outcome
    }
}

impl<'a, R: Request + Clone> IntoFuture for Ask<'a, R> {
    type Output = Outcome<R>;
    type IntoFuture = BoxFuture<'a, Outcome<R>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}

struct Asked {
    retry: Retry,
    limit: Duration,
}

impl Asked {
    /// Asks until there is an answer, or there are to be no more attempts.
    async fn insist<R: Request + Clone>(
        &self,
        journal: &Journal,
        path: &Path,
        request: &R,
    ) -> (Outcome<R>, u32) {
        let id = step_id(journal.id, path);
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let deadline = Instant::now() + self.limit;
            let port = journal.home.port();
            let outcome = port.ask_again(request.clone(), id, deadline).await;
            let Err(Stop::Fault(fault)) = &outcome else {
                return (outcome, attempts);
            };
            let Some(pause) = self.retry.pause(attempts, begun, fault) else {
                return (outcome, attempts);
            };
            tracing::debug!(message = %MessageName::of::<R>(), attempts, %fault, "step waits");
            sleep(pause).await;
        }
    }
}

/// The id a step's command has however often it is sent.
fn step_id(flow: u128, path: &Path) -> u128 {
    let mut bytes = Vec::new();
    path.write(&mut bytes);
    codec::digest(&[b"step", &flow.to_le_bytes(), &bytes])
}

fn undo_by_asking<U: Command + Clone>(undo: U) -> Undo {
    Box::new(move |journal, path| {
        Box::pin(async move {
            let asked = Asked {
                retry: Retry::forever(),
                limit: REPLY_TIMEOUT,
            };
            let label = MessageName::of::<U>().to_string();
            // What was refused before is kept as such by whoever was asked.
            let refusals = journal.refusals(&path);
            let asked_as = path.child(refusals);
            let (outcome, attempts) = asked.insist(&journal, &asked_as, &undo).await;
            let mut record = undone(&journal, &label);
            record.attempts = attempts;
            match outcome {
                Ok(_) => {
                    journal.note(path, record, Certainty::Determined);
                    Ok(())
                }
                Err(stop) => {
                    record.summary = told(&Err::<(), _>(&stop));
                    record.result = codec::encode(&(refusals + 1)).unwrap_or_default();
                    journal.note(path, record, Certainty::Undetermined);
                    Err(format!("{label} cannot be done: {stop}"))
                }
            }
        })
    })
}

/// An outcome in a few words, for the flow's history.
fn told<T, R: std::fmt::Display, S: std::borrow::Borrow<Stop<R>>>(
    outcome: &Result<T, S>,
) -> String {
    match outcome.as_ref().map_err(std::borrow::Borrow::borrow) {
        Ok(_) => "ok".to_string(),
        Err(Stop::Refused(refusal)) => format!("refused: {refusal}"),
        Err(Stop::Fault(fault)) => format!("fault: {fault}"),
    }
}
