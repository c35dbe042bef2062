//! A backend that is shared: with redb, which reads and writes it, and with us, who ask its length.
//!
//! It also begins a database again whose making a crash cut short.

use std::{
    io,
    ops::Bound,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use redb::{BackendError, StorageBackend};

#[derive(Debug, Clone)]
pub(super) struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Box<dyn StorageBackend>,
    /// Whether its length was asked for before.
    is_known: AtomicBool,
}

/// Where redb's magic number is. It is written when the rest of a new database has been synced.
const MAGIC_BYTES: usize = 9;

/// The first page, which alone is written before the magic number.
const HEADER_BYTES: u64 = 4096;

const READ_BYTES: usize = 64 << 10;

impl Backend {
    pub(super) fn new(file: Box<dyn StorageBackend>) -> Self {
        Self(Arc::new(Inner {
            file,
            is_known: AtomicBool::new(false),
        }))
    }
}

impl Inner {
    /// Whether a crash cut the making of the database short: there is no magic number, and nothing
    /// behind the header. redb takes such a file for something else, and refuses it for ever.
    fn was_never_made(&self, len: u64) -> io::Result<bool> {
        // The file may be as short as the header, when its length was lost.
        let mut magic = [0; MAGIC_BYTES];
        let there = usize::try_from(len).map_or(MAGIC_BYTES, |len| len.min(MAGIC_BYTES));
        self.file.read(0, &mut magic[..there])?;
        if magic != [0; MAGIC_BYTES] {
            return Ok(false);
        }
        let mut bytes = vec![0; READ_BYTES];
        for offset in (HEADER_BYTES..len).step_by(READ_BYTES) {
            let left = usize::try_from(len - offset).unwrap_or(READ_BYTES);
            let part = &mut bytes[..left.min(READ_BYTES)];
            self.file.read(offset, part)?;
            if part.iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl StorageBackend for Backend {
    /// redb asks first when it has locked the file, so nobody else is just making it.
    fn len(&self) -> io::Result<u64> {
        let Inner { file, is_known } = &*self.0;
        let len = file.len()?;
        if !is_known.swap(true, Relaxed) && len > 0 && self.0.was_never_made(len)? {
            file.set_len(0)?;
            return Ok(0);
        }
        Ok(len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}
