//! One file: its bytes now, its bytes when it was last synced, and what was changed in between.

use std::{io, sync::Arc};

use fastrand::Rng;

use super::DiskCounts;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

const PAGE: usize = 4096;

/// Copies share their pages until one of them writes.
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
        self.now.len
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

/// Bytes in shared pages; a page never written is none, and reads as zeros.
#[derive(Debug, Clone, Default)]
struct Bytes {
    len: u64,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Bytes {
    fn set_len(&mut self, len: u64) {
        self.len = len;
        self.pages.resize(pages_of(len), None);
        let within = place(len).1;
        // What is cut off must not come back when the file grows again.
        if let (true, Some(Some(page))) = (within > 0, self.pages.last_mut()) {
            Arc::make_mut(page)[within..].fill(0);
        }
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() as u64 > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (page, within, part) in parts(offset, out.len()) {
            let out = &mut out[part.clone()];
            match &self.pages[page] {
                Some(bytes) => out.copy_from_slice(&bytes[within..within + part.len()]),
                None => out.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        if end > self.len {
            self.len = end;
            self.pages.resize(pages_of(end), None);
        }
        for (page, within, part) in parts(offset, data.len()) {
            let bytes = self.pages[page].get_or_insert_with(|| Arc::new([0; PAGE]));
            Arc::make_mut(bytes)[within..within + part.len()].copy_from_slice(&data[part]);
        }
    }
}

/// For each page that `len` bytes from `offset` touch: the page, where in it, and which of the bytes.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        (done < len).then(|| {
            let (page, within) = place(offset + done as u64);
            let part = done..len.min(done + PAGE - within);
            done = part.end;
            (page, within, part)
        })
    })
}

fn place(offset: u64) -> (usize, usize) {
    let offset = usize::try_from(offset).expect("a simulated file fits in memory");
    (offset / PAGE, offset % PAGE)
}

fn pages_of(len: u64) -> usize {
    usize::try_from(len)
        .expect("a simulated file fits in memory")
        .div_ceil(PAGE)
}
