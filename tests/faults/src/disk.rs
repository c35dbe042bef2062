//! A simulated disk: it remembers what was synced, and a loss of power leaves no more than that for
//! certain.
//!
//! A disk holds the stores of one node in memory. It can be told to fail, to be slow, and to lose
//! its power after so many writes and syncs; from then on everything fails until it is switched on
//! again. What one store's file looks like is `file`'s to say.

mod file;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use futures_util::FutureExt;
use modulith_kernel::storage::{
    Part, Storage,
    redb::{DatabaseError, StorageBackend},
};
use tokio::sync::Notify;

use self::file::File;

/// What a disk does wrong, until told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DiskFault {
    /// Nothing.
    #[default]
    None,
    /// Every write fails: the disk is full.
    Writes,
    /// Writes are taken, every sync fails.
    Syncs,
    /// Every sync takes this long, in milliseconds.
    Slow(u64),
    /// Every sync says that it succeeded, and nothing is synced.
    #[cfg(test)]
    Lies,
}

/// How a node comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Its process is killed: what was written stays with the operating system.
    Kill,
    /// Its machine loses power: what was not synced may be there, or not, or in part.
    Power,
}

/// The disk of one node. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    lost_power: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, File>,
    fault: DiskFault,
    /// How many more writes and syncs it takes before it loses power.
    left: Option<u32>,
    is_off: bool,
    /// How often it was switched on; what was opened in an earlier life is dead.
    life: u64,
    counts: DiskCounts,
}

/// What a disk was asked, and what it did wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DiskCounts {
    /// Syncs that succeeded.
    pub(crate) syncs: u64,
    /// Writes and syncs that failed as told.
    pub(crate) failures: u64,
    /// Syncs that took long.
    pub(crate) slow: u64,
    /// Writes that a loss of power dropped whole.
    pub(crate) dropped: u64,
    /// Writes that a loss of power tore.
    pub(crate) torn: u64,
}

impl Disk {
    /// Fails from now on, or works again.
    pub(crate) fn set_fault(&self, fault: DiskFault) {
        self.state().fault = fault;
    }

    /// Loses power after `count` more writes and syncs.
    pub(crate) fn lose_power_after(&self, count: u32) {
        self.state().left = Some(count);
    }

    /// Keeps its power after all.
    pub(crate) fn keep_power(&self) {
        self.state().left = None;
    }

    /// Waits until it loses power.
    pub(crate) async fn lost_power(&self) {
        while !self.is_off() {
            self.shared.lost_power.notified().await;
        }
    }

    /// Whether it has lost power, and its node with it.
    pub(crate) fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Whether it refuses what is written.
    pub(crate) fn fails(&self) -> bool {
        let state = self.state();
        state.is_off || matches!(state.fault, DiskFault::Writes | DiskFault::Syncs)
    }

    /// Cuts its node off: whatever is open fails from now on.
    pub(crate) fn switch_off(&self) {
        let mut state = self.state();
        state.is_off = true;
        state.left = None;
    }

    /// Switches it on again, with what a crash has left.
    pub(crate) fn switch_on(&self, after: Crash, rng: &mut Rng) {
        let mut state = self.state();
        if after == Crash::Power {
            let mut counts = state.counts;
            for file in state.files.values_mut() {
                file.lose_power(rng, &mut counts);
            }
            state.counts = counts;
        }
        state.is_off = false;
        state.life += 1;
    }

    /// What it was asked so far, and what it did wrong.
    pub(crate) fn counts(&self) -> DiskCounts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, name: &str) -> Handle {
        let mut state = self.state();
        state.files.entry(name.to_string()).or_default();
        Handle {
            disk: self.clone(),
            name: name.to_string(),
            life: state.life,
        }
    }
}

impl Storage for Disk {
    fn open(&self, module: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        Ok(Box::new(self.handle(&format!("{module}.{part:?}"))))
    }

    fn has(&self, store: &str) -> bool {
        self.state()
            .files
            .contains_key(&format!("{store}.Database"))
    }

    fn forget(&self, module: &str) -> io::Result<()> {
        let mut state = self.state();
        let mut counts = state.counts;
        // What was written and not synced may be on the disk, or not, or in part.
        let mut rng = Rng::with_seed(counts.failures);
        for (name, file) in &mut state.files {
            let part = name.strip_prefix(module);
            if matches!(part, Some(".Database" | ".Journal")) {
                file.lose_power(&mut rng, &mut counts);
            }
        }
        state.counts = counts;
        Ok(())
    }

    fn probe(&self, module: &str) -> io::Result<()> {
        let handle = self.handle(module);
        drop(handle.changing(DiskFault::Writes, "write")?);
        drop(handle.changing(DiskFault::Syncs, "sync")?);
        Ok(())
    }
}

