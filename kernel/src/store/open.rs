//! Opening a store: its version, its owner, and getting it back after its disk failed.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use modulith_contract::Fault;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageError};

use super::{
    Batch, Snapshot, Tx,
    about::{ABOUT, About},
    backend::Backend,
    division::divided,
    journal::Journal,
    log::migrate_cursors,
    writer::Writer,
};
use crate::{Durability, Environment, Partition, storage::Part};

/// How much of a store redb may keep in memory, in bytes.
///
/// redb's own default is 1 GiB per database; with a store per module, 16 MiB each keep the whole
/// boutique under its memory target while the upper levels of every tree stay cached.
///
/// The partitions of a module share it, down to [`STORE_CACHE_BYTES_MIN`] for each.
pub const STORE_CACHE_BYTES: usize = 16 << 20;

/// The least of it that one of many partitions has.
pub const STORE_CACHE_BYTES_MIN: usize = 1 << 20;

/// The layout of the kernel's own tables and of the journal. Raised when it changes.
///
/// 2: there is a journal, which a program that does not know it would leave out; and cursors are
/// more than positions.
pub(super) const FORMAT: u32 = 2;

/// Why a module's store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store of module {module} is in use by another running instance")]
    InUse {
        /// Whose store.
        module: String,
    },
    /// It was written by a newer version of the module or of Modulith.
    #[error(
        "the store of module {module} has {what} {found}, newer than {known}, the last this \
         program knows; run the newer program, or restore a backup made with this one"
    )]
    Newer {
        /// Whose store.
        module: String,
        /// What is newer: `version` (the module's) or `format` (the kernel's).
        what: &'static str,
        /// What the store has.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// It belongs to another module.
    #[error("this is the store of module {found}, not of {module}")]
    Misplaced {
        /// Whose store was wanted.
        module: String,
        /// Whose it is.
        found: String,
    },
    /// It is one of another number of partitions.
    #[error(
        "the store of module {module} is {found}, and {expected} is set; the number of partitions \
         is fixed when the stores are created: set partitions = {count}"
    )]
    Divided {
        /// Whose store.
        module: String,
        /// What the store is, in words.
        found: String,
        /// What was wanted, in words.
        expected: String,
        /// The number of partitions that it was created with.
        count: u32,
    },
    /// Its migration failed.
    #[error("the store of module {module} cannot be brought from version {from} to {to}")]
    Migration {
        /// Whose store.
        module: String,
        /// What the store has.
        from: u32,
        /// What this program writes.
        to: u32,
        /// What went wrong.
        source: Fault,
    },
    /// The disk or the file failed.
    #[error("the store of module {module} cannot be opened")]
    Broken {
        /// Whose store.
        module: String,
        /// What redb says.
        source: redb::Error,
    },
}

/// Of a database file that redb cannot make sense of.
const CONTRADICTORY: &str = "its contents contradict themselves";

