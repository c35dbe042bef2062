//! A batch: the changes of several commands, committed as one.
//!
//! Every command of a batch sees the snapshot the batch began with and the changes kept before
//! it; its own changes are kept whole or dropped whole. (redb's savepoints cannot do this: none
//! can be made once a transaction has written.) Only at the end are the kept changes written, in
//! key order: to the journal, which is synced once, and then to redb (`writer`).

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use modulith_contract::Fault;
use redb::WriteTransaction;

use super::{
    Record, Snapshot, Store,
    log::EVENTS,
    snapshot::{ByteBounds, RawTable, as_slice},
};

/// New values by table and key; none for a deleted row.
pub(crate) type Writes = BTreeMap<&'static str, BTreeMap<Vec<u8>, Option<Vec<u8>>>>;

/// What one command did.
#[derive(Default)]
pub(crate) struct Changes {
    pub(crate) writes: Writes,
    pub(crate) events: Vec<Record>,
    /// Flows to be told after the commit.
    pub(crate) woken: Vec<u128>,
}

pub(crate) struct Batch {
    snapshot: Snapshot,
    /// Tables opened on the snapshot so far; opening costs as much as reading.
    tables: RefCell<HashMap<&'static str, Option<RawTable>>>,
    kept: Writes,
    woken: Vec<u128>,
    /// The number of the last event, kept ones included.
    head: u64,
}

impl Batch {
    pub(crate) fn begin(store: &Store) -> Result<Self, Fault> {
        let snapshot = store.snapshot()?;
        let head = snapshot.last(&EVENTS)?.map_or(0, |(number, _)| number);
        Ok(Self {
            snapshot,
            tables: RefCell::default(),
            kept: Writes::new(),
            woken: Vec::new(),
            head,
        })
    }

    /// The number of the last event in the log.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// The flows that wait for what was kept.
    pub(crate) fn take_woken(&mut self) -> Vec<u128> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn module(&self) -> &'static str {
        self.snapshot.module()
    }

    /// Keeps what a command did; later commands of the batch see it.
    pub(crate) fn keep(&mut self, changes: Changes) -> Result<(), Fault> {
        self.woken.extend(changes.woken);
        let numbered = changes.events.into_iter().zip(self.head + 1..);
        let rows: Vec<_> = numbered
            .map(|(record, number)| {
                let value = EVENTS.value_bytes(self.snapshot.module(), &record)?;
                Ok((EVENTS.key_bytes(&number), Some(value)))
            })
            .collect::<Result<_, Fault>>()?;
        self.head += u64::try_from(rows.len()).expect("a batch holds fewer than 2^64 events");
        if !rows.is_empty() {
            self.kept.entry(EVENTS.name).or_default().extend(rows);
        }
        for (table, rows) in changes.writes {
            self.kept.entry(table).or_default().extend(rows);
        }
        Ok(())
    }

    /// Whether nothing was kept: all of it refused, failed, or only read.
    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Commits everything kept. Returns when it is as durable as the module's options demand, and
    /// queries see it.
    pub(crate) fn commit(self, store: &Store) -> Result<(), Fault> {
        store.with_writer(|writer, database| writer.commit(database, &self.kept))
    }

    /// Commits everything kept, and more that no journal has words for.
    pub(super) fn commit_with(
        self,
        store: &Store,
        more: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), Fault> {
        store.with_writer(|writer, database| writer.commit_directly(database, &self.kept, more))
    }

    /// A row as the batch's commands see it.
    pub(crate) fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        if let Some(kept) = self.kept.get(table).and_then(|rows| rows.get(key)) {
            return Ok(kept.clone());
        }
        self.on_snapshot(table, |raw| {
            let row = raw.get(key).map_err(|error| self.snapshot.fault(&error))?;
            Ok(row.map(|bytes| bytes.value().to_vec()))
        })
        .map(Option::flatten)
    }

    /// The rows between bounds, overlaid with what was kept.
    pub(crate) fn range(
        &self,
        table: &'static str,
        bounds: &ByteBounds,
    ) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, Fault> {
        let slices = (as_slice(&bounds.0), as_slice(&bounds.1));
        let read = self.on_snapshot(table, |raw| {
            let rows = raw
                .range::<&[u8]>(slices)
                .map_err(|error| self.snapshot.fault(&error))?;
            rows.map(|row| {
                let (key, value) = row.map_err(|error| self.snapshot.fault(&error))?;
                Ok((key.value().to_vec(), value.value().to_vec()))
            })
            .collect::<Result<BTreeMap<_, _>, Fault>>()
        })?;
        let mut rows = read.unwrap_or_default();
        if let Some(kept) = self.kept.get(table) {
            overlay(&mut rows, kept, bounds);
        }
        Ok(rows)
    }

    fn on_snapshot<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&RawTable) -> Result<T, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut tables = self.tables.borrow_mut();
        if !tables.contains_key(name) {
            tables.insert(name, self.snapshot.raw(name)?);
        }
        tables
            .get(name)
            .and_then(Option::as_ref)
            .map(read)
            .transpose()
    }
}

/// Applies changed rows between bounds to what was read.
pub(crate) fn overlay(
    rows: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    changed: &BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    bounds: &ByteBounds,
) {
    for (key, value) in changed.range::<Vec<u8>, _>((bounds.0.as_ref(), bounds.1.as_ref())) {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}
