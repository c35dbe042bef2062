//! What operators do with a store: look at it, copy it, make its file smaller.

use std::{collections::BTreeMap, fs::OpenOptions, io, path::Path};

use modulith_contract::Fault;
use redb::{
    Builder, Durability, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableDefinition, TableHandle, WriteTransaction, backends::FileBackend,
};

use serde::{Deserialize, Serialize};

use super::{
    Store,
    about::{ABOUT, About},
    open::STORE_CACHE_BYTES,
};

/// How large a store is, and how far it has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreInfo {
    /// The module it belongs to, with its partition where that is divided: `cart/2`.
    pub module: String,
    /// The version of what the module stores.
    pub version: u32,
    /// The layout of the kernel's own tables.
    pub format: u32,
    /// The number of the last batch committed.
    pub sequence: u64,
    /// The length of the database's file.
    pub database_bytes: u64,
    /// What is preallocated for the journal.
    pub journal_bytes: u64,
    /// The rows of every table, the kernel's included.
    pub rows: BTreeMap<String, u64>,
}

impl Store {
    /// How the store stands.
    pub(crate) fn info(&self) -> Result<StoreInfo, Fault> {
        let journal_bytes = self.with_writer(|writer, _| Ok(writer.journal_bytes()))?;
        self.with_database(|open| {
            let read = open.database.begin_read()?;
            let mut rows = BTreeMap::new();
            for name in names(&read)? {
                let count = if name == ABOUT.name() {
                    read.open_table(ABOUT)?.len()?
                } else {
                    read.open_table(raw(&name))?.len()?
                };
                rows.insert(name, count);
            }
            let about = About::of(&read)?;
            Ok(StoreInfo {
                module: self.partition.name(self.module),
                version: about.version.unwrap_or_default(),
                format: about.format.unwrap_or_default(),
                database_bytes: open.backend.len()?,
                journal_bytes,
                rows,
                sequence: about.sequence,
            })
        })
    }

    /// Verifies every checksum of the database, as it is on the disk.
    ///
    /// Queries and commands wait meanwhile.
    ///
    /// # Errors
    /// What the disk says; also when a query is still reading, and nothing is done then.
    pub(crate) fn is_whole(&self) -> Result<bool, Fault> {
        self.with_database_alone(|writer, database| {
            writer.checkpoint(database)?;
            Ok(database.check_integrity()?)
        })
    }

    /// Writes everything committed by now to a database file of its own, which a module takes for
    /// its store when it finds it in place. Commands and queries go on meanwhile.
    ///
    /// The copy is on the disk and its checksums have been verified when this returns. No journal
    /// belongs to it: one that lies beside it when it is put in place is ignored. Returns the
    /// number of the last batch in it.
    ///
    /// # Errors
    /// What the disk says; also when there is something at `path` already.
    pub(crate) fn copy_to(&self, path: &Path) -> Result<u64, Fault> {
        let read = self.with_database(|open| Ok(open.database.begin_read()?))?;
        copy(&read, path).map_err(|error| self.fault(&error))
    }

    /// Gives what the database's file has to spare back to the disk. Returns whether there was
    /// anything.
    ///
    /// Queries and commands wait meanwhile.
    ///
    /// # Errors
    /// What the disk says; also when a query is still reading, and nothing is done then.
    pub(crate) fn compact(&self) -> Result<bool, Fault> {
        self.with_database_alone(|writer, database| {
            writer.checkpoint(database)?;
            let compacted = database.compact()?;
            // What compaction commits does not save the allocator's state.
            writer.set_dirty();
            writer.checkpoint(database)?;
            Ok(compacted)
        })
    }
}

fn copy(read: &ReadTransaction, path: &Path) -> Result<u64, redb::Error> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(path)?;
    let mut builder = Builder::new();
    builder.set_cache_size(STORE_CACHE_BYTES);
    let mut database = builder.create_with_backend(FileBackend::new(file)?)?;
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    write.set_quick_repair(true);
    for name in names(read)? {
        copy_table(read, &write, &name)?;
    }
    write.commit()?;
    if !database.check_integrity()? {
        return Err(io::Error::other("the copy is not what was written").into());
    }
    Ok(About::of(read)?.sequence)
}

fn copy_table(
    read: &ReadTransaction,
    write: &WriteTransaction,
    name: &str,
) -> Result<(), redb::Error> {
    if name == ABOUT.name() {
        let mut copied = write.open_table(ABOUT)?;
        for row in read.open_table(ABOUT)?.iter()? {
            let (key, value) = row?;
            if key.value() != "salt" {
                copied.insert(key.value(), value.value())?;
            }
        }
        return Ok(());
    }
    let mut copied = write.open_table(raw(name))?;
    for row in read.open_table(raw(name))?.iter()? {
        let (key, value) = row?;
        copied.insert(key.value(), value.value())?;
    }
    Ok(())
}

fn names(read: &ReadTransaction) -> Result<Vec<String>, redb::Error> {
    let tables = read.list_tables()?;
    Ok(tables.map(|table| table.name().to_string()).collect())
}

fn raw(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}
