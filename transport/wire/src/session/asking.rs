//! The requests this side has sent, until each is answered.

use super::{Bulk, Event, Role, Session, State, Table, Violation};
use crate::{Body, BulkHeader, Direction, Failure, Head, Limits, Reply, encode};

/// A request to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What is said about it; its target is from [`Session::target`].
    pub head: Head,
    /// What is carried along, at most [`BAGGAGE_BYTES_MAX`](crate::BAGGAGE_BYTES_MAX).
    pub baggage: &'a [u8],
    /// The encoded message.
    pub body: &'a [u8],
}

/// What became of a request to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: u64,
    /// If present, only an announcement is in the buffer: the body goes on a stream that begins
    /// with this header.
    pub bulk: Option<BulkHeader>,
}

/// Why a request cannot be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The two sides have not agreed yet.
    #[error("the connection is not established")]
    NotEstablished,
    /// The peer wants no new requests.
    #[error("the peer is going away")]
    GoingAway,
    /// This side answers; it does not ask.
    #[error("only the side that dialled asks")]
    WrongRole,
    /// As many requests are open as may be.
    #[error("{in_flight_max} requests are in flight already")]
    TooManyInFlight {
        /// The limit.
        in_flight_max: u32,
    },
    /// As many answers are streams of items as may be.
    #[error("{streams_max} answers are streamed already")]
    TooManyStreams {
        /// The limit.
        streams_max: u32,
    },
    /// The body is too long.
    #[error("a body of {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Its length.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
}

/// The table of open requests.
#[derive(Debug)]
pub(super) struct Asking<C> {
    limits: Limits,
    last_id: u64,
    open: Table<Open<C>>,
    /// How many of them want a stream, and may have one open.
    streams: u32,
}

/// What an open request waits for.
#[derive(Debug)]
enum Open<C> {
    Answer(C),
    /// The body of its reply, on a stream that may have been opened.
    Body {
        call: C,
        bytes: u32,
        opened: bool,
    },
    /// A stream of items, which may have been announced and opened.
    Items {
        call: C,
        stage: Stage,
    },
    /// The peer's word that it will not answer. Counts as in flight until then, so that asking
    /// and cancelling in a loop cannot flood a peer.
    Cancelled,
}

/// How far an answer that is a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Asked,
    Announced,
    Opened,
}

