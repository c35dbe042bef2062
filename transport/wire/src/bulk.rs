//! The beginning of a bulk stream, which says whose body follows.

use crate::{DecodeError, encode, frame::kind, read::Reader};

/// Names the request or reply whose body is the rest of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BulkHeader {
    /// Whether it is the body of a request or of a reply.
    pub direction: Direction,
    /// The request.
    pub id: u64,
}

/// Which of the two bodies of an exchange is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the dialler.
    Request,
    /// From the acceptor.
    Reply,
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
