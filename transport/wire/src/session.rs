//! One connection from its first frame to its last: what may be said when, and what follows.

mod asking;
mod serving;
mod violation;

pub use asking::{Ask, AskError, Sent};
pub use serving::{Replied, Served};
pub use violation::Violation;

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;

use crate::{
    BulkHeader, Certified, Direction, Disagreement, Failure, Frame, Hello, Limits, Local,
    agreement, encode,
};
use asking::Asking;
use serving::Serving;

/// Requests by id. A seeded hash that is a fifth of the standard one's work: ids come with every
/// frame, twice, and their number is bounded.
type Table<T> = HashMap<u64, T, RandomState>;

/// Which side of the connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It opened the connection and asks.
    Dialler,
    /// It accepted the connection and answers.
    Acceptor,
}

/// The state of one connection.
///
/// `C` is whatever the owner wants back when a request is answered.
#[derive(Debug)]
pub struct Session<C> {
    role: Role,
    local: Arc<Local>,
    certified: Certified,
    state: State,
    peer: Option<Hello>,
    disagreement: Option<Disagreement>,
    targets: HashMap<String, u16, RandomState>,
    asking: Asking<C>,
    serving: Serving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The peer's hello is the only frame it may send.
    AwaitingHello,
    Established,
    /// One side asked for no new requests.
    GoingAway,
    /// Nothing more may be said.
    Refused,
}

/// What the owner of a session has to do something about.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// Both sides agree; requests may be sent.
    Established,
    /// This side does not accept the peer. The reason is in the buffer, to be flushed before
    /// the connection is closed.
    Refusing {
        /// Why.
        reason: String,
    },
    /// The peer does not accept this side.
    Refused {
        /// What it says.
        reason: String,
    },
    /// A request to serve. Owes one call of [`Session::reply`] or [`Session::fail`].
    Request(Served),
    /// A request in service was cancelled: its handler is to be dropped, no answer is owed.
    Cancelled {
        /// The request.
        id: u64,
    },
    /// A reply to a request of ours.
    Reply {
        /// Whose.
        call: C,
        /// The encoded reply.
        body: Vec<u8>,
    },
    /// A request of ours has no reply.
    Failed {
        /// Whose.
        call: C,
        /// Why.
        failure: Failure,
    },
    /// The peer wants no new requests.
    GoAway,
}

/// What to do with a bulk stream whose header was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bulk {
    /// Read this many bytes to its end and hand them to [`Session::bulk_received`].
    Read {
        /// The announced length, within the limits.
        bytes: u32,
    },
    /// Read items from it to their end, and then call [`Session::items_over`].
    ReadItems,
    /// Leave it unread and ask again after the next frames: it overtook its announcement.
    Wait,
    /// Stop it: nobody waits for it any more.
    Discard,
}

impl<C> Session<C> {
    /// Starts a session with the peer that the transport authenticated.
    ///
    /// The dialler's hello is appended to `out`; an acceptor speaks when it was spoken to.
    pub fn new(role: Role, local: Arc<Local>, certified: Certified, out: &mut Vec<u8>) -> Self {
        if role == Role::Dialler {
            out.extend_from_slice(&local.encoded);
        }
        let limits = local.limits.clone();
        Self {
            role,
            local,
            certified,
            state: State::AwaitingHello,
            peer: None,
            disagreement: None,
            targets: HashMap::default(),
            asking: Asking::new(limits.clone()),
            serving: Serving::new(limits),
        }
    }

    /// The limits that this side keeps and expects.
    pub fn limits(&self) -> &Limits {
        &self.local.limits
    }

    /// The peer's hello, once both sides agreed.
    pub fn peer(&self) -> Option<&Hello> {
        self.peer.as_ref()
    }

    /// In what the two sides differ, once this one has refused the other.
    pub fn disagreement(&self) -> Option<Disagreement> {
        self.disagreement
    }

    /// The index by which the peer knows a message.
    pub fn target(&self, message: &str) -> Option<u16> {
        self.targets.get(message).copied()
    }

