//! What an endpoint is told when it starts: who it is, what it speaks, how patient it is.

use std::{net::SocketAddr, num::NonZeroUsize, time::Duration};

use modulith_wire::{Limits, MessageSchema};

use crate::Credentials;

/// The settings of an [`Endpoint`](crate::Endpoint).
#[derive(Debug, Clone)]
pub struct Options {
    /// The application. Processes of another application are refused.
    pub application: String,
    /// The process this endpoint speaks for, unique in the application.
    pub process: String,
    /// Tells two runs of the same process apart. Any number that grows or differs per start.
    pub incarnation: u64,
    /// Which of the process's replicas this is, from 0. Default 0.
    pub replica: u16,
    /// How many replicas the process has. Default 1.
    pub replicas: u16,
    /// Of each module that is divided, wherever it is hosted: into how many partitions. Peers
    /// that count otherwise are refused.
    pub partitions: Vec<(String, u16)>,
    /// The modules this process hosts, and so may speak for.
    pub modules: Vec<String>,
    /// The messages this process handles or sends, with the fingerprints of their definitions.
    pub messages: Vec<MessageSchema>,
    /// Where to accept connections. `None`: this process only calls others. Port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// Where the certificate of this process comes from, and whom it trusts.
    pub credentials: Credentials,
    /// Sizes and counts.
    pub limits: Limits,
    /// How many calls to one process may wait to be sent; beyond, [`Fault::Overloaded`].
    ///
    /// Default 16,384: four connections' worth of requests in flight, some 20 ms of work.
    ///
    /// [`Fault::Overloaded`]: modulith_contract::Fault::Overloaded
    pub calls_waiting_max: usize,
    /// How many threads accept connections and carry calls. Default 1, which carries some
    /// 600,000 calls per second; more only help where it is busy and cores are idle. They share
    /// the address (`SO_REUSEPORT`), and the system spreads connections over them.
    pub threads: NonZeroUsize,
    /// How long a thread with connections looks for news before it goes to sleep. Default zero.
    ///
    /// Waking a sleeping thread costs 30 µs and more on a virtual machine, a good part of a call
    /// that waits for nothing else. Spinning saves it at the price of a core while calls go on:
    /// the time adapts down to a sixteenth of this when nothing comes, and nothing is spent while
    /// nobody calls. Sensible are 20 to 200 µs, with a core for each thread to spare.
    pub spin: Duration,
    /// How long things may take.
    pub timing: Timing,
}

impl Options {
    /// Starts with defaults: no modules, no messages, not listening.
    pub fn new(
        application: impl Into<String>,
        process: impl Into<String>,
        credentials: impl Into<Credentials>,
    ) -> Self {
        Self {
            application: application.into(),
            process: process.into(),
            incarnation: 0,
            replica: 0,
            replicas: 1,
            partitions: Vec::new(),
            modules: Vec::new(),
            messages: Vec::new(),
            listen: None,
            credentials: credentials.into(),
            limits: Limits::default(),
            calls_waiting_max: 16_384,
            threads: NonZeroUsize::MIN,
            spin: Duration::ZERO,
            timing: Timing::default(),
        }
    }
}

/// How long an endpoint waits for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long one attempt to connect to one address may take, handshake included.
    ///
    /// Default 2 s: three round trips across the world, with one packet lost.
    pub connect_timeout: Duration,
    /// The first pause after a failed attempt; it doubles with each further one. Default 20 ms.
    pub backoff_min: Duration,
    /// The longest pause between attempts. Default 2 s.
    pub backoff_max: Duration,
    /// For how long after its connection broke a process counts as restarting, so that calls wait
    /// for it within their deadlines instead of failing with the first attempt. Default 2 s.
    pub restart_grace: Duration,
    /// How often an idle connection shows that it is alive. Default 500 ms.
    ///
    /// A process that was killed is noticed when a packet sent to it is refused, and callers that
    /// only wait for replies send none: this bounds how long they wait for nothing.
    pub keep_alive: Duration,
    /// After how much silence a connection is given up. Default 5 s: ten keep-alives.
    pub idle_timeout: Duration,
    /// After how long a connection is replaced by a new one, for which both sides show their
    /// certificates again; sooner, when two thirds of what is left of one of those are over.
    ///
    /// Calls go on meanwhile. Default 12 h: half the life of a leaf, which is when that is renewed.
    pub connection_age_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(2),
            restart_grace: Duration::from_secs(2),
            keep_alive: Duration::from_millis(500),
            idle_timeout: Duration::from_secs(5),
            connection_age_max: Duration::from_secs(12 * 60 * 60),
        }
    }
}