/// Brings a store from an older version of its module to the current one.
pub(crate) type Migrate = fn(u32, &mut Tx<'_>) -> Result<(), Fault>;

/// One module's database and its journal.
///
/// The database is behind a lock because it is taken out when the module stops, and replaced
/// after its disk has failed: redb refuses everything after an I/O error until it is opened anew.
/// Whoever needs both locks takes the writer's first.
pub(crate) struct Store {
    pub(crate) module: &'static str,
    pub(crate) partition: Partition,
    /// As its storage knows it, and people.
    name: String,
    environment: Environment,
    durability: Durability,
    writer: Mutex<Option<Writer>>,
    database: RwLock<Option<Open>>,
}

/// An open database.
pub(super) struct Open {
    pub(super) database: Database,
    /// What lies beneath it, to ask for its length.
    pub(super) backend: Backend,
}

/// How much of one partition's store may be kept in memory.
pub(super) fn cache_bytes(partition: Partition) -> usize {
    (STORE_CACHE_BYTES / usize::from(partition.count())).max(STORE_CACHE_BYTES_MIN)
}

impl Store {
    pub(crate) fn open(
        module: &'static str,
        partition: Partition,
        version: u32,
        migrate: Migrate,
        environment: Environment,
        durability: Durability,
    ) -> Result<Self, StoreError> {
        let store = Self {
            module,
            partition,
            name: partition.name(module),
            environment,
            durability,
            writer: Mutex::new(None),
            database: RwLock::new(None),
        };
        let from = store.reopen(version)?;
        if from != Some((FORMAT, version)) {
            let format = from.map(|(format, _)| format);
            let from = from.map_or(version, |(_, from)| from);
            store
                .migrate(format, from, version, migrate)
                .map_err(|source| StoreError::Migration {
                    module: store.name.clone(),
                    from,
                    to: version,
                    source,
                })?;
        }
        Ok(store)
    }

    /// Opens the store again after its disk has failed, if the disk works by now: from what is on
    /// the disk, with what the journal holds beyond the database.
    ///
    /// Asks the disk first, because opening means closing: the failed database still answers
    /// from memory, the closed one does not.
    pub(crate) fn recover(&self) -> Result<(), Fault> {
        let storage = &self.environment.storage;
        storage
            .probe(&self.name)
            .map_err(|error| self.fault(&error))?;
        self.close();
        storage
            .forget(&self.name)
            .map_err(|error| self.fault(&error))?;
        let reopened = self.reopen(u32::MAX).map_err(|error| match error {
            StoreError::Broken { source, .. } => self.fault(&source),
            other => self.fault(&other),
        });
        reopened.map(|_| ())
    }

    /// Closes the store if it is open, and opens it from what is on the disk. Returns which format
    /// and version it has; none when it is new.
    fn reopen(&self, version: u32) -> Result<Option<(u32, u32)>, StoreError> {
        // redb locks the file against other processes, and against this one.
        self.close();
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes(self.partition));
        let open = |part| self.environment.storage.open(&self.name, part);
        let backend = Backend::new(open(Part::Database).map_err(|error| self.unopened(error))?);
        // redb panics on some files whose disk lied about a sync. Nothing outlives the panic: the
        // database is made here, and the backend is closed with this call.
        let made = AssertUnwindSafe(|| builder.create_with_backend(backend.clone()));
        let database = catch_unwind(made)
            .unwrap_or_else(|_| Err(StorageError::Corrupted(CONTRADICTORY.to_string()).into()))
            .map_err(|error| self.unopened(error))?;
        let about = About::read(&database).map_err(|error| self.broken(error))?;
        // Before anything is written: what is refused is left as it is.
        self.check_owner_and_version(&about, version)?;
        let journal = open(Part::Journal).map_err(|error| self.unopened(error))?;
        let journal = Journal::open(journal).map_err(|error| self.broken(error.into()))?;
        let mut salt = [0; 8];
        self.environment.randomness.fill(&mut salt);
        let writer = Writer::open(
            &database,
            journal,
            u64::from_le_bytes(salt),
            self.durability == Durability::Fsync,
        );
        let writer = writer.map_err(|error| self.broken(error))?;
        *self.writer() = Some(writer);
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Open { database, backend });
        let owned = about.module.is_some();
        Ok(owned.then(|| {
            let format = about.format.unwrap_or_default();
            (format, about.version.unwrap_or(version))
        }))
    }

    /// Closes the store, without a checkpoint. Whoever still reads a snapshot of it finds what is
    /// in memory.
    pub(crate) fn close(&self) {
        self.writer().take();
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// A view of everything committed now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Fault> {
        let read = self.with_database(|open| Ok(open.database.begin_read()?))?;
        Ok(Snapshot::new(self.module, read))
    }

    /// Makes the database durable if anything was committed since it last was. Until then it is
    /// the journal that keeps it.
    ///
    /// # Errors
    /// What the disk says; nothing can be committed then until the store is recovered.
    pub(crate) fn checkpoint(&self) -> Result<(), Fault> {
        self.with_writer(Writer::checkpoint)
    }

    /// Whether a checkpoint would have something to do.
    pub(crate) fn checkpoint_is_due(&self) -> bool {
        self.writer().as_ref().is_some_and(Writer::is_dirty)
    }

    /// Uses the database, which cannot be closed meanwhile.
    pub(super) fn with_database<T>(
        &self,
        used: impl FnOnce(&Open) -> Result<T, redb::Error>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let open = database.as_ref().ok_or_else(|| self.not_open())?;
        used(open).map_err(|error| self.fault(&error))
    }

    /// Uses the writer, of which there is one.
    pub(super) fn with_writer<T>(
        &self,
        used: impl FnOnce(&mut Writer, &Database) -> Result<T, redb::Error>,
    ) -> Result<T, Fault> {
        let mut writer = self.writer();
        let writer = writer.as_mut().ok_or_else(|| self.not_open())?;
        self.with_database(|open| used(writer, &open.database))
    }

    /// Uses the database while nobody else can.
    pub(super) fn with_database_alone<T>(
        &self,
        used: impl FnOnce(&mut Writer, &mut Database) -> Result<T, redb::Error>,
    ) -> Result<T, Fault> {
        let mut writer = self.writer();
        let writer = writer.as_mut().ok_or_else(|| self.not_open())?;
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let open = database.as_mut().ok_or_else(|| self.not_open())?;
        used(writer, &mut open.database).map_err(|error| self.fault(&error))
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_open(&self) -> Fault {
        self.fault(&io::Error::other("it is not open"))
    }

    fn unopened(&self, error: DatabaseError) -> StoreError {
        match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse {
                module: self.name.clone(),
            },
            other => self.broken(other.into()),
        }
    }

    fn broken(&self, source: redb::Error) -> StoreError {
        let module = self.name.clone();
        StoreError::Broken { module, source }
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn fault(&self, error: &dyn std::error::Error) -> Fault {
        Fault::Store {
            module: self.name.clone(),
            reason: error.to_string(),
        }
    }

    fn check_owner_and_version(&self, about: &About, version: u32) -> Result<(), StoreError> {
        let module = self.name.clone();
        if about.module.is_none() {
            return Ok(());
        }
        if let Some(found) = about.module.as_ref().filter(|found| *found != self.module) {
            let found = found.clone();
            return Err(StoreError::Misplaced { module, found });
        }
        if about.partition != self.partition.words() {
            return Err(divided(self.module, about.partition, self.partition));
        }
        for (what, found, known) in [
            ("format", about.format, FORMAT),
            ("version", about.version, version),
        ] {
            if found.is_some_and(|found| found > known) {
                let found = found.unwrap_or_default();
                return Err(StoreError::Newer {
                    module,
                    what,
                    found,
                    known,
                });
            }
        }
        Ok(())
    }

    /// Migrates and writes the new version down, in one commit.
    fn migrate(
        &self,
        format: Option<u32>,
        from: u32,
        to: u32,
        migrate: Migrate,
    ) -> Result<(), Fault> {
        let mut batch = Batch::begin(self)?;
        if format == Some(1) {
            let mut tx = Tx::begin(&batch, self.environment(), &[], 0);
            migrate_cursors(&mut tx)?;
            let changes = tx.into_changes();
            batch.keep(changes)?;
        }
        if from != to {
            let mut tx = Tx::begin(&batch, self.environment(), &[], 0);
            migrate(from, &mut tx)?;
            let changes = tx.into_changes();
            batch.keep(changes)?;
        }
        batch.commit_with(self, |write| {
            let mut about = write.open_table(ABOUT)?;
            about.insert("module", self.module.as_bytes())?;
            about.insert("format", FORMAT.to_le_bytes().as_slice())?;
            about.insert("version", to.to_le_bytes().as_slice())?;
            if self.partition.is_divided() {
                let (index, count) = self.partition.words();
                about.insert("partition", index.to_le_bytes().as_slice())?;
                about.insert("partitions", count.to_le_bytes().as_slice())?;
            }
            Ok(())
        })
    }
}
