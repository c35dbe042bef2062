//! The disk below everybody: which it is, what a sync on it costs, and how often we sync.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Instant;

use modulith_kernel::storage::{
    Files, Part, Storage,
    redb::{BackendError, DatabaseError, StorageBackend},
};

use crate::error::Error;

/// How often a sync is timed.
const PROBES: usize = 201;

/// How much a sync that is timed has to write: a page.
const PROBE_BYTES: usize = 4096;

/// The median time of an fdatasync after a page of a file was overwritten, in microseconds.
pub(crate) fn sync_us(folder: &Path) -> Result<f64, Error> {
    let path = folder.join("probe");
    let probe = || {
        let file = File::create(&path)?;
        file.write_all_at(&[0; PROBE_BYTES], 0)?;
        file.sync_all()?;
        let mut took = Vec::with_capacity(PROBES);
        for _ in 0..PROBES {
            let begun = Instant::now();
            file.write_all_at(&[1; PROBE_BYTES], 0)?;
            file.sync_data()?;
            took.push(begun.elapsed());
        }
        fs::remove_file(&path)?;
        took.sort_unstable();
        Ok(took[PROBES / 2].as_secs_f64() * 1e6)
    };
    probe().map_err(Error::io("time a sync"))
}

/// The kind of file system a folder is on, such as `ext4`; what Linux mounted nearest above it.
pub(crate) fn file_system(folder: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    kind_of(&mounts, &folder).unwrap_or_else(|| "an unknown file system".to_owned())
}

fn kind_of(mounts: &str, folder: &Path) -> Option<String> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let above = mounts.filter(|(point, _)| folder.starts_with(point));
    let nearest = above.max_by_key(|(point, _)| point.components().count());
    nearest.map(|(_, kind)| kind.to_owned())
}

/// Keeps stores in files as [`Files`] does, and counts how often they are synced.
pub(crate) struct CountingFiles {
    files: Files,
    syncs: Arc<AtomicU64>,
}

impl CountingFiles {
    pub(crate) fn below(folder: &Path) -> Self {
        Self {
            files: Files::below(folder),
            syncs: Arc::default(),
        }
    }

    /// The count, which goes on.
    pub(crate) fn syncs(&self) -> Arc<AtomicU64> {
        self.syncs.clone()
    }
}

impl Storage for CountingFiles {
    fn open(&self, module: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        Ok(Box::new(CountingFile {
            file: self.files.open(module, part)?,
            syncs: self.syncs.clone(),
        }))
    }

    fn probe(&self, module: &str) -> io::Result<()> {
        self.files.probe(module)
    }

    fn forget(&self, module: &str) -> io::Result<()> {
        self.files.forget(module)
    }
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn StorageBackend>,
    syncs: Arc<AtomicU64>,
}

impl StorageBackend for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Relaxed);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_on_the_file_system_mounted_nearest_above_it() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp/data xfs rw";
        for (folder, kind) in [
            ("/var/lib", "ext4"),
            ("/tmp/x", "tmpfs"),
            ("/tmp/data/x", "xfs"),
            ("/tmpfoo", "ext4"),
        ] {
            assert_eq!(kind_of(mounts, Path::new(folder)).as_deref(), Some(kind));
        }
        assert_eq!(kind_of("", Path::new("/")), None);
    }

    #[test]
    fn a_sync_takes_time() {
        let folder = tempfile::tempdir().unwrap();
        assert!(sync_us(folder.path()).unwrap() > 0.0);
    }
}
