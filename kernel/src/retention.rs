//! How long a module keeps its events: as long as it is set to, and until everybody who listens
//! has had them.
//!
//! A subscriber's questions say how far it has come. The publisher remembers that, in memory at
//! once and in its store with the next trim, and removes only what all subscribers that the
//! application knows have dealt with. What it remembers may be too low, never too high.

use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::{Either, select};
use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::{task::yield_now, time::sleep};
use tracing::{info, warn};

use crate::{
    home::Home,
    store::{EVENTS, Snapshot, Store, Table},
};

/// How many events one commit removes at most: a slice, between which other work has its turn.
pub const TRIM_EVENTS_MAX: usize = 256;

/// How often a log that holds more than its last event is looked at.
const CHECK_EVERY: Duration = Duration::from_secs(10);

/// How many rows are read in one go to learn how large a log is.
const MEASURE_EVENTS_MAX: usize = 1024;

/// How far each subscriber has come, by module, or by its partition (`cart/2`).
const SUBSCRIBERS: Table<String, Reader> = Table::new("modulith.subscribers");

/// What was removed, by the event's name.
const TRIMMED: Table<String, Trimmed> = Table::new("modulith.trimmed");

/// How large the log is.
const SIZE: Table<(), Size> = Table::new("modulith.log");

/// A subscriber as its publisher knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reader {
    /// It has dealt with all events up to this number.
    pub(crate) position: u64,
    pub(crate) asked_at: Timestamp,
}

/// The events of one name that were removed from a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trimmed {
    /// How many they are.
    pub count: u64,
    /// The number of the last of them.
    pub up_to: u64,
}

/// The bytes of all events up to a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Size {
    measured: u64,
    bytes: u64,
}

/// What a publisher knows of its log and of those who read it.
#[derive(Default)]
pub(crate) struct Retention {
    state: Mutex<State>,
    /// Held by whoever trims.
    trimming: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Everybody in the application who listens; none for who has never asked.
    subscribers: BTreeMap<Arc<str>, Option<Reader>>,
    /// Whether a position has changed since it was last stored.
    unsaved: bool,
    size: Size,
    /// The oldest event seen at the last check.
    first: u64,
    /// Who keeps events from being removed although they are due.
    held_by: Option<Arc<str>>,
}

/// Events that may go.
struct Slice {
    first: u64,
    up_to: u64,
    bytes: u64,
    by_name: BTreeMap<String, Trimmed>,
}

impl Retention {
    /// Names those who listen, and remembers how far they had come.
    pub(crate) fn know(
        &self,
        store: &Store,
        subscribers: impl Iterator<Item = String>,
    ) -> Result<(), Fault> {
        let snapshot = store.snapshot()?;
        let mut state = self.state();
        for subscriber in subscribers {
            let reader = snapshot.get(&SUBSCRIBERS, &subscriber)?;
            state.subscribers.insert(subscriber.into(), reader);
        }
        state.size = snapshot.get(&SIZE, &())?.unwrap_or_default();
        Ok(())
    }

    /// Notes that a subscriber has dealt with everything up to a position.
    pub(crate) fn note(&self, subscriber: &str, position: u64, asked_at: Timestamp) {
        let mut state = self.state();
        let Some(reader) = state.subscribers.get_mut(subscriber) else {
            return;
        };
        let before = reader.replace(Reader { position, asked_at });
        if before.is_none_or(|before| before.position != position) {
            state.unsaved = true;
        }
    }

    /// Everybody who listens, and how far each has come.
    pub(crate) fn subscribers(&self) -> Vec<(Arc<str>, Option<Reader>)> {
        let state = self.state();
        let subscribers = state.subscribers.iter();
        subscribers.map(|(m, r)| (m.clone(), *r)).collect()
    }

    /// Who keeps events from being removed although they are due.
    pub(crate) fn held_by(&self) -> Option<Arc<str>> {
        self.state().held_by.clone()
    }

    /// How many bytes of events there were at the last check.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().size.bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who has come least far, and how far that is; none when nobody listens.
    fn slowest(&self) -> Option<(Arc<str>, u64)> {
        let positions = self.subscribers.iter();
        positions
            .map(|(module, reader)| (module.clone(), reader.map_or(0, |reader| reader.position)))
            .min_by_key(|(_, position)| *position)
    }
}

/// How many events of these names were removed.
pub(crate) fn trimmed(snapshot: &Snapshot, names: &[String]) -> Result<u64, Fault> {
    names.iter().try_fold(0, |sum, name| {
        Ok(sum + snapshot.get(&TRIMMED, name)?.map_or(0, |t| t.count))
    })
}

/// What was removed, by the event's name.
pub(crate) fn trimmed_by_name(snapshot: &Snapshot) -> Result<BTreeMap<String, Trimmed>, Fault> {
    let rows = snapshot.range(&TRIMMED, .., usize::MAX)?;
    Ok(rows.into_iter().collect())
}

/// Removes what is due, now and then, for as long as the module runs.
pub(crate) async fn keep(home: Arc<Home>) {
    let mut leaving = home.leaving.subscribe();
    while home.stopped().is_none() {
        {
            let due = pin!(check_due(&home));
            let left = pin!(leaving.wait_for(|leaving| *leaving));
            if let Either::Right(_) = select(due, left).await {
                return;
            }
        }
        if let Err(fault) = trim(&home).await {
            warn!(module = home.name(), %fault, "events not trimmed; tried again later");
        }
    }
}

