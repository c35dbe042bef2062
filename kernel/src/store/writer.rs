//! Committing: first the journal, then the database, and now and then a checkpoint.
//!
//! | when | what is on the disk |
//! | --- | --- |
//! | a batch is committed | its record in the journal, synced; the database has it in memory only |
//! | a checkpoint | the database, synced; the journal begins again at its first byte |
//! | the store is opened | what the journal holds beyond the database is applied, then a checkpoint |
//!
//! What makes this exact is the sequence number of the last batch, which every transaction writes
//! to `modulith.about` beside the batch itself: whatever state of the database a crash leaves, it
//! says which record comes next.
//!
//! After any failure nothing is written any more until the store has been opened again: it is not
//! known what the disk has, and a sync that failed once says nothing when it is tried again.

use std::io;

use redb::{Database, Durability, TableDefinition, WriteTransaction};

use super::{
    about::{ABOUT, About},
    batch::Writes,
    journal::{Journal, record_bytes},
};

pub(super) struct Writer {
    journal: Journal,
    /// Whether a batch waits for the disk.
    sync: bool,
    salt: u64,
    /// The number of the last batch in the database.
    sequence: u64,
    /// Whether a batch was committed since the last checkpoint.
    dirty: bool,
    failed: bool,
}

impl Writer {
    /// Takes over a database and its journal. Applies what the journal holds beyond the database,
    /// and makes the database durable with it; a database without an owner has nothing to apply,
    /// and its first transaction is yet to come.
    pub(super) fn open(
        database: &Database,
        mut journal: Journal,
        salt: u64,
        sync: bool,
    ) -> Result<Self, redb::Error> {
        let about = About::read(database)?;
        // Differs from the last one even if a simulated world draws the same number again.
        let fresh = about.salt.unwrap_or_default().wrapping_add(salt | 1);
        let mut sequence = about.sequence;
        if about.module.is_some() {
            let write = begin(database, Durability::Immediate)?;
            if let Some(salt) = about.salt {
                sequence = journal.replay(salt, sequence, |body| {
                    body.for_each(|name, key, value| apply_row(&write, name, key, value))
                })?;
            }
            finish(write, sequence, Some(fresh))?;
            if sequence > about.sequence {
                let batches = sequence - about.sequence;
                tracing::info!(batches, "applied what the journal held beyond the database");
            }
        }
        journal.restart(fresh);
        if journal.room() == 0 {
            journal.grow()?;
        }
        Ok(Self {
            journal,
            sync,
            salt: fresh,
            sequence,
            dirty: false,
            failed: false,
        })
    }

    /// Commits a batch. When this returns it is durable, and queries see it.
    ///
    /// After an error it may turn out to be durable when the store has been opened again.
    pub(super) fn commit(
        &mut self,
        database: &Database,
        writes: &Writes,
    ) -> Result<(), redb::Error> {
        self.guarded(|writer| writer.try_commit(database, writes))
    }

    /// Commits a batch and whatever else, and makes the whole database durable.
    pub(super) fn commit_directly(
        &mut self,
        database: &Database,
        writes: &Writes,
        more: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        self.guarded(|writer| writer.try_commit_directly(database, writes, more))
    }

    /// Makes the database durable if a batch was committed since it last was, and begins the
    /// journal again.
    pub(super) fn checkpoint(&mut self, database: &Database) -> Result<(), redb::Error> {
        if !self.dirty {
            return Ok(());
        }
        self.guarded(|writer| writer.try_checkpoint(database))
    }

    /// Whether a batch was committed since the last checkpoint, so that one is due.
    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Demands a checkpoint even if no batch was committed.
    pub(super) fn set_dirty(&mut self) {
        self.dirty = true;
    }

    pub(super) fn journal_bytes(&self) -> u64 {
        self.journal.room()
    }

    /// Lets nothing through once something has failed.
    fn guarded(
        &mut self,
        write: impl FnOnce(&mut Self) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        if self.failed {
            let closed = "the store has failed and was not opened again since";
            return Err(io::Error::other(closed).into());
        }
        let written = write(self);
        self.failed = written.is_err();
        written
    }

    fn try_commit(&mut self, database: &Database, writes: &Writes) -> Result<(), redb::Error> {
        let bytes = record_bytes(writes);
        if self.journal.is_too_small_for(bytes) {
            // Too much for the journal as it is: to the database at once, which costs more syncs
            // and writes the batch only once.
            self.try_commit_directly(database, writes, |_| Ok(()))?;
            return self.grow();
        }
        if self.journal.is_full_for(bytes) {
            // Sooner than a checkpoint was due, so it is too small for what is going on.
            self.try_checkpoint(database)?;
            self.grow()?;
        }
        let sequence = self.sequence + 1;
        self.journal.append(sequence, writes, self.sync)?;
        self.dirty = true;
        let write = begin(database, Durability::None)?;
        apply(&write, writes)?;
        finish(write, sequence, None)?;
        self.sequence = sequence;
        Ok(())
    }

    fn try_commit_directly(
        &mut self,
        database: &Database,
        writes: &Writes,
        more: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let sequence = self.sequence + 1;
        let write = begin(database, Durability::Immediate)?;
        apply(&write, writes)?;
        more(&write)?;
        finish(write, sequence, Some(self.salt))?;
        self.sequence = sequence;
        self.restart();
        Ok(())
    }

    fn try_checkpoint(&mut self, database: &Database) -> Result<(), redb::Error> {
        let write = begin(database, Durability::Immediate)?;
        finish(write, self.sequence, Some(self.salt))?;
        self.restart();
        Ok(())
    }

    fn restart(&mut self) {
        self.journal.restart(self.salt);
        self.dirty = false;
    }

    /// Makes the journal larger, unless the disk is full: then it does as it is.
    fn grow(&mut self) -> Result<(), redb::Error> {
        match self.journal.grow() {
            Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
            grown => Ok(grown?),
        }
    }
}

fn begin(database: &Database, durability: Durability) -> Result<WriteTransaction, redb::Error> {
    let mut write = database.begin_write()?;
    // Saves the allocator's state along, so that an opening after a crash has no need to walk
    // the whole database. Commits in two phases.
    write.set_quick_repair(matches!(durability, Durability::Immediate));
    write.set_durability(durability)?;
    Ok(write)
}

/// Commits a transaction with the number of the last batch in it, and the journal's salt if it is
/// to be durable.
fn finish(write: WriteTransaction, sequence: u64, salt: Option<u64>) -> Result<(), redb::Error> {
    {
        let mut about = write.open_table(ABOUT)?;
        about.insert("sequence", sequence.to_le_bytes().as_slice())?;
        if let Some(salt) = salt {
            about.insert("salt", salt.to_le_bytes().as_slice())?;
        }
    }
    Ok(write.commit()?)
}

fn apply(write: &WriteTransaction, writes: &Writes) -> Result<(), redb::Error> {
    for (name, rows) in writes {
        let definition = TableDefinition::<&[u8], &[u8]>::new(name);
        let mut table = write.open_table(definition)?;
        for (key, value) in rows {
            match value {
                Some(value) => table.insert(key.as_slice(), value.as_slice())?,
                None => table.remove(key.as_slice())?,
            };
        }
    }
    Ok(())
}

fn apply_row(
    write: &WriteTransaction,
    name: &str,
    key: &[u8],
    value: Option<&[u8]>,
) -> Result<(), redb::Error> {
    let mut table = write.open_table(TableDefinition::<&[u8], &[u8]>::new(name))?;
    match value {
        Some(value) => table.insert(key, value)?,
        None => table.remove(key)?,
    };
    Ok(())
}
