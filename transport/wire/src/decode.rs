//! Turns bytes, in whatever chunks they arrive, into frames.

use crate::{Body, Failure, Frame, Head, Hello, Limits, Reply, Request};
use crate::{failure::code, frame::kind, read::Reader};

/// Length and kind.
const PREFIX_BYTES: usize = 4 + 1;
/// The prefix and the longest fixed fields, those of a request with its body elsewhere.
const HEAD_BYTES_MAX: usize = PREFIX_BYTES + REQUEST_BYTES + 4;
/// The fixed fields of a request.
const REQUEST_BYTES: usize = 40;

/// Decodes the frames of one lane.
///
/// Every frame has fields of fixed size first and at most one of variable size at its end. The
/// former are gathered in a small array, the latter goes straight to where it stays: a body is
/// copied once, wherever the chunks happen to end.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// Known once the prefix is complete and within the limits.
    shape: Option<Shape>,
    tail: Vec<u8>,
}

/// How many bytes the frame at hand has.
#[derive(Debug, Clone, Copy)]
struct Shape {
    kind: u8,
    head_bytes: usize,
    tail_bytes: usize,
}

impl Decoder {
    /// Starts at the beginning of a lane.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            head: [0; HEAD_BYTES_MAX],
            head_bytes: 0,
            shape: None,
            tail: Vec::new(),
        }
    }

    /// Takes bytes from the front of `chunk` until a frame is complete or `chunk` is empty.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no frame. There is no way to find the next one, so the
    /// lane is to be closed.
    pub fn decode(&mut self, chunk: &mut &[u8]) -> Result<Option<Frame>, DecodeError> {
        let shape = match self.shape {
            Some(shape) => shape,
            None => {
                if !self.gather_head(PREFIX_BYTES, chunk) {
                    return Ok(None);
                }
                let shape = self.read_shape()?;
                self.shape = Some(shape);
                shape
            }
        };
        if !self.gather_head(shape.head_bytes, chunk) {
            return Ok(None);
        }
        if !self.gather_tail(shape.tail_bytes, chunk) {
            return Ok(None);
        }
        self.shape = None;
        self.head_bytes = 0;
        let tail = std::mem::take(&mut self.tail);
        self.read_frame(shape, tail).map(Some)
    }

    fn gather_head(&mut self, wanted: usize, chunk: &mut &[u8]) -> bool {
        let count = wanted.saturating_sub(self.head_bytes).min(chunk.len());
        let (taken, rest) = chunk.split_at(count);
        self.head[self.head_bytes..self.head_bytes + count].copy_from_slice(taken);
        self.head_bytes += count;
        *chunk = rest;
        self.head_bytes >= wanted
    }

    fn gather_tail(&mut self, wanted: usize, chunk: &mut &[u8]) -> bool {
        let count = (wanted - self.tail.len()).min(chunk.len());
        let (taken, rest) = chunk.split_at(count);
        if self.tail.is_empty() && count > 0 {
            self.tail.reserve_exact(wanted);
        }
        self.tail.extend_from_slice(taken);
        *chunk = rest;
        self.tail.len() == wanted
    }

    /// Reads the prefix, and refuses what is too long before anything is allocated for it.
    fn read_shape(&self) -> Result<Shape, DecodeError> {
        let mut fields = Reader::new(&self.head[..PREFIX_BYTES]);
        let bytes = fields.u32()?;
        let kind = fields.u8()?;
        let (fixed, has_tail) = match kind {
            kind::HELLO | kind::REFUSE => (0, true),
            kind::REQUEST | kind::STREAM_REQUEST => (REQUEST_BYTES, true),
            kind::REQUEST_BULK | kind::STREAM_REQUEST_BULK => (REQUEST_BYTES + 4, true),
            kind::REPLY => (8, true),
            kind::REPLY_BULK => (12, false),
            kind::FAIL => (9, true),
            kind::CANCEL | kind::STREAMING => (8, false),
            kind::GO_AWAY => (0, false),
            _ => return Err(DecodeError::UnknownKind { kind }),
        };
        let bytes_max = match kind {
            kind::HELLO => self.limits.hello_bytes_max,
            _ => self.limits.frame_bytes_max,
        };
        if bytes > bytes_max {
            return Err(DecodeError::TooLong {
                kind,
                bytes,
                bytes_max,
            });
        }
        let wrong_length = DecodeError::WrongLength { kind, bytes };
        match (bytes as usize).checked_sub(1 + fixed) {
            Some(tail_bytes) if has_tail || tail_bytes == 0 => Ok(Shape {
                kind,
                head_bytes: PREFIX_BYTES + fixed,
                tail_bytes,
            }),
            _ => Err(wrong_length),
        }
    }

    fn read_frame(&self, shape: Shape, tail: Vec<u8>) -> Result<Frame, DecodeError> {
        let mut fields = Reader::new(&self.head[PREFIX_BYTES..shape.head_bytes]);
        Ok(match shape.kind {
            kind::HELLO => Hello::decode(&tail, &self.limits)?,
            kind::REFUSE => Frame::Refuse {
                reason: text(tail)?,
            },
            kind::REQUEST
            | kind::REQUEST_BULK
            | kind::STREAM_REQUEST
            | kind::STREAM_REQUEST_BULK => Frame::Request(request(shape, fields, tail)?),
            kind::REPLY | kind::REPLY_BULK => Frame::Reply(Reply {
                id: fields.u64()?,
                body: body(shape, fields, tail)?,
            }),
            kind::FAIL => Frame::Fail {
                id: fields.u64()?,
                failure: failure(fields.u8()?, tail)?,
            },
            kind::STREAMING => Frame::Streaming { id: fields.u64()? },
            kind::CANCEL => Frame::Cancel { id: fields.u64()? },
            kind::GO_AWAY => Frame::GoAway,
            kind => return Err(DecodeError::UnknownKind { kind }),
        })
    }
}

