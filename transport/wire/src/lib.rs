//! The protocol between two Modulith processes, as a pure state machine.
//!
//! No I/O, no clock, no async and no panic on any input: bytes go in as they arrive, typed events
//! come out, and whatever is to be sent is appended to a buffer the caller owns. `modulith-quic`
//! puts it on the network; a test or a simulation can put it on anything else.
//!
//! # One connection
//!
//! The side that dials opens one *lane*, a stream of frames in both directions, and is the only
//! one that sends requests; the side that accepts answers. (Two processes that ask each other
//! have two connections.)
//!
//! ```text
//! dialler                      acceptor
//!    | ---------- Hello ---------> |   checks version, names, fingerprints
//!    | <----- Hello | Refuse ----- |
//!    | ---- Request 1, 2, 3 -----> |
//!    | <--------- Reply 2 -------- |   in any order
//!    | --------- Cancel 3 -------> |
//!    | <------- Fail 3, Reply 1 -- |   every request is answered exactly once
//!    | <--------- GoAway --------- |   the dialler sends no new requests
//! ```
//!
//! # Layout
//!
//! Integers are little-endian. A frame is a length `u32`, which counts what follows it, a kind
//! `u8`, and the fields of that kind. A *name* is a length `u8` and UTF-8. *rest* runs to the end
//! of the frame.
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 1 | `Hello` | protocol version `u16`, incarnation `u64`, application *name*, process *name*, replica `u16`, replicas `u16`, module count `u16`, that many *names*, count `u16` of partitioned modules, that many pairs of *name* and partitions `u16`, message count `u16`, that many pairs of *name* and fingerprint `u64` |
//! | 2 | `Refuse` | reason UTF-8 *rest* |
//! | 3 | `Request` | id `u64`, deadline in ms from now `u32`, sent at ms `u32`, caller `u16`, target `u16`, partition `u16`, priority `u8`, baggage length `u8`, message id `u128`, body, baggage *rest* |
//! | 4 | `Request`, its body on a bulk stream | as 3, with the body length `u32` for the body |
//! | 5 | `Reply` | id `u64`, body *rest* |
//! | 6 | `Reply`, its body on a bulk stream | id `u64`, body length `u32` |
//! | 7 | `Fail` | id `u64`, code `u8`, then by code: 1 too large: bytes `u64`, limit `u64`; 2 overloaded: retry after ms `u32`; 3 stopped: reason UTF-8 *rest*; 4 panicked, 5 late, 6 cancelled: nothing |
//! | 8 | `Cancel` | id `u64` |
//! | 9 | `GoAway` | |
//! | 10, 11 | `Request` that wants a stream | as 3 and 4 |
//! | 12 | `Streaming`: the answer is a stream of items | id `u64` |
//!
//! *caller* is an index into the modules of the sender's hello, *target* one into the messages of
//! the receiver's. Indices make the frame small, and a caller that the hello did not list, and
//! the certificate did not confirm, cannot even be written down.
//!
//! A body too long for a frame is announced on the lane (kinds 4 and 6) and travels on a
//! unidirectional stream of its own: first a frame of kind 16 (body of a request) or 17 (body of
//! a reply) with the id `u64`, then the raw body to the end of the stream.
//!
//! An answer that is a stream of items is announced on the lane too (kind 12), and travels on a
//! unidirectional stream that begins with a frame of kind 18 with the id `u64`. Then follow:
//!
//! | kind | frame | fields |
//! | --- | --- | --- |
//! | 19 | an item, not longer than a body may be | the item *rest* |
//! | 20 | the end: these were all | |
//! | 21 | a failure: there are no more | code `u8`, then by code as in `Fail` |
//!
//! A stream that ends without one of the last two was cut short. An asker that wants no more stops
//! the stream; before the announcement it sends `Cancel` as for any request.

mod agreement;
mod bulk;
mod decode;
mod encode;
mod failure;
mod frame;
mod hello;
mod items;
mod limits;
mod read;
mod session;

pub use agreement::{Certified, Disagreement};
pub use bulk::{BulkHeader, Direction};
pub use decode::{DecodeError, Decoder};
pub use encode::encode;
pub use failure::Failure;
pub use frame::{BAGGAGE_BYTES_MAX, Body, Frame, Head, Reply, Request};
pub use hello::{Hello, HelloError, Local, MessageSchema};
pub use items::{ItemDecoder, Part};
pub use limits::Limits;
pub use session::{Ask, AskError, Bulk, Event, Replied, Role, Sent, Served, Session, Violation};

/// The version of this protocol. Two sides must have the same.
pub const PROTOCOL_VERSION: u16 = 2;
