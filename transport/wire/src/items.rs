//! What follows the header on a stream of items: each item, and then how the sequence ended.

use crate::{
    DecodeError, Failure,
    decode::failure,
    encode::{failure_fields, framed},
    frame::kind,
    read::Reader,
};

/// One frame of a stream of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The next item, encoded.
    Item(Vec<u8>),
    /// All items were sent. A stream that ends without this, or a failure, was cut short.
    End,
    /// There will be no more items, though there might have been.
    Failed(Failure),
}

impl Part {
    /// The length of what [`Part::item_head`] appends.
    pub const ITEM_HEAD_BYTES: usize = PREFIX_BYTES;

    /// Appends what goes before the bytes of an item. The limit of a body is the caller's to keep.
    pub fn item_head(item_bytes: usize, out: &mut Vec<u8>) {
        let length = u32::try_from(item_bytes + 1).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_le_bytes());
        out.push(kind::ITEM);
    }

    /// Appends the part to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Item(item) => {
                Self::item_head(item.len(), out);
                out.extend_from_slice(item);
            }
            Self::End => framed(kind::ITEMS_END, out, |_| ()),
            Self::Failed(failure) => framed(kind::ITEMS_FAILED, out, |out| {
                failure_fields(failure, out);
            }),
        }
    }
}

/// Length and kind.
const PREFIX_BYTES: usize = 4 + 1;
/// What is reserved for an item before its bytes have come. Beyond this, memory grows with them,
/// so that a length costs a peer as much as it costs this side.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// Decodes a stream of items after its header.
#[derive(Debug)]
pub struct ItemDecoder {
    item_bytes_max: u32,
    prefix: [u8; PREFIX_BYTES],
    prefix_bytes: usize,
    body: Vec<u8>,
    /// Whether the last part was decoded.
    is_over: bool,
}

impl ItemDecoder {
    /// Starts after the header. No item may be longer than `item_bytes_max`, which is
    /// [`Limits::body_bytes_max`](crate::Limits::body_bytes_max).
    pub fn new(item_bytes_max: u32) -> Self {
        Self {
            item_bytes_max,
            prefix: [0; PREFIX_BYTES],
            prefix_bytes: 0,
            body: Vec::new(),
            is_over: false,
        }
    }

    /// Takes bytes from the front of `chunk` until a part is complete or `chunk` is empty.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no part, or follow the last one. The connection is to be
    /// closed.
    pub fn decode(&mut self, chunk: &mut &[u8]) -> Result<Option<Part>, DecodeError> {
        if chunk.is_empty() {
            return Ok(None);
        }
        if self.is_over {
            return Err(DecodeError::Trailing);
        }
        gather(
            &mut self.prefix[self.prefix_bytes..],
            chunk,
            &mut self.prefix_bytes,
        );
        if self.prefix_bytes < PREFIX_BYTES {
            return Ok(None);
        }
        let (kind, body_bytes) = self.shape()?;
        let missing = body_bytes - self.body.len();
        let (taken, rest) = chunk.split_at(missing.min(chunk.len()));
        if self.body.is_empty() && !taken.is_empty() {
            let reserved = body_bytes.min(RESERVED_BYTES_MAX.max(taken.len()));
            self.body.reserve_exact(reserved);
        }
        self.body.extend_from_slice(taken);
        *chunk = rest;
        if self.body.len() < body_bytes {
            return Ok(None);
        }
        self.prefix_bytes = 0;
        let body = std::mem::take(&mut self.body);
        self.read(kind, body).map(Some)
    }

    /// Reads the prefix, and refuses what is too long before anything is allocated for it.
    fn shape(&self) -> Result<(u8, usize), DecodeError> {
        let mut fields = Reader::new(&self.prefix);
        let bytes = fields.u32()?;
        let kind = fields.u8()?;
        let bytes_max = match kind {
            kind::ITEM => self.item_bytes_max.saturating_add(1),
            kind::ITEMS_END => 1,
            kind::ITEMS_FAILED => FAILED_BYTES_MAX,
            _ => return Err(DecodeError::UnknownKind { kind }),
        };
        if bytes > bytes_max {
            return Err(DecodeError::TooLong {
                kind,
                bytes,
                bytes_max,
            });
        }
        match bytes.checked_sub(1) {
            Some(body_bytes) => Ok((kind, body_bytes as usize)),
            None => Err(DecodeError::WrongLength { kind, bytes }),
        }
    }

    fn read(&mut self, kind: u8, mut body: Vec<u8>) -> Result<Part, DecodeError> {
        if kind == kind::ITEM {
            return Ok(Part::Item(body));
        }
        self.is_over = true;
        if kind == kind::ITEMS_END {
            return Ok(Part::End);
        }
        let code = *body.first().ok_or(DecodeError::Truncated)?;
        failure(code, body.split_off(1)).map(Part::Failed)
    }
}

/// The longest failure at the end of a stream, in bytes: a kind, a code, and a sentence.
const FAILED_BYTES_MAX: u32 = 4096;

fn gather(into: &mut [u8], chunk: &mut &[u8], gathered: &mut usize) {
    let count = into.len().min(chunk.len());
    let (taken, rest) = chunk.split_at(count);
    into[..count].copy_from_slice(taken);
    *gathered += count;
    *chunk = rest;
}