impl<C> Asking<C> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last_id: 0,
            open: Table::default(),
            streams: 0,
        }
    }

    pub(super) fn replied(&mut self, reply: Reply) -> Result<Option<Event<C>>, Violation> {
        let id = reply.id;
        match (self.open.remove(&id), reply.body) {
            (None | Some(Open::Body { .. } | Open::Items { .. }), _) => {
                Err(Violation::RequestNotOpen { id })
            }
            (Some(Open::Cancelled), _) => Ok(None),
            (Some(Open::Answer(call)), Body::Inline(body)) => Ok(Some(Event::Reply { call, body })),
            (Some(Open::Answer(call)), Body::Bulk { bytes })
                if bytes > self.limits.body_bytes_max =>
            {
                let failure = Failure::TooLarge {
                    bytes: bytes.into(),
                    bytes_max: self.limits.body_bytes_max.into(),
                };
                Ok(Some(Event::Failed { call, failure }))
            }
            (Some(Open::Answer(call)), Body::Bulk { bytes }) => {
                self.open.insert(
                    id,
                    Open::Body {
                        call,
                        bytes,
                        opened: false,
                    },
                );
                Ok(None)
            }
        }
    }

    pub(super) fn failed(
        &mut self,
        id: u64,
        failure: Failure,
    ) -> Result<Option<Event<C>>, Violation> {
        match self.open.remove(&id) {
            Some(Open::Cancelled) => Ok(None),
            Some(Open::Answer(call)) => Ok(Some(Event::Failed { call, failure })),
            Some(Open::Items {
                call,
                stage: Stage::Asked,
            }) => {
                self.streams -= 1;
                Ok(Some(Event::Failed { call, failure }))
            }
            None | Some(Open::Body { .. } | Open::Items { .. }) => {
                Err(Violation::RequestNotOpen { id })
            }
        }
    }

    pub(super) fn streaming(&mut self, id: u64) -> Result<(), Violation> {
        match self.open.get_mut(&id) {
            // The stream is discarded when it comes.
            Some(Open::Cancelled) => {
                self.open.remove(&id);
                Ok(())
            }
            Some(Open::Items { stage, .. }) if *stage == Stage::Asked => {
                *stage = Stage::Announced;
                Ok(())
            }
            _ => Err(Violation::RequestNotOpen { id }),
        }
    }

    pub(super) fn items_opened(&mut self, id: u64) -> Result<Bulk, Violation> {
        match self.open.get_mut(&id) {
            None if id > self.last_id => Err(Violation::RequestNotOpen { id }),
            None | Some(Open::Cancelled) => Ok(Bulk::Discard),
            Some(Open::Items { stage, .. }) => match stage {
                Stage::Asked => Ok(Bulk::Wait),
                Stage::Announced => {
                    *stage = Stage::Opened;
                    Ok(Bulk::ReadItems)
                }
                Stage::Opened => Err(Violation::BodyTwice { id }),
            },
            Some(Open::Answer(_) | Open::Body { .. }) => Err(Violation::RequestNotOpen { id }),
        }
    }

    pub(super) fn bulk_opened(&mut self, id: u64) -> Result<Bulk, Violation> {
        match self.open.get_mut(&id) {
            None if id > self.last_id => Err(Violation::RequestNotOpen { id }),
            // Cancelled or failed after the announcement.
            None | Some(Open::Cancelled) => Ok(Bulk::Discard),
            Some(Open::Answer(_)) => Ok(Bulk::Wait),
            Some(Open::Items { .. }) => Err(Violation::RequestNotOpen { id }),
            Some(Open::Body { opened: true, .. }) => Err(Violation::BodyTwice { id }),
            Some(Open::Body { bytes, opened, .. }) => {
                *opened = true;
                Ok(Bulk::Read { bytes: *bytes })
            }
        }
    }

    pub(super) fn bulk_received(
        &mut self,
        id: u64,
        body: Vec<u8>,
    ) -> Result<Option<Event<C>>, Violation> {
        match self.open.remove(&id) {
            Some(Open::Body {
                call,
                bytes,
                opened: true,
            }) => {
                if body.len() != bytes as usize {
                    let bytes_sent = body.len();
                    return Err(Violation::BodyLength {
                        id,
                        announced: bytes,
                        bytes: bytes_sent,
                    });
                }
                Ok(Some(Event::Reply { call, body }))
            }
            None if id <= self.last_id => Ok(None),
            _ => Err(Violation::RequestNotOpen { id }),
        }
    }

    pub(super) fn bulk_broken(&mut self, id: u64) -> Option<Event<C>> {
        if !matches!(self.open.get(&id), Some(Open::Body { .. })) {
            return None;
        }
        let Some(Open::Body { call, .. }) = self.open.remove(&id) else {
            return None;
        };
        let reason = "the reply broke off".to_owned();
        Some(Event::Failed {
            call,
            failure: Failure::Stopped { reason },
        })
    }
}

impl<C> Session<C> {
    /// Appends a request to `out`, or its announcement if the body is too long for a frame.
    ///
    /// # Errors
    ///
    /// Gives `call` back with an [`AskError`] when the request cannot be sent now.
    pub fn ask(&mut self, ask: Ask<'_>, call: C, out: &mut Vec<u8>) -> Result<Sent, (C, AskError)> {
        let wants_stream = ask.head.wants_stream;
        if let Err(error) = self.may_ask(ask.body.len(), wants_stream) {
            return Err((call, error));
        }
        self.asking.last_id += 1;
        let id = self.asking.last_id;
        let open = if wants_stream {
            self.asking.streams += 1;
            let stage = Stage::Asked;
            Open::Items { call, stage }
        } else {
            Open::Answer(call)
        };
        self.asking.open.insert(id, open);
        let frame_bytes = ask.body.len() + ask.baggage.len() + encode::REQUEST_HEAD_BYTES;
        if frame_bytes <= self.local.limits.frame_bytes_max as usize {
            encode::request(id, &ask.head, ask.baggage, ask.body, out);
            return Ok(Sent { id, bulk: None });
        }
        // The limit of a body is a u32, and `may_ask` compared.
        let bytes = ask.body.len() as u32;
        encode::request_bulk(id, &ask.head, ask.baggage, bytes, out);
        let bulk = Some(BulkHeader {
            direction: Direction::Request,
            id,
        });
        Ok(Sent { id, bulk })
    }

