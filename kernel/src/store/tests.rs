//! Crashes, torn records and failing disks, on a store whose disk is a pair of byte vectors that
//! knows what was synced.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
};

use modulith_contract::Fault;
use redb::{DatabaseError, StorageBackend};

use super::{
    Batch, Store, Table, Tx,
    batch::Writes,
    journal::{JOURNAL_BYTES_MAX, JOURNAL_BYTES_MIN, Journal, SECTOR_BYTES, record_bytes},
};
use crate::{
    Durability::{self, Fsync, Relaxed},
    Environment, Partition, SeededRandomness,
    storage::{Part, Storage},
};

const ROWS: Table<u64, Vec<u8>> = Table::new("rows");

/// The two files of one store, in memory.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<DiskState>);

#[derive(Debug, Default)]
struct DiskState {
    files: Mutex<HashMap<Part, Image>>,
    journal_syncs: AtomicU64,
    database_syncs: AtomicU64,
    sync_fails: AtomicBool,
    write_fails: AtomicBool,
}

#[derive(Debug, Clone, Default)]
struct Image {
    live: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Debug)]
struct DiskFile(Disk, Part);

impl Disk {
    /// What a process finds that starts after another was killed.
    fn after_kill(&self) -> Disk {
        self.after(|image| image.live.clone())
    }

    /// What is found after the machine has lost its power: nothing but what was synced.
    fn after_power_loss(&self) -> Disk {
        self.after(|image| image.synced.clone())
    }

    fn after(&self, crash: impl Fn(&Image) -> Vec<u8>) -> Disk {
        let disk = Disk::default();
        for (part, image) in &*self.0.files.lock().unwrap() {
            let live = crash(image);
            let synced = live.clone();
            disk.put(*part, Image { live, synced });
        }
        disk
    }

    fn put(&self, part: Part, image: Image) {
        self.0.files.lock().unwrap().insert(part, image);
    }

    fn get(&self, part: Part) -> Image {
        self.0.files.lock().unwrap()[&part].clone()
    }

    fn with<T>(&self, part: Part, used: impl FnOnce(&mut Image) -> T) -> T {
        used(self.0.files.lock().unwrap().entry(part).or_default())
    }

    fn journal_syncs(&self) -> u64 {
        self.0.journal_syncs.load(SeqCst)
    }

    fn database_syncs(&self) -> u64 {
        self.0.database_syncs.load(SeqCst)
    }

    fn open(&self, durability: Durability) -> Store {
        let mut environment = Environment::real("");
        environment.storage = Arc::new(self.clone());
        environment.randomness = Arc::new(SeededRandomness::new(7));
        Store::open(
            "shelf",
            Partition::WHOLE,
            1,
            |_, _| Ok(()),
            environment,
            durability,
        )
        .unwrap()
    }
}

impl Storage for Disk {
    fn open(&self, _: &str, part: Part) -> Result<Box<dyn StorageBackend>, DatabaseError> {
        Ok(Box::new(DiskFile(self.clone(), part)))
    }

    fn has(&self, _: &str) -> bool {
        self.0.files.lock().unwrap().contains_key(&Part::Database)
    }

    fn probe(&self, _: &str) -> io::Result<()> {
        let broken = self.0.sync_fails.load(SeqCst) || self.0.write_fails.load(SeqCst);
        if broken { Err(broke()) } else { Ok(()) }
    }