    /// Takes a frame of the peer, and appends to `out` what is to be said about it at once.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the peer may not say that now. The connection is to be closed.
    pub fn receive(
        &mut self,
        frame: Frame,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<C>>, Violation> {
        match (self.state, frame) {
            (State::Refused, _) => Err(Violation::AfterRefusal),
            (State::AwaitingHello, Frame::Hello(hello)) => Ok(Some(self.greeted(hello, out))),
            (State::AwaitingHello, Frame::ForeignHello { protocol_version }) => {
                let reason = agreement::foreign_version(
                    &self.local.hello,
                    &self.certified,
                    protocol_version,
                );
                let kind = Disagreement::Definitions;
                Ok(Some(self.refuse(kind, reason, out)))
            }
            (State::AwaitingHello, Frame::Refuse { reason }) if self.role == Role::Dialler => {
                self.state = State::Refused;
                Ok(Some(Event::Refused { reason }))
            }
            // The dialler checks the acceptor's hello too, after it was accepted itself.
            (State::Established, Frame::Refuse { reason }) if self.role == Role::Acceptor => {
                self.state = State::Refused;
                Ok(Some(Event::Refused { reason }))
            }
            (State::AwaitingHello, _) => Err(Violation::BeforeHello),
            (_, Frame::Hello(_) | Frame::ForeignHello { .. }) => Err(Violation::SecondHello),
            (_, Frame::Refuse { .. }) => Err(Violation::LateRefusal),
            (_, frame) => match self.role {
                Role::Dialler => self.receive_answer(frame),
                Role::Acceptor => self.receive_request(frame, out),
            },
        }
    }

    /// Says that no new requests are wanted. Those in flight are still to be answered.
    pub fn go_away(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Established {
            self.state = State::GoingAway;
            encode(&Frame::GoAway, out);
        }
    }

    /// Decides about a bulk stream whose header was read. Asked again while the answer is to wait.
    ///
    /// # Errors
    ///
    /// [`Violation`] when the peer may not open it. The connection is to be closed.
    pub fn bulk_opened(&mut self, header: BulkHeader) -> Result<Bulk, Violation> {
        match (self.role, header.direction) {
            _ if self.peer.is_none() => Err(Violation::BeforeHello),
            (Role::Acceptor, Direction::Request) => self.serving.bulk_opened(header.id),
            (Role::Dialler, Direction::Reply) => self.asking.bulk_opened(header.id),
            (Role::Dialler, Direction::Items) => self.asking.items_opened(header.id),
            _ => Err(Violation::WrongRole {
                frame: "a bulk stream",
            }),
        }
    }

    /// Takes the body that a bulk stream carried. `None` when nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// [`Violation`] when it is not the body that was announced. The connection is to be closed.
    pub fn bulk_received(
        &mut self,
        header: BulkHeader,
        body: Vec<u8>,
    ) -> Result<Option<Event<C>>, Violation> {
        match header.direction {
            Direction::Request => Ok(self
                .serving
                .bulk_received(header.id, body)?
                .map(Event::Request)),
            Direction::Reply => self.asking.bulk_received(header.id, body),
            Direction::Items => Ok(None),
        }
    }

    /// Notes that a bulk stream broke off. Fails the request whose reply it carried; a request
    /// whose body it carried is about to be cancelled by the peer.
    pub fn bulk_broken(&mut self, header: BulkHeader) -> Option<Event<C>> {
        match header.direction {
            Direction::Request | Direction::Items => None,
            Direction::Reply => self.asking.bulk_broken(header.id),
        }
    }

    fn greeted(&mut self, hello: Hello, out: &mut Vec<u8>) -> Event<C> {
        if let Err((kind, reason)) = agreement::check(&self.local.hello, &hello, &self.certified) {
            return self.refuse(kind, reason, out);
        }
        if self.role == Role::Acceptor {
            out.extend_from_slice(&self.local.encoded);
        }
        // No more indices than a u16 has: the decoder counted the messages with one.
        let names = hello.messages.iter().map(|message| message.name.clone());
        self.targets = names.zip(0..).collect();
        self.peer = Some(hello);
        self.state = State::Established;
        Event::Established
    }

    fn refuse(&mut self, kind: Disagreement, reason: String, out: &mut Vec<u8>) -> Event<C> {
        self.state = State::Refused;
        self.disagreement = Some(kind);
        encode::refuse(&reason, out);
        Event::Refusing { reason }
    }

    fn receive_answer(&mut self, frame: Frame) -> Result<Option<Event<C>>, Violation> {
        match frame {
            Frame::Reply(reply) => self.asking.replied(reply),
            Frame::Fail { id, failure } => self.asking.failed(id, failure),
            Frame::Streaming { id } => self.asking.streaming(id).map(|()| None),
            Frame::GoAway => {
                self.state = State::GoingAway;
                Ok(Some(Event::GoAway))
            }
            _ => Err(Violation::WrongRole {
                frame: "a request or its cancellation",
            }),
        }
    }

    fn receive_request(
        &mut self,
        frame: Frame,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event<C>>, Violation> {
        match frame {
            Frame::Request(request) => {
                let callers = self.peer.as_ref().map_or(0, |peer| peer.modules.len());
                if usize::from(request.head.caller) >= callers {
                    return Err(Violation::UnknownCaller {
                        index: request.head.caller,
                    });
                }
                if usize::from(request.head.target) >= self.local.hello.messages.len() {
                    return Err(Violation::UnknownTarget {
                        index: request.head.target,
                    });
                }
                self.serving.requested(request, out)
            }
            Frame::Cancel { id } => {
                let cancelled = self.serving.cancelled(id, out)?;
                Ok(cancelled.then_some(Event::Cancelled { id }))
            }
            Frame::GoAway => {
                self.state = State::GoingAway;
                Ok(Some(Event::GoAway))
            }
            _ => Err(Violation::WrongRole { frame: "an answer" }),
        }
    }
}

#[cfg(test)]
mod tests;