/// An open file.
#[derive(Debug)]
struct Handle {
    disk: Disk,
    name: String,
    life: u64,
}

impl Handle {
    fn reading(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.is_off || state.life != self.life {
            return Err(io::Error::other("the simulated disk has no power"));
        }
        Ok(state)
    }

    /// The disk, for a write or a sync that may be the last before it loses power.
    fn changing(&self, fault: DiskFault, what: &str) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.reading()?;
        match state.left {
            Some(0) => {
                state.is_off = true;
                state.left = None;
                self.disk.shared.lost_power.notify_one();
                return Err(io::Error::other("the simulated disk has lost its power"));
            }
            Some(left) => state.left = Some(left - 1),
            None => {}
        }
        if state.fault == fault {
            state.counts.failures += 1;
            return Err(io::Error::other(format!(
                "the simulated disk fails to {what}"
            )));
        }
        Ok(state)
    }

    fn changing_file<T>(
        &self,
        fault: DiskFault,
        what: &str,
        change: impl FnOnce(&mut File) -> T,
    ) -> io::Result<T> {
        let mut state = self.changing(fault, what)?;
        let file = state.files.get_mut(&self.name);
        file.map(change)
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        let state = self.reading()?;
        Ok(state.files.get(&self.name).map_or(0, File::len))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.reading()?;
        let file = state.files.get(&self.name).ok_or(io::ErrorKind::NotFound)?;
        file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing_file(DiskFault::Writes, "grow", |file| file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        #[cfg(test)]
        if self.disk.state().fault == DiskFault::Lies {
            return Ok(());
        }
        self.changing_file(DiskFault::Syncs, "sync", File::sync)?;
        let mut state = self.reading()?;
        state.counts.syncs += 1;
        if let DiskFault::Slow(ms) = state.fault {
            state.counts.slow += 1;
            drop(state);
            // A sync blocks its thread, so nothing else happens meanwhile; only time goes on. The
            // clock moves when the future is first polled, and what it waits for then is no matter.
            _ = tokio::time::advance(Duration::from_millis(ms)).now_or_never();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.changing_file(DiskFault::Writes, "write", |file| file.write(offset, data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_outlasts_every_loss_of_power() {
        for seed in 0..200 {
            let disk = Disk::default();
            let file = disk.handle("cart");
            file.write(0, &[1; 5000]).unwrap();
            file.sync_data().unwrap();
            file.write(4096, &[2; 2048]).unwrap();
            disk.switch_off();
            assert!(file.write(0, &[3]).is_err());
            disk.switch_on(Crash::Power, &mut Rng::with_seed(seed));
            assert!(file.len().is_err(), "it was opened before the crash");
            let file = disk.handle("cart");
            let mut bytes = [0; 5000];
            file.read(0, &mut bytes).unwrap();
            assert!(bytes[..4096].iter().all(|byte| *byte == 1));
            assert!(bytes[4096..].iter().all(|byte| [1, 2].contains(byte)));
        }
    }

    #[test]
    fn what_was_not_synced_is_kept_dropped_or_torn_at_sectors() {
        let after = |seed| {
            let disk = Disk::default();
            let file = disk.handle("cart");
            file.write(0, &[1; 1024]).unwrap();
            file.sync_data().unwrap();
            file.write(0, &[2; 1024]).unwrap();
            disk.switch_off();
            disk.switch_on(Crash::Power, &mut Rng::with_seed(seed));
            let mut bytes = [0; 1024];
            disk.handle("cart").read(0, &mut bytes).unwrap();
            assert!(bytes[..512].iter().all(|byte| *byte == bytes[0]));
            assert!(bytes[512..].iter().all(|byte| *byte == bytes[512]));
            (bytes[0], bytes[512])
        };
        let mut seen: Vec<_> = (0..200).map(after).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [(1, 1), (1, 2), (2, 1), (2, 2)]);
    }

    #[test]
    fn a_killed_process_leaves_what_it_wrote() {
        let disk = Disk::default();
        disk.handle("cart").write(0, &[7; 10]).unwrap();
        disk.switch_off();
        disk.switch_on(Crash::Kill, &mut Rng::with_seed(1));
        let mut bytes = [0; 10];
        disk.handle("cart").read(0, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 10]);
    }

    #[test]
    fn power_is_lost_after_as_many_writes_and_syncs_as_told() {
        let disk = Disk::default();
        let file = disk.handle("cart");
        disk.lose_power_after(2);
        file.write(0, &[1]).unwrap();
        file.sync_data().unwrap();
        assert!(!disk.is_off());
        assert!(file.write(1, &[1]).is_err());
        assert!(disk.is_off());
    }
}
