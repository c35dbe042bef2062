//! Where stores are kept: files in production, anything a test wants otherwise.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

pub use redb;
use redb::{Builder, Database, DatabaseError, StorageError};

/// Opens the database of one module.
///
/// The kernel prepares the builder (cache size); the storage decides what lies beneath, such as a
/// backend that fails on purpose.
pub trait Storage: Send + Sync + 'static {
    /// Opens the database, creating it when there is none.
    ///
    /// # Errors
    /// What redb says; [`DatabaseError::DatabaseAlreadyOpen`] when another process holds it.
    fn open(&self, module: &str, builder: &Builder) -> Result<Database, DatabaseError>;

    /// Finds out whether the disk below a module's store takes writes and syncs them.
    ///
    /// Asked after a commit has failed, before the store is opened again.
    ///
    /// # Errors
    /// What the disk says.
    fn probe(&self, module: &str) -> io::Result<()>;
}

/// How much [`Files`] writes to try a disk: as much as one page of a store.
const PROBE_BYTES: usize = 4096;

/// One file per module: `FOLDER/MODULE/store.redb`.
///
/// The path does not depend on the placement, so a module finds its store again in whichever
/// process it runs next.
#[derive(Debug, Clone)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Keeps stores below a folder, which need not exist yet.
    pub fn below(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The file of a module's store.
    pub fn path(&self, module: &str) -> PathBuf {
        self.folder.join(module).join("store.redb")
    }
}

impl Storage for Files {
    fn open(&self, module: &str, builder: &Builder) -> Result<Database, DatabaseError> {
        let path = self.path(module);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(StorageError::from)?;
        }
        builder.create(path)
    }

    fn probe(&self, module: &str) -> io::Result<()> {
        let path = self.path(module).with_file_name("probe");
        let mut file = File::create(&path)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()?;
        fs::remove_file(path)
    }
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.display().fmt(f)
    }
}
