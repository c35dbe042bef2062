//! The journal of a store: what its database has in memory and not yet on the disk.
//!
//! A batch is appended here and synced once, which costs half of a durable redb commit; redb is
//! told to sync only at a checkpoint, after which the journal begins again at its first byte.
//! After a crash, what follows the last checkpoint is applied once more. When that happens, and
//! what a batch is, is the business of `writer`; this file knows records and where they are.
//!
//! # Format
//!
//! The file is preallocated with zeros, so that a sync has no change of its length to write. It is
//! a sequence of records from offset 0. Numbers are little-endian, with these offsets in bytes:
//!
//! | at | bytes | |
//! | --- | --- | --- |
//! | 0 | 4 | magic, `MJR1` |
//! | 4 | 4 | CRC-32 (IEEE) of all that follows, to the end of the body |
//! | 8 | 8 | salt: drawn anew whenever the store is opened, kept in its database |
//! | 16 | 8 | sequence number: of the batch, one more than the one before |
//! | 24 | 4 | length of the body |
//! | 28 | 4 | zero |
//! | 32 | | the body |
//!
//! A body is one or more tables up to its end, each:
//!
//! | bytes | |
//! | --- | --- |
//! | 2 | length of the table's name |
//! | | the name, UTF-8 |
//! | 4 | number of rows |
//! | | that many rows |
//!
//! A row:
//!
//! | bytes | |
//! | --- | --- |
//! | 4 | length of the key |
//! | | the key |
//! | 4 | length of the value; 2³²-1 when the row was deleted |
//! | | the value |
//!
//! Zeros follow up to the next multiple of [`SECTOR_BYTES`], where the next record begins: a disk
//! writes a sector whole or not at all, so a record cut short never touches the one before it.
//!
//! Records count from the first as long as magic, checksum and salt are right and each sequence
//! number is one more than the last. What comes after is a record cut short or from before a
//! checkpoint, and means nothing.

use std::io;

use redb::StorageBackend;

use super::batch::Writes;

/// Where records begin: the unit in which every disk writes whole or not at all.
pub(super) const SECTOR_BYTES: usize = 512;

/// The length of a new journal: room for two thousand batches of a few small rows. A module that
/// commits more within a second makes it grow; most never do.
pub(super) const JOURNAL_BYTES_MIN: u64 = 1 << 20;

/// How far a journal grows. Bounds what a start after a crash has to apply, and the disk that ten
/// modules take for it.
pub(super) const JOURNAL_BYTES_MAX: u64 = 16 << 20;

/// How much of the record buffer is kept between batches.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

const MAGIC: [u8; 4] = *b"MJR1";
const HEADER_BYTES: usize = 32;
const DELETED: u32 = u32::MAX;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

pub(super) struct Journal {
    file: Box<dyn StorageBackend>,
    /// How many bytes of the file are preallocated.
    room: u64,
    /// Where the next record goes.
    end: u64,
    salt: u64,
    /// The last record; kept for its memory.
    record: Vec<u8>,
}

impl Journal {
    /// Takes a file for a journal, whatever is in it.
    pub(super) fn open(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let sector = SECTOR_BYTES as u64;
        Ok(Self {
            room: file.len()? / sector * sector,
            file,
            end: 0,
            salt: 0,
            record: Vec::new(),
        })
    }

    /// Hands over the records that follow a sequence number, and returns the last one's.
    ///
    /// # Errors
    /// What the disk says on reading, and what `apply` says.
    pub(super) fn replay<E: From<io::Error>>(
        &mut self,
        salt: u64,
        after: u64,
        mut apply: impl FnMut(Body<'_>) -> Result<(), E>,
    ) -> Result<u64, E> {
        let mut offset = 0;
        let mut last = None;
        while let Some(sequence) = self.read(offset, salt)? {
            if last.is_some_and(|last| sequence != last + 1) {
                break;
            }
            // The first record follows a checkpoint; one that does not follow this database's
            // is of another database.
            if last.is_none() && sequence > after + 1 {
                break;
            }
            if sequence > after {
                apply(Body(&self.record[HEADER_BYTES..]))?;
            }
            last = Some(sequence);
            offset += in_sectors(self.record.len()) as u64;
        }
        self.trim();
        Ok(last.unwrap_or(after).max(after))
    }

    /// Begins again at the first byte. What is in the file counts no more.
    pub(super) fn restart(&mut self, salt: u64) {
        self.end = 0;
        self.salt = salt;
    }

    /// Whether a record would go beyond what is preallocated.
    pub(super) fn is_full_for(&self, record_bytes: usize) -> bool {
        self.end + in_sectors(record_bytes) as u64 > self.room
    }

    /// Whether a record would do so even in an empty journal.
    pub(super) fn is_too_small_for(&self, record_bytes: usize) -> bool {
        in_sectors(record_bytes) as u64 > self.room
    }

    /// Appends a record and, if asked to, waits until it is on the disk.
    ///
    /// There must be room for it. After an error the file may hold the record, a part of it or
    /// none of it: the journal must be opened again before anything else is appended.
    pub(super) fn append(&mut self, sequence: u64, writes: &Writes, sync: bool) -> io::Result<()> {
        self.encode(sequence, writes);
        self.file.write(self.end, &self.record)?;
        if sync {
            self.file.sync_data()?;
        }
        self.end += self.record.len() as u64;
        self.trim();
        Ok(())
    }

    /// Doubles what is preallocated, from [`JOURNAL_BYTES_MIN`] up to [`JOURNAL_BYTES_MAX`].
    ///
    /// Not synced: the first record in the new room takes it along. An error leaves the room as
    /// it was.
    pub(super) fn grow(&mut self) -> io::Result<()> {
        let room = (self.room * 2).clamp(JOURNAL_BYTES_MIN, JOURNAL_BYTES_MAX);
        let mut offset = self.room;
        while offset < room {
            let bytes = (room - offset).min(ZEROS.len() as u64);
            let zeros = usize::try_from(bytes).map_or(&ZEROS[..], |bytes| &ZEROS[..bytes]);
            self.file.write(offset, zeros)?;
            offset += bytes;
        }
        self.room = self.room.max(room);
        Ok(())
    }

    /// How many bytes are preallocated.
    pub(super) fn room(&self) -> u64 {
        self.room
    }

    fn encode(&mut self, sequence: u64, writes: &Writes) {
        let record = &mut self.record;
        record.clear();
        record.extend_from_slice(&MAGIC);
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&self.salt.to_le_bytes());
        record.extend_from_slice(&sequence.to_le_bytes());
        record.extend_from_slice(&[0; 8]);
        for (name, rows) in writes {
            let name_bytes = u16::try_from(name.len()).expect("a table's name is a short literal");
            record.extend_from_slice(&name_bytes.to_le_bytes());
            record.extend_from_slice(name.as_bytes());
            record.extend_from_slice(&length(rows.len()).to_le_bytes());
            for (key, value) in rows {
                record.extend_from_slice(&length(key.len()).to_le_bytes());
                record.extend_from_slice(key);
                let value_bytes = value.as_ref().map_or(DELETED, |value| length(value.len()));
                record.extend_from_slice(&value_bytes.to_le_bytes());
                record.extend_from_slice(value.as_deref().unwrap_or_default());
            }
        }
        let body_bytes = length(record.len() - HEADER_BYTES);
        record[24..28].copy_from_slice(&body_bytes.to_le_bytes());
        let crc = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        record.resize(in_sectors(record.len()), 0);
    }

