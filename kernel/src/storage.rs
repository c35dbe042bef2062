//! Where stores are kept: files in production, anything a test wants otherwise.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

pub use redb;
use redb::{DatabaseError, StorageBackend, StorageError, backends::FileBackend};

/// What a store consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// The redb database.
    Database,
    /// The journal of what the database has not yet on the disk.
    Journal,
}

/// Opens what the store of one module, or of one of its partitions, consists of.
///
/// A store is called like its module, and that of a partition `MODULE/PARTITION`, as in `cart/2`.
///
/// Whatever the kernel reads and writes of a store goes through the backends that come from here,
/// so a storage can fail on purpose, count, or record.
pub trait Storage: Send + Sync + 'static {
    /// Opens a part of a module's store, making it, empty, when there is none.
    ///
    /// The database is opened first, and redb locks it through its backend; the journal only
    /// while that lock is held, so it needs none of its own.
    ///
    /// # Errors
    /// What the disk says; [`DatabaseError::DatabaseAlreadyOpen`] when another process holds it,
    /// if that is known before redb tries to lock.
    fn open(&self, store: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError>;

    /// Whether there is a store of that name.
    fn has(&self, store: &str) -> bool;

    /// Finds out whether the disk below a store takes writes and syncs them.
    ///
    /// Asked after a commit has failed, before the store is opened again.
    ///
    /// # Errors
    /// What the disk says.
    fn probe(&self, store: &str) -> io::Result<()>;

    /// Sees to it that what is read of a store next comes from the disk.
    ///
    /// Called while the store is closed after a failure. Linux counts what it could not write as
    /// written once it has reported that, and goes on to show it from memory.
    ///
    /// # Errors
    /// What the disk says.
    fn forget(&self, store: &str) -> io::Result<()>;
}

/// How much [`Files`] writes to try a disk: as much as one page of a store.
const PROBE_BYTES: usize = 4096;

/// Two files per module: `FOLDER/MODULE/store.redb` and `FOLDER/MODULE/store.journal`; where a
/// module is divided, two in the folder of each partition: `FOLDER/MODULE/PARTITION/store.redb`.
///
/// The paths do not depend on the placement, so a module finds its store again in whichever
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

    /// The file of a store's database.
    pub fn path(&self, store: &str) -> PathBuf {
        self.path_of(store, Part::Database)
    }

    /// The file of a part of a store.
    pub fn path_of(&self, store: &str, part: Part) -> PathBuf {
        let name = match part {
            Part::Database => "store.redb",
            Part::Journal => "store.journal",
        };
        self.folder.join(store).join(name)
    }
}

impl Storage for Files {
    fn open(&self, store: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        // The journal is opened after the database and before anything is acknowledged, so one
        // sync of the folder does for both.
        let path = self.path_of(store, part);
        let journal_follows =
            part == Part::Database && !self.path_of(store, Part::Journal).exists();
        // The store's folder may be new, and that of the module above it, and the one they are in.
        let folders = store.split('/').count() + 1;
        let synced = if journal_follows { 0 } else { folders };
        let file = open_or_create(&path, synced).map_err(StorageError::from)?;
        Ok(Box::new(FileBackend::new(file)?))
    }

    fn has(&self, store: &str) -> bool {
        self.path(store).exists()
    }

    fn probe(&self, store: &str) -> io::Result<()> {
        let path = self.path(store).with_file_name("probe");
        let mut file = File::create(&path)?;
        file.write_all(&[0; PROBE_BYTES])?;
        file.sync_all()?;
        fs::remove_file(path)
    }

    fn forget(&self, store: &str) -> io::Result<()> {
        for part in [Part::Database, Part::Journal] {
            let file = match OpenOptions::new()
                .read(true)
                .write(true)
                .open(self.path_of(store, part))
            {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Only what counts as written can be dropped; the rest is still worth writing.
            file.sync_all()?;
            drop_from_memory(&file)?;
        }
        Ok(())
    }
}

/// Opens a file for reading and writing. One that is new is there for good when it returns: as
/// many folders above it are synced.
fn open_or_create(path: &Path, folders_synced: usize) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = options.create(true).truncate(false).open(path)?;
    for folder in folder.ancestors().take(folders_synced) {
        sync_folder(folder)?;
    }
    Ok(file)
}

#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn drop_from_memory(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(
        file,
        0,
        None,
        rustix::fs::Advice::DontNeed,
    )?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn drop_from_memory(_: &File) -> io::Result<()> {
    Ok(())
}

impl fmt::Display for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.folder.display().fmt(f)
    }
}
