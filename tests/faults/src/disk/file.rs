//! One file: its bytes now, its bytes when it was last synced, and what was changed in between.

use std::io;

use fastrand::Rng;

use super::DiskCounts;
use crate::bytes::Bytes;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Clone, Default)]
pub(super) struct File {
    now: Bytes,
    synced: Bytes,
    since: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

impl File {
    pub(super) fn len(&self) -> u64 {
        self.now.len()
    }

    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.now.read(offset, out)
    }

    pub(super) fn set_len(&mut self, len: u64) {
        self.now.set_len(len);
        self.since.push(Change::Length(len));
    }

    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        self.now.write(offset, data);
        self.since.push(Change::Bytes(offset, data.to_vec()));
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.now.clone();
        self.since.clear();
    }

    /// Keeps what was synced; of the rest all, nothing, or some, as the dice have it.
    pub(super) fn lose_power(&mut self, rng: &mut Rng, counts: &mut DiskCounts) {
        let luck = rng.u8(..4);
        let mut left = self.synced.clone();
        for change in self.since.drain(..) {
            let fate = match luck {
                0 => Fate::Dropped,
                1 => Fate::Kept,
                _ => *rng
                    .choice(&[Fate::Kept, Fate::Dropped, Fate::Torn])
                    .unwrap_or(&Fate::Kept),
            };
            match (change, fate) {
                (_, Fate::Dropped) => counts.dropped += 1,
                (Change::Length(len), _) => left.set_len(len),
                (Change::Bytes(offset, data), Fate::Kept) => left.write(offset, &data),
                (Change::Bytes(offset, data), Fate::Torn) => {
                    counts.torn += 1;
                    let sectors = data.chunks(SECTOR).zip((offset..).step_by(SECTOR));
                    for (sector, offset) in sectors {
                        if rng.bool() {
                            left.write(offset, sector);
                        }
                    }
                }
            }
        }
        self.synced = left.clone();
        self.now = left;
    }
}

#[derive(Clone, Copy)]
enum Fate {
    Kept,
    Dropped,
    Torn,
}
