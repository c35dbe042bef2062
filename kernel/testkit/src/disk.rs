//! A disk that fails on demand, below real files.

use std::{
    fs::{self, OpenOptions},
    io,
    ops::Bound,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use modulith_kernel::storage::{
    Files, Storage,
    redb::{
        BackendError, Builder, Database, DatabaseError, StorageBackend, StorageError,
        backends::FileBackend,
    },
};

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskFault {
    /// Nothing.
    None,
    /// Every write fails: the disk is full, or read-only.
    Writes,
    /// Writes are taken, every sync fails.
    Syncs,
}

/// Keeps stores in files, and fails when told to.
#[derive(Debug)]
pub struct Disk {
    files: Files,
    fault: Arc<AtomicU8>,
}

impl Disk {
    pub(crate) fn below(folder: impl Into<PathBuf>) -> Self {
        Self {
            files: Files::below(folder),
            fault: Arc::default(),
        }
    }

    /// Fails from now on, or works again.
    pub fn set_fault(&self, fault: DiskFault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }
}

impl Storage for Disk {
    fn open(&self, module: &str, builder: &Builder) -> Result<Database, DatabaseError> {
        let path = self.files.path(module);
        let open = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        };
        let file = FileBackend::new(open().map_err(StorageError::from)?)?;
        builder.create_with_backend(FailingFile {
            file,
            fault: self.fault.clone(),
        })
    }

    fn probe(&self, module: &str) -> io::Result<()> {
        check(&self.fault, DiskFault::Writes, "write")?;
        check(&self.fault, DiskFault::Syncs, "sync")?;
        self.files.probe(module)
    }
}

fn check(set: &AtomicU8, fault: DiskFault, what: &str) -> io::Result<()> {
    if set.load(Ordering::SeqCst) == fault as u8 {
        return Err(io::Error::other(format!("the test's disk fails to {what}")));
    }
    Ok(())
}

#[derive(Debug)]
struct FailingFile {
    file: FileBackend,
    fault: Arc<AtomicU8>,
}

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        check(&self.fault, DiskFault::Writes, "grow")?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        check(&self.fault, DiskFault::Syncs, "sync")?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        check(&self.fault, DiskFault::Writes, "write")?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // Locks are the file's: redb takes them to keep a second instance out.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
