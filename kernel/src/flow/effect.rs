//! The step that does something to the outside world.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
};

use futures_util::future::BoxFuture;
use modulith_contract::Fault;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use super::{
    Flow, Path, Retry,
    journal::Certainty,
    record::{StepKind, StepRecord},
};

/// Something about to be done to the outside world by a flow; see [`Flow::run`].
#[must_use = "a step is taken when it is awaited"]
pub struct Run<'a, T, E> {
    pub(super) flow: &'a Flow,
    pub(super) path: Path,
    pub(super) label: &'static str,
    pub(super) effect: E,
    pub(super) retry: Retry,
    pub(super) types: PhantomData<fn() -> T>,
}

impl<'a, T, E, Fut> Run<'a, T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Fn() -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<T, Fault>> + Send,
{
    /// Says how often it is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn take(self) -> Result<T, Fault> {
        let Self {
            flow,
            path,
            label,
            effect,
            retry,
            ..
        } = self;
        let journal = flow.journal();
        if let Some(record) = journal.recall(&path, StepKind::Run, label, 0).await {
            return flow.decode(&record.result).await;
        }
        journal.settle().await;
        let begun = Instant::now();
        let mut attempts = 0;
        let ended = loop {
            attempts += 1;
            let ended = effect().await;
            let Err(fault) = &ended else { break ended };
            let Some(pause) = retry.pause(attempts, begun, fault) else {
                break ended;
            };
            if attempts.is_power_of_two() {
                let module = journal.home.name();
                tracing::warn!(module, step = label, attempts, %fault, "step failed; trying again");
            }
            sleep(pause).await;
        };
        let summary = match &ended {
            Ok(_) => "ok".to_string(),
            Err(fault) => format!("fault: {fault}"),
        };
        let record = StepRecord {
            attempts,
            ..flow.record(StepKind::Run, label, 0, &ended, summary)
        };
        journal.note(path, record, Certainty::Undetermined);
        ended
    }
}

impl<'a, T, E, Fut> IntoFuture for Run<'a, T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Fn() -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<T, Fault>> + Send + 'a,
{
    type Output = Result<T, Fault>;
    type IntoFuture = BoxFuture<'a, Result<T, Fault>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}
