//! The requests this side has received, until each is answered.

use super::{Bulk, Event, Session, Table, Violation};
use crate::{Body, BulkHeader, Direction, Failure, Head, Limits, Request, encode};

/// A request with its body, to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// Its id, with which it is answered.
    pub id: u64,
    /// What is said about it; caller and target were checked.
    pub head: Head,
    /// What is carried along.
    pub baggage: Vec<u8>,
    /// The encoded message.
    pub body: Vec<u8>,
}

/// How a reply went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replied {
    /// It is in the buffer.
    Inline,
    /// Its announcement is in the buffer; the body goes on a stream that begins with this header.
    Bulk(BulkHeader),
    /// It is too long; the asker is told.
    TooLarge,
    /// Nobody waits for it any more.
    Gone,
}

/// When another try is worth it after a peer sent too much: some frames later.
const RETRY_AFTER_MS: u32 = 10;

/// The table of requests in service.
#[derive(Debug)]
pub(super) struct Serving {
    limits: Limits,
    last_id: u64,
    bytes: u64,
    open: Table<Open>,
    /// How many of them want a stream, and may have one open.
    streams: u32,
}

/// A request in service, its body arrived or not.
#[derive(Debug)]
struct Open {
    bytes: u32,
    awaited: Option<Awaited>,
    answer: Answer,
}

/// How a request is to be answered, and whether that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Reply,
    Items,
    /// The announcement was sent: the lane has its answer, the stream goes on.
    Streaming,
}

/// A request whose body is still to come.
#[derive(Debug)]
struct Awaited {
    head: Served,
    opened: bool,
}