    fn forget(&self, _: &str) -> io::Result<()> {
        for image in self.0.files.lock().unwrap().values_mut() {
            image.live.clone_from(&image.synced);
        }
        Ok(())
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.with(self.1, |image| image.live.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.with(self.1, |image| {
            let from = usize::try_from(offset).unwrap();
            let bytes = image.live.get(from..from + out.len());
            out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.with(self.1, |image| {
            image.live.resize(usize::try_from(len).unwrap(), 0);
        });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let disk = &self.0.0;
        if disk.sync_fails.load(SeqCst) {
            return Err(broke());
        }
        let count = match self.1 {
            Part::Database => &disk.database_syncs,
            Part::Journal => &disk.journal_syncs,
        };
        count.fetch_add(1, SeqCst);
        self.0
            .with(self.1, |image| image.synced.clone_from(&image.live));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.0.0.write_fails.load(SeqCst) {
            return Err(broke());
        }
        self.0.with(self.1, |image| {
            let from = usize::try_from(offset).unwrap();
            let end = from + data.len();
            if image.live.len() < end {
                image.live.resize(end, 0);
            }
            image.live[from..end].copy_from_slice(data);
        });
        Ok(())
    }
}

fn broke() -> io::Error {
    io::Error::other("the disk is broken")
}

fn put(store: &Store, key: u64, value: &[u8]) -> Result<(), Fault> {
    put_all(store, &[(key, value)])
}

fn put_all(store: &Store, rows: &[(u64, &[u8])]) -> Result<(), Fault> {
    let mut batch = Batch::begin(store)?;
    let mut tx = Tx::begin(&batch, store.environment(), &[], 0);
    for (key, value) in rows {
        tx.put(&ROWS, key, &value.to_vec())?;
    }
    let changes = tx.into_changes();
    batch.keep(changes)?;
    batch.commit(store)
}

fn remove(store: &Store, key: u64) {
    let mut batch = Batch::begin(store).unwrap();
    let mut tx = Tx::begin(&batch, store.environment(), &[], 0);
    tx.remove(&ROWS, &key);
    let changes = tx.into_changes();
    batch.keep(changes).unwrap();
    batch.commit(store).unwrap();
}

fn keys(store: &Store) -> Vec<u64> {
    let rows = store.snapshot().unwrap().range(&ROWS, .., usize::MAX);
    rows.unwrap().into_iter().map(|(key, _)| key).collect()
}

fn sequence(store: &Store) -> u64 {
    store.info().unwrap().sequence
}

#[test]
fn whatever_was_acknowledged_is_there_after_a_crash() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    for key in 1..=20 {
        put(&store, key, b"value").unwrap();
        if key == 10 {
            store.checkpoint().unwrap();
        }
        remove(&store, key - 1);
        for crashed in [disk.after_kill(), disk.after_power_loss()] {
            let again = crashed.open(Fsync);
            assert_eq!(keys(&again), [key]);
            assert_eq!(sequence(&again), sequence(&store));
        }
    }
}

/// A process killed while it made a new store left a database without redb's magic number, which
/// redb refused at every later start: somebody had to remove the file. Found by `faults
/// crash-points`.
#[test]
fn a_store_whose_making_was_cut_short_is_made_again() {
    let made = Disk::default();
    drop(made.open(Fsync));
    let len = made.get(Part::Database).live.len();
    let header = made.get(Part::Database).live[9..320].to_vec();
    for (len, is_header_there) in [(len, false), (len, true), (320, true), (5, false)] {
        let disk = Disk::default();
        let mut live = vec![0; len];
        if is_header_there {
            live[9..320].copy_from_slice(&header);
        }
        let synced = live.clone();
        disk.put(Part::Database, Image { live, synced });
        let store = disk.open(Fsync);
        put(&store, 1, b"one").unwrap();
        drop(store);
        assert_eq!(keys(&disk.after_power_loss().open(Fsync)), [1]);
    }
}

#[test]
fn a_file_with_something_in_it_is_not_taken_for_a_store_that_was_never_made() {
    let disk = Disk::default();
    let mut live = vec![0; 1 << 20];
    live[700_000] = 1;
    let synced = live.clone();
    disk.put(Part::Database, Image { live, synced });
    let mut environment = Environment::real("");
    environment.storage = Arc::new(disk.clone());
    let opened = Store::open(
        "shelf",
        Partition::WHOLE,
        1,
        |_, _| Ok(()),
        environment,
        Fsync,
    );
    assert!(opened.is_err());
    assert_eq!(disk.get(Part::Database).live.len(), 1 << 20);
}

#[test]
fn a_store_that_crashes_again_and_again_loses_nothing() {
    let mut disk = Disk::default();
    for life in 0..10 {
        let store = disk.open(Fsync);
        assert_eq!(keys(&store), (0..life * 3).collect::<Vec<_>>());
        for key in life * 3..life * 3 + 3 {
            put(&store, key, &[7; 700]).unwrap();
        }
        disk = disk.after_power_loss();
    }
}

#[test]
fn a_relaxed_store_survives_a_kill_whole_and_a_power_loss_as_of_its_last_checkpoint() {
    let disk = Disk::default();
    let store = disk.open(Relaxed);
    put(&store, 1, b"value").unwrap();
    store.checkpoint().unwrap();
    put(&store, 2, b"value").unwrap();
    assert_eq!(keys(&disk.after_kill().open(Relaxed)), [1, 2]);
    assert_eq!(keys(&disk.after_power_loss().open(Relaxed)), [1]);
}

#[test]
fn a_batch_costs_one_sync_and_none_when_relaxed() {
    for (durability, each) in [(Fsync, 1), (Relaxed, 0)] {
        let disk = Disk::default();
        let store = disk.open(durability);
        let (journal, database) = (disk.journal_syncs(), disk.database_syncs());
        for key in 0..100 {
            put(&store, key, b"value").unwrap();
        }
        assert_eq!(disk.journal_syncs() - journal, 100 * each);
        assert_eq!(disk.database_syncs(), database);
        store.checkpoint().unwrap();
        let synced = disk.database_syncs();
        assert!(synced > database);
        store.checkpoint().unwrap();
        assert_eq!(disk.database_syncs(), synced, "nothing to do is not done");
    }
}

/// Three batches; the length of the last one's record is given.
fn three_batches(last: &[u8]) -> (Disk, usize) {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    for key in [1, 2] {
        put(&store, key, b"value").unwrap();
    }
    put(&store, 3, last).unwrap();
    let crashed = disk.after_power_loss();
    let journal = crashed.get(Part::Journal).live;
    let at = 2 * SECTOR_BYTES;
    let body = u32::from_le_bytes(journal[at + 24..at + 28].try_into().unwrap());
    (crashed, 32 + body as usize)
}

#[test]
fn a_torn_last_record_is_ignored_wherever_it_is_torn() {
    let (crashed, bytes) = three_batches(&[9; 500]);
    assert!(bytes > SECTOR_BYTES, "a record of two sectors");
    assert_eq!(keys(&crashed.after_kill().open(Fsync)), [1, 2, 3]);
    // At every byte of the headers, at the border of the sectors, and here and there.
    let offsets = (0..80)
        .chain((80..bytes).step_by(37))
        .chain([511, 512, bytes - 1]);
    for offset in offsets {
        for cut in [true, false] {
            let torn = crashed.after_kill();
            torn.with(Part::Journal, |image| {
                let record = &mut image.live[2 * SECTOR_BYTES..][..bytes];
                if cut {
                    record[offset..].fill(0);
                } else {
                    record[offset] ^= 0x40;
                }
            });
            // Bytes that are zero anyway are not torn off.
            let whole = torn.get(Part::Journal).live == crashed.get(Part::Journal).live;
            let expected: &[u64] = if whole { &[1, 2, 3] } else { &[1, 2] };
            let store = torn.open(Fsync);
            assert_eq!(keys(&store), expected, "at {offset}, cut {cut}");
        }
    }
}

#[test]
fn no_flipped_or_missing_byte_of_a_record_goes_unnoticed() {
    let (crashed, bytes) = three_batches(&[9; 500]);
    let image = crashed.get(Part::Journal).live;
    let salt = u64::from_le_bytes(image[8..16].try_into().unwrap());
    let first = u64::from_le_bytes(image[16..24].try_into().unwrap());
    let last = |image: Vec<u8>| {
        let disk = Disk::default();
        let synced = Vec::new();
        disk.put(
            Part::Journal,
            Image {
                live: image,
                synced,
            },
        );
        let mut journal = Journal::open(Box::new(DiskFile(disk, Part::Journal))).unwrap();
        let last = journal.replay::<io::Error>(salt, first - 1, |_| Ok(()));
        last.unwrap() + 1 - first
    };
    assert_eq!(last(image.clone()), 3);
    for offset in 2 * SECTOR_BYTES..2 * SECTOR_BYTES + bytes {
        for bit in 0..8 {
            let mut flipped = image[..16 * SECTOR_BYTES].to_vec();
            flipped[offset] ^= 1 << bit;
            assert_eq!(last(flipped), 2, "byte {offset}, bit {bit}");
        }
        assert_eq!(last(image[..offset].to_vec()), 2, "cut at {offset}");
    }
}

#[test]
fn the_journal_of_another_store_or_of_an_earlier_life_is_ignored() {
    let (mine, other) = (Disk::default(), Disk::default());
    put(&mine.open(Fsync), 1, b"mine").unwrap();
    let before = mine.after_kill();
    let store = other.open(Fsync);
    put(&store, 7, b"other").unwrap();
    drop(store);
    other.put(Part::Journal, before.get(Part::Journal));
    assert_eq!(keys(&other.open(Fsync)), [7]);
    // Back to the journal of the first life, whose second batch the second life does not know.
    let mine = before.after_kill();
    drop(mine.open(Fsync));
    mine.put(Part::Journal, before.get(Part::Journal));
    let store = mine.open(Fsync);
    assert_eq!((keys(&store), sequence(&store)), (vec![1], 2));
    // A database that was thrown away is not brought back by its journal.
    let fresh = Disk::default();
    fresh.put(Part::Journal, before.get(Part::Journal));
    assert!(keys(&fresh.open(Fsync)).is_empty());
}

#[test]
fn a_full_journal_is_emptied_by_a_checkpoint_and_grows() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    let value = vec![5; 500 << 10];
    put(&store, 0, &value).unwrap();
    put(&store, 1, &value).unwrap();
    assert_eq!(store.info().unwrap().journal_bytes, JOURNAL_BYTES_MIN);
    let syncs = disk.database_syncs();
    for key in 2..40 {
        put(&store, key, &value).unwrap();
        if key % 9 == 0 {
            let crashed = disk.after_power_loss().open(Fsync);
            assert_eq!(keys(&crashed).len() as u64, key + 1);
        }
    }
    assert!(disk.database_syncs() > syncs);
    assert_eq!(store.info().unwrap().journal_bytes, JOURNAL_BYTES_MAX);
}

#[test]
fn a_batch_larger_than_the_journal_is_durable_without_it() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    put(&store, 1, b"value").unwrap();
    put(&store, 2, &vec![1; 3 << 20]).unwrap();
    let piece = vec![1; 9 << 20];
    put_all(&store, &[(3, &piece), (4, &piece)]).unwrap();
    put(&store, 5, b"value").unwrap();
    assert_eq!(keys(&disk.after_power_loss().open(Fsync)), [1, 2, 3, 4, 5]);
}