fn request(
    shape: Shape,
    mut fields: Reader<'_>,
    mut tail: Vec<u8>,
) -> Result<Request, DecodeError> {
    let id = fields.u64()?;
    let (deadline_ms, sent_ms) = (fields.u32()?, fields.u32()?);
    let (caller, target, partition) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let (priority, baggage_bytes) = (fields.u8()?, usize::from(fields.u8()?));
    let message_id = fields.u128()?;
    let body_bytes = tail.len().checked_sub(baggage_bytes);
    let body_bytes = body_bytes.ok_or(DecodeError::Truncated)?;
    // No allocation unless there is some.
    let baggage = tail.split_off(body_bytes);
    let wants_stream = matches!(shape.kind, kind::STREAM_REQUEST | kind::STREAM_REQUEST_BULK);
    let is_bulk = matches!(shape.kind, kind::REQUEST_BULK | kind::STREAM_REQUEST_BULK);
    if is_bulk && !tail.is_empty() {
        return Err(DecodeError::Trailing);
    }
    Ok(Request {
        id,
        head: Head {
            deadline_ms,
            sent_ms,
            caller,
            target,
            partition,
            priority,
            message_id,
            wants_stream,
        },
        baggage,
        body: body(shape, fields, tail)?,
    })
}

fn body(shape: Shape, mut fields: Reader<'_>, tail: Vec<u8>) -> Result<Body, DecodeError> {
    match shape.kind {
        kind::REQUEST_BULK | kind::STREAM_REQUEST_BULK | kind::REPLY_BULK => Ok(Body::Bulk {
            bytes: fields.u32()?,
        }),
        _ => Ok(Body::Inline(tail)),
    }
}

pub(crate) fn failure(code: u8, tail: Vec<u8>) -> Result<Failure, DecodeError> {
    if code == code::STOPPED {
        return Ok(Failure::Stopped {
            reason: text(tail)?,
        });
    }
    let mut detail = Reader::new(&tail);
    let failure = match code {
        code::TOO_LARGE => Failure::TooLarge {
            bytes: detail.u64()?,
            bytes_max: detail.u64()?,
        },
        code::OVERLOADED => Failure::Overloaded {
            retry_after_ms: detail.u32()?,
        },
        code::PANICKED => Failure::Panicked,
        code::LATE => Failure::Late,
        code::CANCELLED => Failure::Cancelled,
        _ => return Err(DecodeError::UnknownFailure { code }),
    };
    if !detail.is_empty() {
        return Err(DecodeError::Trailing);
    }
    Ok(failure)
}

fn text(bytes: Vec<u8>) -> Result<String, DecodeError> {
    String::from_utf8(bytes).map_err(|_| DecodeError::NotText)
}

/// Bytes that are no frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No frame has this kind.
    #[error("a frame of unknown kind {kind}")]
    UnknownKind {
        /// What was found.
        kind: u8,
    },
    /// The frame announces more than the limit.
    #[error("a frame of kind {kind} with {bytes} bytes, the limit is {bytes_max}")]
    TooLong {
        /// Its kind.
        kind: u8,
        /// The length it announces.
        bytes: u32,
        /// The limit.
        bytes_max: u32,
    },
    /// The announced length cannot be that of the frame.
    #[error("a frame of kind {kind} cannot have {bytes} bytes")]
    WrongLength {
        /// Its kind.
        kind: u8,
        /// The length it announces.
        bytes: u32,
    },
    /// The frame ends within a field.
    #[error("a frame ends in the middle of a field")]
    Truncated,
    /// The frame goes on after its last field.
    #[error("a frame goes on after its last field")]
    Trailing,
    /// Text is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// A name is longer than the limit.
    #[error("a name of {bytes} bytes, the limit is {bytes_max}")]
    NameTooLong {
        /// Its length.
        bytes: u8,
        /// The limit.
        bytes_max: u8,
    },
    /// A hello lists more than the limit.
    #[error("a hello with {count} {what}, the limit is {count_max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        count: u16,
        /// The limit.
        count_max: u16,
    },
    /// No failure has this code.
    #[error("a failure of unknown code {code}")]
    UnknownFailure {
        /// What was found.
        code: u8,
    },
}
