//! A command's transaction: everything it changes, or nothing.

use std::ops::RangeBounds;

use modulith_contract::{Event, Fault, Key, Message, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Batch, Record, Table,
    batch::{Changes, overlay},
    snapshot::{byte_bounds, is_empty},
};
use crate::{Environment, codec};

/// The largest encoded event, in bytes: what may be encoded, less room for the page it travels in.
const EVENT_BYTES_MAX: usize = codec::ENCODED_BYTES_MAX - 4096;

/// Reads and changes the module's store on behalf of one message.
///
/// Nothing is visible to others before the commit, and nothing stays behind when the handler
/// returns an error or panics. Time, randomness and ids come from here, never from the machine.
pub struct Tx<'a> {
    batch: &'a Batch,
    environment: &'a Environment,
    /// Names of the events the module declares.
    publishes: &'a [&'static str],
    cause: u128,
    changes: Changes,
}

impl<'a> Tx<'a> {
    pub(crate) fn begin(
        batch: &'a Batch,
        environment: &'a Environment,
        publishes: &'a [&'static str],
        cause: u128,
    ) -> Self {
        Self {
            batch,
            environment,
            publishes,
            cause,
            changes: Changes::default(),
        }
    }

    /// Drops what was changed so far.
    pub(crate) fn forget(&mut self) {
        self.changes = Changes::default();
    }

    /// Tells a flow, after the commit, that what it waits for has come.
    pub(crate) fn wake(&mut self, flow: u128) {
        self.changes.woken.push(flow);
    }

    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }

    /// The value of a key, if it has one.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails or the value is not of the table's type.
    pub fn get<K, V>(&self, table: &Table<K, V>, key: &K) -> Result<Option<V>, Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let key = table.key_bytes(key);
        if let Some(own) = self
            .changes
            .writes
            .get(table.name)
            .and_then(|rows| rows.get(&key))
        {
            return own
                .as_ref()
                .map(|bytes| table.value(self.module(), bytes))
                .transpose();
        }
        let bytes = self.batch.get(table.name, &key)?;
        bytes
            .map(|bytes| table.value(self.module(), &bytes))
            .transpose()
    }

    /// The rows of a range of keys, in order, at most `limit` of them.
    ///
    /// Reads the whole range before it cuts, so keep ranges narrow.
    ///
    /// # Errors
    /// As [`Tx::get`].
    pub fn range<K, V>(
        &self,
        table: &Table<K, V>,
        range: impl RangeBounds<K>,
        limit: usize,
    ) -> Result<Vec<(K, V)>, Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let bounds = byte_bounds(table, &range);
        if is_empty(&bounds) {
            return Ok(Vec::new());
        }
        let mut rows = self.batch.range(table.name, &bounds)?;
        if let Some(own) = self.changes.writes.get(table.name) {
            overlay(&mut rows, own, &bounds);
        }
        rows.iter()
            .take(limit)
            .map(|(key, value)| {
                Ok((
                    table.key(self.module(), key)?,
                    table.value(self.module(), value)?,
                ))
            })
            .collect()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`Fault::Store`] when the value is larger than [`codec::ENCODED_BYTES_MAX`].
    pub fn put<K, V>(&mut self, table: &Table<K, V>, key: &K, value: &V) -> Result<(), Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let value = table.value_bytes(self.module(), value)?;
        self.write(table, key, Some(value));
        Ok(())
    }

    /// Removes a key and its value; a key that is not there is no error.
    pub fn remove<K, V>(&mut self, table: &Table<K, V>, key: &K)
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        self.write(table, key, None);
    }

    /// Appends an event to the module's log, in this commit.
    ///
    /// # Errors
    /// [`Fault::Denied`] when the module does not declare the event, [`Fault::TooLarge`] when it
    /// is too large to be sent.
    pub fn publish<E: Event>(&mut self, event: &E) -> Result<(), Fault> {
        if E::MODULE != self.module() || !self.publishes.contains(&E::NAME) {
            let message = format!("{}.{}", E::MODULE, E::NAME);
            return Err(Fault::Denied {
                caller: self.module().to_string(),
                message,
            });
        }
        let body =
            codec::encode_kept(event).map_err(|error| crate::faults::unencodable::<E>(&error))?;
        if body.len() > EVENT_BYTES_MAX {
            return Err(Fault::TooLarge {
                bytes: body.len() as u64,
                bytes_max: EVENT_BYTES_MAX as u64,
            });
        }
        let record = Record {
            name: <E as Message>::NAME.to_string(),
            at: self.now(),
            cause: self.cause,
            body,
        };
        self.changes.events.push(record);
        Ok(())
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.environment.clock.now()
    }

    /// 128 random bits, fit for an id nobody can guess.
    pub fn random_u128(&self) -> u128 {
        self.environment.random_u128()
    }

    fn write<K, V>(&mut self, table: &Table<K, V>, key: &K, value: Option<Vec<u8>>)
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let key = table.key_bytes(key);
        self.changes
            .writes
            .entry(table.name)
            .or_default()
            .insert(key, value);
    }

    fn module(&self) -> &'static str {
        self.batch.module()
    }
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx")
            .field("module", &self.module())
            .finish_non_exhaustive()
    }
}