#[test]
fn the_length_of_a_record_is_known_before_it_is_written() {
    let disk = Disk::default();
    let mut journal = Journal::open(Box::new(DiskFile(disk.clone(), Part::Journal))).unwrap();
    let mut writes = Writes::new();
    for table in ["one", "another"] {
        let rows = writes.entry(table).or_default();
        rows.insert(vec![1; 3], Some(vec![2; 700]));
        rows.insert(vec![2; 3], None);
    }
    journal.append(1, &writes, false).unwrap();
    let image = disk.get(Part::Journal).live;
    let body = u32::from_le_bytes(image[24..28].try_into().unwrap());
    assert_eq!(record_bytes(&writes), 32 + body as usize);
    assert_eq!(image.len(), 3 * SECTOR_BYTES);
}

#[test]
fn after_a_failed_sync_nothing_is_shown_or_written_until_the_store_is_recovered() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    put(&store, 1, b"value").unwrap();
    disk.0.sync_fails.store(true, SeqCst);
    put(&store, 2, b"value").unwrap_err();
    assert_eq!(keys(&store), [1]);
    store.recover().unwrap_err();
    assert_eq!(keys(&store), [1], "queries go on");
    disk.0.sync_fails.store(false, SeqCst);
    put(&store, 3, b"value").unwrap_err();
    store.checkpoint().unwrap_err();
    store.recover().unwrap();
    assert_eq!(keys(&store), [1], "what was not synced is gone");
    put(&store, 4, b"value").unwrap();
    assert_eq!(keys(&disk.after_power_loss().open(Fsync)), [1, 4]);
}

