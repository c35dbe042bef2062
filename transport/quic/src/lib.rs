//! QUIC between the processes of one application.
//!
//! An [`Endpoint`] calls other processes and serves their calls. It resolves, dials, verifies,
//! reconnects and gives up; what is said on a connection is `modulith_wire`'s, what a request
//! means is its host's.
//!
//! - One thread with a current-thread runtime carries everything. Requests are handled where they
//!   were read; only what is not ready at once becomes a task.
//! - One connection per direction and pair of processes, on it one *lane*, a stream of frames.
//!   What is queued goes out in one write. Bodies above `frame_bytes_max` get their own stream,
//!   and so does an answer that is a sequence of items, with flow control up to whoever takes them.
//! - Mutual TLS always. A certificate names a process and its modules, is signed by the
//!   application's own [`Authority`], lives a day, and is renewed by itself. Certificates of
//!   somebody else ([`Foreign`]) work too. Whom to trust may change at any moment; connections
//!   follow without a call noticing.

mod accept;
mod accepted;
mod alarm;
mod authority;
mod bulk;
mod ca;
mod call;
mod clock;
mod close;
mod counters;
mod destination;
mod dial;
mod dialled;
mod endpoint;
mod exclusive;
mod fingerprint;
mod foreign;
mod identity;
mod items;
mod lane;
mod lease;
mod line;
mod lines;
mod link;
mod naming;
mod network;
mod options;
mod peers;
mod probe;
mod queue;
mod registry;
mod renewal;
mod rotation;
mod seat;
mod security;
mod service;
mod slot;
mod spin;
mod status;
mod streaming;
#[cfg(test)]
mod tests;
mod tls;
mod trust;
mod tuning;
mod verifier;

pub use authority::{Authority, AuthorityError};
pub use call::{Call, CallFuture};
pub use counters::{Counters, Refused};
pub use destination::Destination;
pub use endpoint::{Endpoint, StartError};
pub use fingerprint::Root;
pub use foreign::{Foreign, ForeignError, ForeignPeer};
pub use items::ItemStream;
pub use modulith_wire::{HelloError, Limits, MessageSchema};
pub use naming::NameError;
pub use options::{Options, Timing};
pub use rotation::{Rotation, Stage};
pub use service::{Incoming, Names, Peer, ServeFuture, ServeStream, Service};
pub use status::{CertificateStatus, PeerState, PeerStatus, Side};
pub use trust::Credentials;