impl Serving {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last_id: 0,
            bytes: 0,
            open: Table::default(),
            streams: 0,
        }
    }

    pub(super) fn requested<C>(
        &mut self,
        request: Request,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<C>>, Violation> {
        let id = request.id;
        if id <= self.last_id {
            return Err(Violation::RequestIdNotNew {
                id,
                last: self.last_id,
            });
        }
        self.last_id = id;
        let (body, bytes, is_bulk) = match request.body {
            // A frame is shorter than a u32 can say, or it would not have been decoded.
            Body::Inline(body) => {
                let bytes = body.len() as u32;
                (body, bytes, false)
            }
            Body::Bulk { bytes } => (Vec::new(), bytes, true),
        };
        let wants_stream = request.head.wants_stream;
        if let Err(failure) = self.admit(bytes, wants_stream) {
            encode::fail(id, &failure, out);
            return Ok(None);
        }
        let served = Served {
            id,
            head: request.head,
            baggage: request.baggage,
            body,
        };
        let answer = if wants_stream {
            Answer::Items
        } else {
            Answer::Reply
        };
        let mut open = Open {
            bytes,
            awaited: None,
            answer,
        };
        if !is_bulk {
            self.open.insert(id, open);
            return Ok(Some(Event::Request(served)));
        }
        open.awaited = Some(Awaited {
            head: served,
            opened: false,
        });
        self.open.insert(id, open);
        Ok(None)
    }

    /// Counts a request in, unless it is too large or too much.
    fn admit(&mut self, bytes: u32, wants_stream: bool) -> Result<(), Failure> {
        if bytes > self.limits.body_bytes_max {
            return Err(Failure::TooLarge {
                bytes: bytes.into(),
                bytes_max: self.limits.body_bytes_max.into(),
            });
        }
        let bytes_after = self.bytes + u64::from(bytes);
        let is_full = self.open.len() >= self.limits.requests_in_flight_max as usize
            || (wants_stream && self.streams >= self.limits.streams_in_flight_max);
        if is_full || bytes_after > self.limits.served_bytes_max {
            return Err(Failure::Overloaded {
                retry_after_ms: RETRY_AFTER_MS,
            });
        }
        self.bytes = bytes_after;
        self.streams += u32::from(wants_stream);
        Ok(())
    }

    /// Counts a request out.
    fn close(&mut self, id: u64) -> bool {
        self.take(id).is_some()
    }

    fn owes_reply(&self, id: u64) -> bool {
        let open = self.open.get(&id);
        open.is_some_and(|open| open.answer == Answer::Reply)
    }

    fn take(&mut self, id: u64) -> Option<Open> {
        let open = self.open.remove(&id)?;
        self.bytes -= u64::from(open.bytes);
        self.streams -= u32::from(open.answer != Answer::Reply);
        Some(open)
    }

    pub(super) fn cancelled(&mut self, id: u64, out: &mut Vec<u8>) -> Result<bool, Violation> {
        if id > self.last_id {
            return Err(Violation::RequestNotOpen { id });
        }
        // A cancellation that crossed the answer is no news.
        let Some(open) = self.take(id) else {
            return Ok(false);
        };
        // One that crossed an announcement ends the stream, but the lane has its answer.
        if open.answer != Answer::Streaming {
            encode::fail(id, &Failure::Cancelled, out);
        }
        Ok(true)
    }

    pub(super) fn bulk_opened(&mut self, id: u64) -> Result<Bulk, Violation> {
        match self.open.get_mut(&id) {
            None if id > self.last_id => Ok(Bulk::Wait),
            // Refused or cancelled after the announcement.
            None => Ok(Bulk::Discard),
            Some(Open {
                awaited: Some(awaited),
                bytes,
                ..
            }) if !awaited.opened => {
                awaited.opened = true;
                Ok(Bulk::Read { bytes: *bytes })
            }
            Some(_) => Err(Violation::BodyTwice { id }),
        }
    }

    pub(super) fn bulk_received(
        &mut self,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Option<Served>, Violation> {
        let Some(open) = self.open.get_mut(&id) else {
            return Ok(None);
        };
        if body.len() != open.bytes as usize {
            let (announced, bytes) = (open.bytes, body.len());
            return Err(Violation::BodyLength {
                id,
                announced,
                bytes,
            });
        }
        match open.awaited.take() {
            Some(Awaited { head, opened: true }) => Ok(Some(Served { body, ..head })),
            _ => Err(Violation::BodyTwice { id }),
        }
    }
}

impl<C> Session<C> {
    /// Appends the reply to a request to `out`, or its announcement if it is too long for a frame.
    /// Not for a request that wants a stream: that is answered by [`Session::begin_stream`].
    pub fn reply(&mut self, id: u64, body: &[u8], out: &mut Vec<u8>) -> Replied {
        if !self.serving.owes_reply(id) || !self.serving.close(id) {
            return Replied::Gone;
        }
        let limits = &self.local.limits;
        if body.len() + encode::REPLY_HEAD_BYTES <= limits.frame_bytes_max as usize {
            encode::reply(id, body, out);
            return Replied::Inline;
        }
        match u32::try_from(body.len()) {
            Ok(bytes) if bytes <= limits.body_bytes_max => {
                encode::reply_bulk(id, bytes, out);
                Replied::Bulk(BulkHeader {
                    direction: Direction::Reply,
                    id,
                })
            }
            _ => {
                let bytes_max = limits.body_bytes_max.into();
                let failure = Failure::TooLarge {
                    bytes: body.len() as u64,
                    bytes_max,
                };
                encode::fail(id, &failure, out);
                Replied::TooLarge
            }
        }
    }

    /// Appends the announcement that a request is answered by a stream of items, which begins with
    /// this header. The request stays in flight until [`Session::stream_over`]. Nothing if nobody
    /// waits any more, or if it does not want a stream.
    pub fn begin_stream(&mut self, id: u64, out: &mut Vec<u8>) -> Option<BulkHeader> {
        let open = self.serving.open.get_mut(&id)?;
        if open.answer != Answer::Items {
            return None;
        }
        open.answer = Answer::Streaming;
        encode::streaming(id, out);
        Some(BulkHeader {
            direction: Direction::Items,
            id,
        })
    }

    /// Notes that a stream of items has ended, whichever way.
    pub fn stream_over(&mut self, id: u64) {
        let open = self.serving.open.get(&id);
        if open.is_some_and(|open| open.answer == Answer::Streaming) {
            self.serving.close(id);
        }
    }

    /// Appends the answer to a request that gets no reply. Nothing if nobody waits any more.
    pub fn fail(&mut self, id: u64, failure: &Failure, out: &mut Vec<u8>) {
        let open = self.serving.take(id);
        // The lane says one thing about each request; a stream that has begun says the rest itself.
        if open.is_some_and(|open| open.answer != Answer::Streaming) {
            encode::fail(id, failure, out);
        }
    }

    /// How many requests of the peer are unanswered.
    pub fn served_in_flight(&self) -> usize {
        self.serving.open.len()
    }
}
