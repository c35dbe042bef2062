//! The bytes of a simulated file. Copies share their pages until one of them writes.

use std::{io, sync::Arc};

const PAGE: usize = 4096;

/// Bytes in pages; a page never written is none, and reads as zeros.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bytes {
    len: u64,
    pages: Vec<Option<Arc<[u8; PAGE]>>>,
}

impl Bytes {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn set_len(&mut self, len: u64) {
        self.len = len;
        self.pages.resize(pages_of(len), None);
        let within = place(len).1;
        // What is cut off must not come back when the file grows again.
        if let (true, Some(Some(page))) = (within > 0, self.pages.last_mut()) {
            Arc::make_mut(page)[within..].fill(0);
        }
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
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

    pub(crate) fn write(&mut self, offset: u64, data: &[u8]) {
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