    fn may_ask(&self, body_bytes: usize, wants_stream: bool) -> Result<(), AskError> {
        let limits = &self.local.limits;
        match self.state {
            _ if self.role == Role::Acceptor => return Err(AskError::WrongRole),
            State::AwaitingHello | State::Refused => return Err(AskError::NotEstablished),
            State::GoingAway => return Err(AskError::GoingAway),
            State::Established => {}
        }
        if body_bytes > limits.body_bytes_max as usize {
            return Err(AskError::TooLarge {
                bytes: body_bytes as u64,
                bytes_max: limits.body_bytes_max.into(),
            });
        }
        if self.asking.open.len() >= limits.requests_in_flight_max as usize {
            return Err(AskError::TooManyInFlight {
                in_flight_max: limits.requests_in_flight_max,
            });
        }
        if wants_stream && self.asking.streams >= limits.streams_in_flight_max {
            return Err(AskError::TooManyStreams {
                streams_max: limits.streams_in_flight_max,
            });
        }
        Ok(())
    }

    /// Whether another request can be sent now.
    pub fn has_room(&self) -> bool {
        self.state == State::Established
            && self.asking.open.len() < self.local.limits.requests_in_flight_max as usize
    }

    /// Gives a request up. Its `C` comes back unless it was answered already.
    pub fn cancel(&mut self, id: u64, out: &mut Vec<u8>) -> Option<C> {
        match self.asking.open.remove(&id)? {
            Open::Answer(call) => {
                self.asking.open.insert(id, Open::Cancelled);
                encode::cancel(id, out);
                Some(call)
            }
            // Answered on the lane; the stream is discarded when it comes.
            Open::Body { call, .. } => Some(call),
            Open::Items { call, stage } => {
                self.asking.streams -= 1;
                if stage == Stage::Asked {
                    self.asking.open.insert(id, Open::Cancelled);
                    encode::cancel(id, out);
                }
                Some(call)
            }
            Open::Cancelled => {
                self.asking.open.insert(id, Open::Cancelled);
                None
            }
        }
    }

    /// Notes that the stream of items of a request was read to its end, broke off, or was stopped.
    /// Its `C` comes back unless it was given up already.
    pub fn items_over(&mut self, id: u64) -> Option<C> {
        if !matches!(self.asking.open.get(&id), Some(Open::Items { .. })) {
            return None;
        }
        let Some(Open::Items { call, .. }) = self.asking.open.remove(&id) else {
            return None;
        };
        self.asking.streams -= 1;
        Some(call)
    }

    /// The request of this side with this id, if somebody waits for it.
    pub fn asked(&self, id: u64) -> Option<&C> {
        match self.asking.open.get(&id)? {
            Open::Answer(call) | Open::Body { call, .. } | Open::Items { call, .. } => Some(call),
            Open::Cancelled => None,
        }
    }

    /// How many requests of this side are unanswered, cancelled ones included.
    pub fn asked_in_flight(&self) -> usize {
        self.asking.open.len()
    }

    /// The requests of this side that somebody waits for, but not those whose stream of items has
    /// begun.
    pub fn waiting(&self) -> impl Iterator<Item = (u64, &C)> {
        self.asking.open.iter().filter_map(|(id, open)| match open {
            Open::Items {
                stage: Stage::Opened,
                ..
            }
            | Open::Cancelled => None,
            Open::Answer(call) | Open::Body { call, .. } | Open::Items { call, .. } => {
                Some((*id, call))
            }
        })
    }

    /// Ends the session, and gives back what somebody still waits for.
    pub fn into_waiting(self) -> impl Iterator<Item = C> {
        self.asking
            .open
            .into_values()
            .filter_map(|open| match open {
                Open::Answer(call) | Open::Body { call, .. } | Open::Items { call, .. } => {
                    Some(call)
                }
                Open::Cancelled => None,
            })
    }
}
