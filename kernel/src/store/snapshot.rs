//! A view of everything a store had durably committed at one moment.

use std::ops::{Bound, ControlFlow, RangeBounds};

use modulith_contract::{Fault, Key};
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError,
};
use serde::{Serialize, de::DeserializeOwned};

use super::Table;

pub(crate) type RawTable = ReadOnlyTable<&'static [u8], &'static [u8]>;

/// Reads a store as it was when the snapshot was taken.
///
/// Commits go on meanwhile; a snapshot never sees part of one, nor anything a crash could undo.
pub struct Snapshot {
    module: &'static str,
    read: ReadTransaction,
}

impl Snapshot {
    pub(crate) fn new(module: &'static str, read: ReadTransaction) -> Self {
        Self { module, read }
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
        let Some(raw) = self.raw(table.name)? else {
            return Ok(None);
        };
        let bytes = raw
            .get(table.key_bytes(key).as_slice())
            .map_err(|e| self.fault(&e))?;
        bytes
            .map(|bytes| table.value(self.module, bytes.value()))
            .transpose()
    }

    /// The rows of a range of keys, in order, at most `limit` of them.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
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
        let Some(raw) = self.raw(table.name)? else {
            return Ok(Vec::new());
        };
        let bounds = byte_bounds(table, &range);
        if is_empty(&bounds) {
            return Ok(Vec::new());
        }
        let bounds = (as_slice(&bounds.0), as_slice(&bounds.1));
        let rows = raw.range::<&[u8]>(bounds).map_err(|e| self.fault(&e))?;
        rows.take(limit)
            .map(|row| {
                let (key, value) = row.map_err(|e| self.fault(&e))?;
                Ok((
                    table.key(self.module, key.value())?,
                    table.value(self.module, value.value())?,
                ))
            })
            .collect()
    }

    /// How many rows a table has.
    pub(crate) fn len<K, V>(&self, table: &Table<K, V>) -> Result<u64, Fault> {
        let Some(raw) = self.raw(table.name)? else {
            return Ok(0);
        };
        raw.len().map_err(|e| self.fault(&e))
    }

    /// Reads the rows of a range in order, one at a time, for as long as `read` wants more.
    ///
    /// `read` gets the row's encoded size too, in bytes.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub(crate) fn walk<K, V>(
        &self,
        table: &Table<K, V>,
        range: impl RangeBounds<K>,
        mut read: impl FnMut(K, V, usize) -> ControlFlow<()>,
    ) -> Result<(), Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let Some(raw) = self.raw(table.name)? else {
            return Ok(());
        };
        let bounds = byte_bounds(table, &range);
        if is_empty(&bounds) {
            return Ok(());
        }
        let bounds = (as_slice(&bounds.0), as_slice(&bounds.1));
        for row in raw.range::<&[u8]>(bounds).map_err(|e| self.fault(&e))? {
            let (key, value) = row.map_err(|e| self.fault(&e))?;
            let (key, value) = (key.value(), value.value());
            let bytes = key.len() + value.len();
            let (key, value) = (
                table.key(self.module, key)?,
                table.value(self.module, value)?,
            );
            if read(key, value, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Reads the keys of a table in order.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub(crate) fn keys<K, V>(
        &self,
        table: &Table<K, V>,
        mut read: impl FnMut(K),
    ) -> Result<(), Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let Some(raw) = self.raw(table.name)? else {
            return Ok(());
        };
        for row in raw.iter().map_err(|e| self.fault(&e))? {
            let (key, _) = row.map_err(|e| self.fault(&e))?;
            read(table.key(self.module, key.value())?);
        }
        Ok(())
    }

    /// The key of the first row of a table.
    pub(crate) fn first_key<K, V>(&self, table: &Table<K, V>) -> Result<Option<K>, Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let Some(raw) = self.raw(table.name)? else {
            return Ok(None);
        };
        let row = raw.first().map_err(|e| self.fault(&e))?;
        row.map(|(key, _)| table.key(self.module, key.value()))
            .transpose()
    }

    /// The last row of a table.
    pub(crate) fn last<K, V>(&self, table: &Table<K, V>) -> Result<Option<(K, V)>, Fault>
    where
        K: Key,
        V: Serialize + DeserializeOwned,
    {
        let Some(raw) = self.raw(table.name)? else {
            return Ok(None);
        };
        let row = raw.last().map_err(|e| self.fault(&e))?;
        row.map(|(key, value)| {
            Ok((
                table.key(self.module, key.value())?,
                table.value(self.module, value.value())?,
            ))
        })
        .transpose()
    }

    /// A table as redb knows it; none when nothing was ever written to it.
    pub(crate) fn raw(&self, name: &'static str) -> Result<Option<RawTable>, Fault> {
        match self.read.open_table(TableDefinition::new(name)) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(self.fault(&error)),
        }
    }

    pub(crate) fn module(&self) -> &'static str {
        self.module
    }

    pub(crate) fn fault(&self, error: &dyn std::error::Error) -> Fault {
        Fault::Store {
            module: self.module.to_string(),
            reason: error.to_string(),
        }
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot")
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

pub(crate) type ByteBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

pub(crate) fn byte_bounds<K, V>(table: &Table<K, V>, range: &impl RangeBounds<K>) -> ByteBounds
where
    K: Key,
    V: Serialize + DeserializeOwned,
{
    let bytes = |bound: Bound<&K>| bound.map(|key| table.key_bytes(key));
    (bytes(range.start_bound()), bytes(range.end_bound()))
}

/// Whether bounds enclose nothing; redb and the standard library's maps panic on such.
pub(crate) fn is_empty(bounds: &ByteBounds) -> bool {
    use Bound::{Excluded, Included};
    match bounds {
        (Included(from), Included(to)) => from > to,
        (Included(from) | Excluded(from), Included(to) | Excluded(to)) => from >= to,
        _ => false,
    }
}

pub(crate) fn as_slice(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}
