//! What a peer may not do.

use crate::DecodeError;

/// The peer broke the protocol; the connection cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// Its bytes are no frame.
    #[error("sent bytes that are no frame")]
    Decode(#[from] DecodeError),
    /// It sent something before its hello.
    #[error("sent a frame before its hello")]
    BeforeHello,
    /// It introduced itself twice.
    #[error("sent a second hello")]
    SecondHello,
    /// It refused a connection that it had accepted.
    #[error("refused a connection it had accepted")]
    LateRefusal,
    /// It went on after one side had refused the other.
    #[error("sent a frame after the connection was refused")]
    AfterRefusal,
    /// It sent what only the other side may send.
    #[error("sent {frame}, which only the other side may")]
    WrongRole {
        /// What it sent.
        frame: &'static str,
    },
    /// It asked in the name of a module that its hello does not list.
    #[error("asked as module number {index}, which its hello does not list")]
    UnknownCaller {
        /// The index it used.
        index: u16,
    },
    /// It asked for a message that this side's hello does not list.
    #[error("asked for message number {index}, which this side's hello does not list")]
    UnknownTarget {
        /// The index it used.
        index: u16,
    },
    /// It used a request id again, or one lower than the last.
    #[error("sent request {id} after request {last}")]
    RequestIdNotNew {
        /// The id.
        id: u64,
        /// The highest id before it.
        last: u64,
    },
    /// It named a request that was never sent, or that it has answered.
    #[error("named request {id}, which is not open")]
    RequestNotOpen {
        /// The id.
        id: u64,
    },
    /// It opened two streams for one body.
    #[error("sent the body of request {id} twice")]
    BodyTwice {
        /// The id.
        id: u64,
    },
    /// A body is not as long as announced.
    #[error("announced {announced} bytes for request {id} and sent {bytes}")]
    BodyLength {
        /// The id.
        id: u64,
        /// What the lane said.
        announced: u32,
        /// What the stream carried.
        bytes: usize,
    },
}
