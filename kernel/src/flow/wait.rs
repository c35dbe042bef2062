//! Waiting for an event: kept for the flow in the commit in which the module handles it.

use std::{marker::PhantomData, time::Duration};

use futures_util::future::{Either, pending, select};
use modulith_contract::{Event, Fault, Key, Timestamp};
use serde::{Deserialize, Serialize};
use std::pin::pin;

use super::{
    Flow, Path,
    flows::Halt,
    journal::Certainty,
    record::{STEPS, StepKind, StepRecord, WAITS},
};
use crate::{MessageName, Tx, codec, store::Store};

/// How many flows may wait for one event.
const WAITING_MAX: usize = 10_000;

/// An event that a flow has begun to wait for.
#[must_use = "wait for it with `within`"]
pub struct Expected<'a, E> {
    flow: &'a Flow,
    /// The step that began to wait, where the event is put.
    path: Path,
    key: u128,
    event: PhantomData<fn() -> E>,
}

/// What a wait has come to.
#[derive(Serialize, Deserialize)]
enum Waited {
    /// Nothing yet.
    Until(Timestamp),
    Came(Vec<u8>),
    InVain,
}

pub(super) async fn expect<'a, E: Event>(
    flow: &'a Flow,
    path: Path,
    key: &impl Key,
) -> Expected<'a, E> {
    let mut bytes = Vec::new();
    key.write(&mut bytes);
    let key = codec::digest(&[&bytes]);
    let journal = flow.journal();
    let label = MessageName::of::<E>().to_string();
    let recalled = journal.recall(&path, StepKind::Expect, &label, key).await;
    if recalled.is_none() {
        let record = flow.record(StepKind::Expect, &label, key, &None::<Vec<u8>>, "");
        let (waiting, row) = ((journal.id, path.clone()), record.clone());
        let begin = move |tx: &mut Tx<'_>| {
            // An earlier try whose end was never known may have brought the event already.
            if tx.get(&STEPS, &waiting)?.is_none() {
                tx.put(&STEPS, &waiting, &row)?;
                tx.put(&WAITS, &(E::NAME.to_string(), (key, waiting.clone())), &())?;
            }
            Ok::<_, modulith_contract::Stop<modulith_contract::Never>>(())
        };
        match journal.write(std::sync::Arc::new(begin)).await {
            Ok(()) => journal.note_written(path.clone(), record),
            Err(never) => match never {},
        }
    }
    Expected {
        flow,
        path,
        key,
        event: PhantomData,
    }
}

impl<E: Event> Expected<'_, E> {
    /// Waits until the event has come; none when that takes longer than `limit` from now, through
    /// restarts too.
    pub async fn within(self, limit: Duration) -> Option<E> {
        let flow = self.flow;
        let journal = flow.journal();
        let path = flow.next();
        let label = MessageName::of::<E>().to_string();
        let recalled = journal.recall(&path, StepKind::Wait, &label, 0).await;
        let waited = match recalled {
            Some(record) => flow.decode::<Waited>(&record.result).await,
            None => {
                let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
                let until = Timestamp(journal.now().0.saturating_add(millis));
                let waited = Waited::Until(until);
                let summary = format!("until {until}");
                let record = flow.record(StepKind::Wait, &label, 0, &waited, summary);
                journal.note(path.clone(), record, Certainty::Undetermined);
                journal.flush().await;
                waited
            }
        };
        match waited {
            Waited::Came(body) => Some(flow.decode(&body).await),
            Waited::InVain => None,
            Waited::Until(until) => self.wait_until(path, until).await,
        }
    }

    async fn wait_until(&self, path: Path, until: Timestamp) -> Option<E> {
        let journal = self.flow.journal();
        let mut woken = journal.control.woken.subscribe();
        let mut over = pin!(self.flow.clock_reaches(until));
        let body = loop {
            woken.mark_unchanged();
            if let Some(body) = self.come().await {
                break Some(body);
            }
            let changed = pin!(woken.changed());
            match select(changed, over.as_mut()).await {
                Either::Left(_) => {}
                Either::Right(_) => break self.give_up().await,
            }
        };
        let (waited, summary) = match &body {
            Some(body) => (Waited::Came(body.clone()), "came"),
            None => (Waited::InVain, "in vain"),
        };
        let label = MessageName::of::<E>().to_string();
        let record = self
            .flow
            .record(StepKind::Wait, &label, 0, &waited, summary);
        journal.note(path, record, Certainty::Determined);
        match body {
            Some(body) => Some(self.flow.decode(&body).await),
            None => None,
        }
    }

    /// The event, if it has come.
    async fn come(&self) -> Option<Vec<u8>> {
        let journal = self.flow.journal();
        let row = journal
            .home
            .store()
            .and_then(Store::snapshot)
            .and_then(|snapshot| snapshot.get(&STEPS, &(journal.id, self.path.clone())));
        match row {
            Ok(Some(record)) => self.flow.decode(&record.result).await,
            // The store is failing: the event is found when something wakes the flow again.
            Err(_) => None,
            Ok(None) => {
                let reason = "what it waits for is not in its journal".to_string();
                journal.control.halt(Halt::Mismatch(reason));
                pending().await
            }
        }
    }

    /// Stops waiting, unless the event has come in the last moment.
    async fn give_up(&self) -> Option<Vec<u8>> {
        let journal = self.flow.journal();
        let row = (journal.id, self.path.clone());
        let waiting = (E::NAME.to_string(), (self.key, row.clone()));
        let stop = move |tx: &mut Tx<'_>| {
            tx.remove(&WAITS, &waiting);
            let record = tx.get(&STEPS, &row)?;
            let body = record.and_then(|record| codec::decode(&record.result).ok());
            Ok::<_, modulith_contract::Stop<modulith_contract::Never>>(body.flatten())
        };
        match journal.write(std::sync::Arc::new(stop)).await {
            Ok(body) => body,
            Err(never) => match never {},
        }
    }
}

/// Gives an event to the flows that wait for it, in the commit that handles it.
pub(crate) fn arrived<E: Event>(event: &E, body: &[u8], tx: &mut Tx<'_>) -> Result<(), Fault> {
    let mut bytes = Vec::new();
    event.write_key(&mut bytes);
    let key = codec::digest(&[&bytes]);
    let name = E::NAME.to_string();
    let from = (name.clone(), (key, (0, Path::default())));
    let to = (name, (key, (u128::MAX, Path::last())));
    for (waiting, ()) in tx.range(&WAITS, from..=to, WAITING_MAX)? {
        let row = waiting.1.1.clone();
        if let Some(record) = tx.get(&STEPS, &row)? {
            let came = Some(body.to_vec());
            let result = codec::encode(&came).map_err(|e| crate::faults::unencodable::<E>(&e))?;
            let record = StepRecord {
                result,
                summary: "came".to_string(),
                at: tx.now(),
                ..record
            };
            tx.put(&STEPS, &row, &record)?;
        }
        tx.remove(&WAITS, &waiting);
        tx.wake(row.0);
    }
    Ok(())
}
