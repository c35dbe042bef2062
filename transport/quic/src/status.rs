//! What an endpoint knows about the processes it speaks with.

use std::{net::SocketAddr, sync::Arc, time::Duration};

/// One process at the other end, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its name.
    pub process: Arc<str>,
    /// Which of its replicas, as this process calls it; where the peer dialled, the process's name.
    pub instance: Arc<str>,
    /// Which side opened the connection.
    pub side: Side,
    /// Whether there is a connection, and to where.
    pub state: PeerState,
    /// Requests without an answer yet: ours when we dialled, theirs when they did.
    pub in_flight: usize,
}

/// What a process trusts, and what it shows to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// The fingerprint of the root that signs its certificates; `None` when they come from
    /// elsewhere.
    pub issuer: Option<String>,
    /// The fingerprints of the roots it trusts.
    pub roots: Vec<String>,
    /// The last second of the certificate it shows, since 1970.
    pub valid_until: u64,
    /// Connections made with a certificate of another root than `issuer`, in either direction.
    /// They are replaced by themselves; until then that root should stay trusted.
    pub connections_outdated: usize,
}

/// Which side opened a connection. Requests go only from the side that dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This process did; it sends requests.
    Dialled,
    /// The peer did; it receives replies.
    Accepted,
}

/// Whether a process can be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerState {
    /// It is connected.
    Connected {
        /// Its address.
        address: SocketAddr,
        /// The smoothed round-trip time.
        rtt: Duration,
    },
    /// It is not.
    Disconnected {
        /// Why the last connection or attempt ended; `None` before the first.
        reason: Option<String>,
    },
}