#[test]
fn after_a_failed_write_or_checkpoint_the_store_is_what_it_was() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    for round in 0..3 {
        put(&store, round, b"value").unwrap();
        disk.0.write_fails.store(true, SeqCst);
        if round == 1 {
            store.checkpoint().unwrap_err();
        }
        put(&store, 100, b"value").unwrap_err();
        disk.0.write_fails.store(false, SeqCst);
        store.recover().unwrap();
        assert_eq!(keys(&store), (0..=round).collect::<Vec<_>>());
    }
}

#[test]
fn a_store_from_before_there_was_a_journal_is_taken_over() {
    let disk = Disk::default();
    let backend = DiskFile(disk.clone(), Part::Database);
    let database = redb::Builder::new().create_with_backend(backend).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut about = write.open_table(super::about::ABOUT).unwrap();
        about.insert("module", b"shelf".as_slice()).unwrap();
        for key in ["format", "version"] {
            about.insert(key, [1, 0, 0, 0].as_slice()).unwrap();
        }
    }
    write.commit().unwrap();
    drop(database);
    let store = disk.open(Fsync);
    put(&store, 1, b"value").unwrap();
    assert_eq!(keys(&disk.after_power_loss().open(Fsync)), [1]);
}

#[test]
fn a_copy_is_a_store_of_its_own_as_of_one_moment() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    put_all(&store, &[(1, b"one"), (2, b"two")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy");
    let copied = store.copy_to(&path).unwrap();
    assert_eq!(copied, sequence(&store));
    put(&store, 3, b"three").unwrap();
    store.copy_to(&path).unwrap_err();
    // Beside the journal of the running store, which has a batch more.
    let restored = disk.after_kill();
    let live = std::fs::read(&path).unwrap();
    let synced = live.clone();
    restored.put(Part::Database, Image { live, synced });
    let again = restored.open(Fsync);
    assert_eq!((keys(&again), sequence(&again)), (vec![1, 2], copied));
    put(&again, 4, b"four").unwrap();
}

#[test]
fn compacting_makes_the_file_smaller_and_waits_for_no_crash() {
    let disk = Disk::default();
    let store = disk.open(Fsync);
    for key in 0..40 {
        put(&store, key, &[3; 100 << 10]).unwrap();
    }
    for key in 1..40 {
        remove(&store, key);
    }
    let before = store.info().unwrap();
    let reading = store.snapshot().unwrap();
    store.compact().unwrap_err();
    drop(reading);
    put(&store, 50, b"value").unwrap();
    assert!(store.compact().unwrap());
    let after = store.info().unwrap();
    assert!(
        after.database_bytes < before.database_bytes / 2,
        "{after:?}"
    );
    assert_eq!(after.rows["rows"], 2);
    put(&store, 51, b"value").unwrap();
    assert_eq!(keys(&disk.after_power_loss().open(Fsync)), [0, 50, 51]);
}