async fn check_due(home: &Home) {
    let first = home.retention.state().first;
    // The last event is never removed, so a log that has only that one needs no looking after.
    home.head.beyond(first).await;
    sleep(CHECK_EVERY).await;
}

/// Removes all events that are due, slice by slice. Returns how many they were.
pub(crate) async fn trim(home: &Home) -> Result<u64, Fault> {
    let retention = &home.retention;
    let _alone = retention.trimming.lock().await;
    measure(home).await?;
    let mut removed = 0;
    while let Some(slice) = due(home)? {
        let count: u64 = slice.by_name.values().map(|trimmed| trimmed.count).sum();
        save(home, Some(slice)).await?;
        removed += count;
    }
    if retention.state().unsaved {
        save(home, None).await?;
    }
    if removed > 0 {
        info!(module = home.name(), removed, "events trimmed");
    }
    Ok(removed)
}

/// Adds what was published since the last time to the size of the log.
async fn measure(home: &Home) -> Result<(), Fault> {
    loop {
        let mut size = home.retention.state().size;
        let mut read = 0;
        let snapshot = home.store()?.snapshot()?;
        snapshot.walk(&EVENTS, size.measured + 1.., |number, _, bytes| {
            size.measured = number;
            size.bytes += bytes as u64;
            read += 1;
            more_if(read < MEASURE_EVENTS_MAX)
        })?;
        home.retention.state().size = size;
        if read < MEASURE_EVENTS_MAX {
            return Ok(());
        }
        yield_now().await;
    }
}

/// The oldest events, if their time has come and everybody has had them.
fn due(home: &Home) -> Result<Option<Slice>, Fault> {
    let head = home.head.number();
    let snapshot = home.store()?.snapshot()?;
    let Some(first) = snapshot.first_key(&EVENTS)? else {
        return Ok(None);
    };
    let (slowest, mut bytes_left) = {
        let mut state = home.retention.state();
        state.first = first;
        (state.slowest(), state.size.bytes)
    };
    let kept = u64::try_from(home.options.events_kept().as_millis()).unwrap_or(u64::MAX);
    let now = home.environment().clock.now();
    let mut held_by = None;
    let mut slice = Slice {
        first,
        up_to: 0,
        bytes: 0,
        by_name: BTreeMap::new(),
    };
    let mut count = 0;
    snapshot.walk(&EVENTS, first.., |number, record, bytes| {
        let old = record.at.0.saturating_add(kept) <= now.0;
        let due = old || bytes_left > home.options.events_bytes_max;
        // The last event stays, because it holds the number that the next one follows.
        if !due || number >= head || count == TRIM_EVENTS_MAX {
            return ControlFlow::Break(());
        }
        if let Some((module, position)) = &slowest
            && number > *position
        {
            held_by = Some(module.clone());
            return ControlFlow::Break(());
        }
        let of_name = slice.by_name.entry(record.name).or_default();
        of_name.count += 1;
        of_name.up_to = number;
        slice.up_to = number;
        slice.bytes += bytes as u64;
        bytes_left = bytes_left.saturating_sub(bytes as u64);
        count += 1;
        ControlFlow::Continue(())
    })?;
    note_held(home, first, held_by);
    Ok((count > 0).then_some(slice))
}

fn note_held(home: &Home, first: u64, held_by: Option<Arc<str>>) {
    let before = std::mem::replace(&mut home.retention.state().held_by, held_by.clone());
    if let Some(subscriber) = &held_by
        && before != held_by
    {
        let subscriber = &**subscriber;
        warn!(
            module = home.name(),
            subscriber, first, "events are kept beyond their time, for a subscriber"
        );
    }
}

/// Removes a slice, if there is one, and stores how far the subscribers have come: one commit.
async fn save(home: &Home, slice: Option<Slice>) -> Result<(), Fault> {
    let removed = slice.as_ref().map_or(0, |slice| slice.bytes);
    let (readers, mut size) = {
        let mut state = home.retention.state();
        state.unsaved = false;
        let readers = state.subscribers.iter();
        let readers = readers.filter_map(|(m, reader)| Some((m.to_string(), (*reader)?)));
        (readers.collect::<Vec<_>>(), state.size)
    };
    size.bytes = size.bytes.saturating_sub(removed);
    let saved = home.transact(move |tx| {
        for (subscriber, reader) in readers {
            tx.put(&SUBSCRIBERS, &subscriber, &reader)?;
        }
        tx.put(&SIZE, &(), &size)?;
        let Some(slice) = slice else {
            return Ok(());
        };
        for number in slice.first..=slice.up_to {
            tx.remove(&EVENTS, &number);
        }
        for (name, more) in slice.by_name {
            let before = tx.get(&TRIMMED, &name)?.unwrap_or_default();
            let sum = Trimmed {
                count: before.count + more.count,
                up_to: more.up_to,
            };
            tx.put(&TRIMMED, &name, &sum)?;
        }
        Ok(())
    });
    let saved = saved.await;
    let mut state = home.retention.state();
    match &saved {
        Ok(()) => state.size = size,
        Err(_) => state.unsaved = true,
    }
    saved
}

fn more_if(more: bool) -> ControlFlow<()> {
    if more {
        ControlFlow::Continue(())
    } else {
        ControlFlow::Break(())
    }
}
