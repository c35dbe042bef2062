//! The beginning of a bulk stream, which says whose body or items follow.

use crate::{DecodeError, encode, frame::kind, read::Reader};

/// Names the request whose body, reply or items are the rest of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BulkHeader {
    /// What of it follows.
    pub direction: Direction,
    /// The request.
    pub id: u64,
}

/// Which part of an exchange is on a stream of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The body of a request, from the dialler.
    Request,
    /// The body of a reply, from the acceptor.
    Reply,
    /// The items of an answer, from the acceptor.
    Items,
}

impl BulkHeader {
    /// The length of an encoded header: length, kind, id.
    pub const BYTES: usize = 4 + 1 + 8;

    /// Appends the header to `out`.
    pub fn encode(self, out: &mut Vec<u8>) {
        encode::bulk_header(self, out);
    }

    /// Reads a header.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no header.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, DecodeError> {
        let mut fields = Reader::new(bytes);
        let length = fields.u32()?;
        let kind = fields.u8()?;
        let direction = match kind {
            kind::REQUEST_BODY => Direction::Request,
            kind::REPLY_BODY => Direction::Reply,
            kind::ITEMS => Direction::Items,
            _ => return Err(DecodeError::UnknownKind { kind }),
        };
        if length as usize != Self::BYTES - 4 {
            return Err(DecodeError::WrongLength {
                kind,
                bytes: length,
            });
        }
        Ok(Self {
            direction,
            id: fields.u64()?,
        })
    }
}
