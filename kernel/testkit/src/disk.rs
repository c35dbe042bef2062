//! A disk that fails on demand, below real files.

use std::{
    io,
    ops::Bound,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use modulith_kernel::storage::{
    Files, Part, Storage,
    redb::{BackendError, DatabaseError, StorageBackend},
};

/// What a disk does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum DiskFault {
    /// Nothing.
    None,
    /// Every write fails.
    Writes,
    /// Writes are taken, every sync fails.
    Syncs,
    /// What would make a file longer fails, as on a full disk.
    Full,
    /// Writes and syncs fail, as on a disk that was remounted read-only.
    ReadOnly,
    /// Writes to the database fail, those to the journal do not.
    DatabaseWrites,
}

/// Keeps stores in files, counts what is written, and fails when told to.
#[derive(Debug)]
pub struct Disk {
    files: Files,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: AtomicU8,
    /// How often the databases, and the journals, were synced.
    syncs: [AtomicU64; 2],
}

impl Disk {
    pub(crate) fn below(folder: impl Into<PathBuf>) -> Self {
        Self {
            files: Files::below(folder),
            state: Arc::default(),
        }
    }

    /// Fails from now on, or works again.
    pub fn set_fault(&self, fault: DiskFault) {
        self.replace_fault(fault as u8);
    }

    /// How often a part of any store was synced.
    pub fn syncs(&self, part: Part) -> u64 {
        self.state.syncs[part as usize].load(Ordering::SeqCst)
    }

    /// Where the stores are.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Sets a fault, and returns the one before.
    pub(crate) fn replace_fault(&self, fault: u8) -> u8 {
        self.state.fault.swap(fault, Ordering::SeqCst)
    }
}

impl Storage for Disk {
    fn open(&self, module: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        Ok(Box::new(FailingFile {
            file: self.files.open(module, part)?,
            part,
            state: self.state.clone(),
        }))
    }

    fn has(&self, store: &str) -> bool {
        self.files.has(store)
    }

    fn probe(&self, module: &str) -> io::Result<()> {
        self.state.check_write(Part::Database, true)?;
        self.state.check_sync()?;
        self.files.probe(module)
    }

    fn forget(&self, module: &str) -> io::Result<()> {
        self.state.check_sync()?;
        self.files.forget(module)
    }
}

impl State {
    fn has(&self, fault: DiskFault) -> bool {
        self.fault.load(Ordering::SeqCst) == fault as u8
    }

    fn check_write(&self, part: Part, grows: bool) -> io::Result<()> {
        if self.has(DiskFault::ReadOnly) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if self.has(DiskFault::Full) && grows {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.has(DiskFault::Writes)
            || self.has(DiskFault::DatabaseWrites) && part == Part::Database
        {
            return Err(io::Error::other("the test's disk fails to write"));
        }
        Ok(())
    }

    fn check_sync(&self) -> io::Result<()> {
        if self.has(DiskFault::ReadOnly) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if self.has(DiskFault::Syncs) {
            return Err(io::Error::other("the test's disk fails to sync"));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct FailingFile {
    file: Box<dyn StorageBackend>,
    part: Part,
    state: Arc<State>,
}

impl StorageBackend for FailingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.state.check_write(self.part, len > self.file.len()?)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.state.check_sync()?;
        self.state.syncs[self.part as usize].fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let grows = offset + data.len() as u64 > self.file.len()?;
        self.state.check_write(self.part, grows)?;
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
