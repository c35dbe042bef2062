//! The frames of the lane, decoded. Their bytes are described in the crate's documentation.

use crate::{Failure, Hello};

/// One frame of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// The first frame in each direction: who speaks, and what it knows.
    Hello(Hello),
    /// A hello of another protocol version, of which only the version can be read.
    ForeignHello {
        /// The version the peer speaks.
        protocol_version: u16,
    },
    /// The answer to a hello that cannot be accepted, and the last frame.
    Refuse {
        /// Why, for a person.
        reason: String,
    },
    /// A request.
    Request(Request),
    /// The answer to a request that was handled.
    Reply(Reply),
    /// The answer to a request that was not.
    Fail {
        /// The request.
        id: u64,
        /// Why.
        failure: Failure,
    },
    /// The answer to a request is a stream of items, which follows on a stream of its own.
    Streaming {
        /// The request.
        id: u64,
    },
    /// The asker lost interest in a request.
    Cancel {
        /// The request.
        id: u64,
    },
    /// The sender wants no new requests; those in flight finish.
    GoAway,
}

/// A request, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Identifies it on its connection; grows with each request.
    pub id: u64,
    /// What is said about it besides its body.
    pub head: Head,
    /// What is carried along for whoever handles it, such as a tag that routes it; opaque here.
    pub baggage: Vec<u8>,
    /// The encoded message.
    pub body: Body,
}

/// The fixed part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Head {
    /// How long the asker still waits, in milliseconds from sending.
    pub deadline_ms: u32,
    /// When it was sent, in milliseconds of the sender's clock, whose zero is its own affair and
    /// which wraps around. Two of them tell how much longer one was under way than the other.
    pub sent_ms: u32,
    /// The module that asks, as an index into the modules of the sender's hello.
    pub caller: u16,
    /// What is asked, as an index into the messages of the receiver's hello.
    pub target: u16,
    /// Which partition of the module is asked, from 0.
    pub partition: u16,
    /// How much it matters when not everything can be served: 0 most.
    pub priority: u8,
    /// The same for every repetition of the request, on any connection.
    pub message_id: u128,
    /// Whether the answer is to be a stream of items.
    pub wants_stream: bool,
}

/// The longest baggage, in bytes.
pub const BAGGAGE_BYTES_MAX: usize = u8::MAX as usize;

/// A reply, as it travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request it answers.
    pub id: u64,
    /// The encoded reply.
    pub body: Body,
}

/// Where the body of a request or reply is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// In the frame.
    Inline(Vec<u8>),
    /// On a bulk stream that names the request.
    Bulk {
        /// Its length.
        bytes: u32,
    },
}

/// The first byte after the length of a frame.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const REFUSE: u8 = 2;
    pub(crate) const REQUEST: u8 = 3;
    pub(crate) const REQUEST_BULK: u8 = 4;
    pub(crate) const REPLY: u8 = 5;
    pub(crate) const REPLY_BULK: u8 = 6;
    pub(crate) const FAIL: u8 = 7;
    pub(crate) const CANCEL: u8 = 8;
    pub(crate) const GO_AWAY: u8 = 9;
    pub(crate) const STREAM_REQUEST: u8 = 10;
    pub(crate) const STREAM_REQUEST_BULK: u8 = 11;
    pub(crate) const STREAMING: u8 = 12;
    pub(crate) const REQUEST_BODY: u8 = 16;
    pub(crate) const REPLY_BODY: u8 = 17;
    pub(crate) const ITEMS: u8 = 18;
    pub(crate) const ITEM: u8 = 19;
    pub(crate) const ITEMS_END: u8 = 20;
    pub(crate) const ITEMS_FAILED: u8 = 21;
}