    /// Reads the record at an offset, without what fills up its last sector. Returns its sequence
    /// number; none if there is no whole record with this salt.
    fn read(&mut self, offset: u64, salt: u64) -> io::Result<Option<u64>> {
        self.record.clear();
        if offset + SECTOR_BYTES as u64 > self.room {
            return Ok(None);
        }
        self.record.resize(SECTOR_BYTES, 0);
        self.file.read(offset, &mut self.record)?;
        let header = &self.record[..HEADER_BYTES];
        let number = |at: usize| u64::from_le_bytes(array(&header[at..]));
        let short = |at: usize| u32::from_le_bytes(array(&header[at..]));
        let (crc, sequence) = (short(4), number(16));
        let Ok(body_bytes) = usize::try_from(short(24)) else {
            return Ok(None);
        };
        let bytes = HEADER_BYTES + body_bytes;
        if header[..4] != MAGIC || number(8) != salt || bytes as u64 > self.room - offset {
            return Ok(None);
        }
        self.record.resize(bytes, 0);
        if bytes > SECTOR_BYTES {
            let rest = &mut self.record[SECTOR_BYTES..];
            self.file.read(offset + SECTOR_BYTES as u64, rest)?;
        }
        Ok((crc32fast::hash(&self.record[8..]) == crc).then_some(sequence))
    }

    fn trim(&mut self) {
        self.record.clear();
        self.record.shrink_to(BUFFER_BYTES_KEPT);
    }
}

/// How long the record of a batch is.
pub(super) fn record_bytes(writes: &Writes) -> usize {
    let row = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
        8 + key.len() + value.as_ref().map_or(0, Vec::len)
    };
    let tables = writes.iter().map(|(name, rows)| {
        let rows: usize = rows.iter().map(row).sum();
        6 + name.len() + rows
    });
    HEADER_BYTES + tables.sum::<usize>()
}

/// The body of a whole record.
pub(super) struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    /// Goes through the rows: table, key, and the new value or none.
    ///
    /// # Errors
    /// What `apply` says; [`io::ErrorKind::InvalidData`] for a body that is not what its checksum
    /// says was written, which only another program can have done.
    pub(super) fn for_each<E: From<io::Error>>(
        mut self,
        mut apply: impl FnMut(&'a str, &'a [u8], Option<&'a [u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !self.0.is_empty() {
            let name_bytes = u16::from_le_bytes(array(self.take(2)?));
            let name = std::str::from_utf8(self.take(name_bytes.into())?);
            let name = name.map_err(|_| malformed())?;
            for _ in 0..self.number()? {
                let key_bytes = self.number()?;
                let key = self.take(key_bytes as usize)?;
                let value = match self.number()? {
                    DELETED => None,
                    value_bytes => Some(self.take(value_bytes as usize)?),
                };
                apply(name, key, value)?;
            }
        }
        Ok(())
    }

    fn number(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes(array(self.take(4)?)))
    }

    fn take(&mut self, bytes: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a record of the journal has a right checksum and a wrong body",
    )
}

fn in_sectors(bytes: usize) -> usize {
    bytes.next_multiple_of(SECTOR_BYTES)
}

/// The first bytes of a slice that is known to have them.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    *bytes
        .first_chunk()
        .expect("the slice was cut to be long enough")
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a record is no longer than a journal")
}
