//! Opening a store: its version, its owner, and getting it back after its disk failed.

use std::sync::{PoisonError, RwLock};

use modulith_contract::Fault;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, TableDefinition};

use super::{Batch, Snapshot, Tx, log::migrate_cursors};
use crate::Environment;

/// How much of a store redb may keep in memory, in bytes.
///
/// redb's own default is 1 GiB per database; with a store per module, 16 MiB each keep the whole
/// boutique under its memory target while the upper levels of every tree stay cached.
pub const STORE_CACHE_BYTES: usize = 16 << 20;

/// The layout of the kernel's own tables. Raised when it changes.
const FORMAT: u32 = 2;

/// What a store says of itself: `module`, `format` and `version`.
const ABOUT: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("modulith.about");

/// Why a module's store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("the store of module {module} is in use by another running instance")]
    InUse {
        /// Whose store.
        module: &'static str,
    },
    /// It was written by a newer version of the module or of Modulith.
    #[error(
        "the store of module {module} has {what} {found}, newer than {known}, the last this \
         program knows; run the newer program, or restore a backup made with this one"
    )]
    Newer {
        /// Whose store.
        module: &'static str,
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
        module: &'static str,
        /// Whose it is.
        found: String,
    },
    /// Its migration failed.
    #[error("the store of module {module} cannot be brought from version {from} to {to}")]
    Migration {
        /// Whose store.
        module: &'static str,
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
        module: &'static str,
        /// What redb says.
        source: redb::Error,
    },
}

/// Brings a store from an older version of its module to the current one.
pub(crate) type Migrate = fn(u32, &mut Tx<'_>) -> Result<(), Fault>;

/// One module's database.
///
/// The database is behind a lock because it is taken out when the module stops, and replaced
/// after its disk has failed: redb refuses everything after an I/O error until it is opened anew.
pub(crate) struct Store {
    pub(crate) module: &'static str,
    environment: Environment,
    database: RwLock<Option<Database>>,
}

impl Store {
    pub(crate) fn open(
        module: &'static str,
        version: u32,
        migrate: Migrate,
        environment: Environment,
    ) -> Result<Self, StoreError> {
        let store = Self {
            module,
            environment,
            database: RwLock::new(None),
        };
        store.reopen()?;
        store.check_owner_and_version(version, migrate)?;
        Ok(store)
    }

    /// Opens the database again after its disk has failed, if the disk works by now.
    ///
    /// Asks the disk first, because opening means closing: the failed database still answers
    /// from memory, the closed one does not.
    pub(crate) fn recover(&self) -> Result<(), Fault> {
        let storage = &self.environment.storage;
        storage
            .probe(self.module)
            .map_err(|error| self.fault(&error))?;
        self.reopen().map_err(|error| match error {
            StoreError::Broken { source, .. } => self.fault(&source),
            other => self.fault(&other),
        })
    }

    /// Closes the database if it is open, and opens it from what is on the disk.
    fn reopen(&self) -> Result<(), StoreError> {
        // redb locks the file against other processes, and against this one.
        self.close();
        let mut builder = Builder::new();
        builder.set_cache_size(STORE_CACHE_BYTES);
        let database = self
            .environment
            .storage
            .open(self.module, &builder)
            .map_err(|error| match error {
                DatabaseError::DatabaseAlreadyOpen => StoreError::InUse {
                    module: self.module,
                },
                other => StoreError::Broken {
                    module: self.module,
                    source: other.into(),
                },
            })?;
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(())
    }

    /// Closes the database. Whoever still reads a snapshot of it finds what is in memory.
    pub(crate) fn close(&self) {
        self.database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// A view of everything durable now.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, Fault> {
        let read = self.with_database(|database| Ok(database.begin_read()?))?;
        Ok(Snapshot::new(self.module, read))
    }

    /// Uses the database, which cannot be closed meanwhile.
    pub(crate) fn with_database<T>(
        &self,
        used: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Fault> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let open = database.as_ref().ok_or_else(|| Fault::Store {
            module: self.module.to_string(),
            reason: "it is not open".to_string(),
        })?;
        used(open).map_err(|error| self.fault(&error))
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn fault(&self, error: &dyn std::error::Error) -> Fault {
        Fault::Store {
            module: self.module.to_string(),
            reason: error.to_string(),
        }
    }

    fn check_owner_and_version(&self, version: u32, migrate: Migrate) -> Result<(), StoreError> {
        let module = self.module;
        let about = self
            .about()
            .map_err(|source| StoreError::Broken { module, source })?;
        if about.module.as_ref().is_some_and(|found| found != module) {
            let found = about.module.unwrap_or_default();
            return Err(StoreError::Misplaced { module, found });
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
        let from = about.version.unwrap_or(version);
        if about.module.is_some() && from == version && about.format == Some(FORMAT) {
            return Ok(());
        }
        self.migrate(about.format, from, version, migrate)
            .map_err(|source| StoreError::Migration {
                module,
                from,
                to: version,
                source,
            })
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
            Ok(())
        })
    }

    fn about(&self) -> Result<About, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database.as_ref() else {
            return Ok(About::default());
        };
        let read = database.begin_read()?;
        let table = match read.open_table(ABOUT) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(About::default()),
            Err(other) => return Err(other.into()),
        };
        let number = |key: &str| -> Result<Option<u32>, redb::Error> {
            let bytes = table.get(key)?;
            Ok(bytes
                .and_then(|bytes| bytes.value().try_into().ok())
                .map(u32::from_le_bytes))
        };
        Ok(About {
            module: table
                .get("module")?
                .map(|name| String::from_utf8_lossy(name.value()).into_owned()),
            format: number("format")?,
            version: number("version")?,
        })
    }
}

#[derive(Default)]
struct About {
    module: Option<String>,
    format: Option<u32>,
    version: Option<u32>,
}
