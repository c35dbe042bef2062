//! The step that changes the module's own store.

use std::{future::IntoFuture, marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;
use modulith_contract::{Fault, Never, Refusal, Stop};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Flow, Path,
    journal::{Certainty, Undo},
    record::{STEPS, StepKind, StepRecord},
    step::undone,
};
use crate::{Tx, codec};

/// A change of the module's own store about to be made by a flow; see [`Flow::commit`].
#[must_use = "a step is taken when it is awaited"]
pub struct Commit<'a, T, R, F> {
    pub(super) flow: &'a Flow,
    pub(super) path: Path,
    pub(super) label: &'static str,
    pub(super) change: F,
    pub(super) undo: Option<Undo>,
    pub(super) types: PhantomData<fn() -> (T, R)>,
}

impl<'a, T, R, F> Commit<'a, T, R, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    R: Refusal,
    F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
{
    /// Says how the change is taken back when the flow fails later.
    pub fn undo<U>(mut self, undo: U) -> Self
    where
        U: Fn(&mut Tx<'_>) -> Result<(), Fault> + Send + Sync + 'static,
    {
        let label = self.label;
        self.undo = Some(Box::new(move |journal, path| {
            Box::pin(async move {
                let record = undone(&journal, label);
                journal.note(path, record, Certainty::Determined);
                let change = move |tx: &mut Tx<'_>| Ok::<_, Stop<Never>>(undo(tx)?);
                match journal.write(Arc::new(change)).await {
                    Ok(()) => Ok(()),
                    Err(never) => match never {},
                }
            })
        }));
        self
    }

    async fn take(self) -> Result<T, R> {
        let Self {
            flow,
            path,
            label,
            change,
            undo,
            ..
        } = self;
        let journal = flow.journal();
        let recalled = journal.recall(&path, StepKind::Commit, label, 0).await;
        let ended: Result<T, R> = match recalled {
            Some(record) => flow.decode(&record.result).await,
            None => {
                let key = (journal.id, path.clone());
                let at = journal.now();
                let committed = move |tx: &mut Tx<'_>| {
                    // Of an earlier try whose end was never known.
                    if let Some(record) = tx.get(&STEPS, &key)? {
                        return Ok((record, None));
                    }
                    let value = change(tx)?;
                    let ended: Result<&T, ()> = Ok(&value);
                    let result = codec::encode_kept(&ended).map_err(|error| Fault::Store {
                        module: "flow".to_string(),
                        reason: error.to_string(),
                    })?;
                    let record = StepRecord {
                        kind: StepKind::Commit,
                        label: label.to_string(),
                        digest: 0,
                        result,
                        summary: "ok".to_string(),
                        attempts: 1,
                        at,
                    };
                    tx.put(&STEPS, &key, &record)?;
                    Ok::<_, Stop<R>>((record, Some(value)))
                };
                match journal.write(Arc::new(committed)).await {
                    Ok((record, value)) => {
                        let bytes = record.result.clone();
                        journal.note_written(path.clone(), record);
                        match value {
                            Some(value) => Ok(value),
                            None => flow.decode(&bytes).await,
                        }
                    }
                    Err(refusal) => {
                        let summary = format!("refused: {refusal}");
                        let ended: Result<(), &R> = Err(&refusal);
                        let record = flow.record(StepKind::Commit, label, 0, &ended, summary);
                        journal.note(path.clone(), record, Certainty::Undetermined);
                        Err(refusal)
                    }
                }
            }
        };
        if let (Ok(_), Some(undo)) = (&ended, undo) {
            journal.may_undo(&path, undo);
        }
        ended
    }
}

impl<'a, T, R, F> IntoFuture for Commit<'a, T, R, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    R: Refusal,
    F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
{
    type Output = Result<T, R>;
    type IntoFuture = BoxFuture<'a, Result<T, R>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}
