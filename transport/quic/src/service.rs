//! What an endpoint asks of its host: serve requests, and say where processes are.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Instant};

use futures_util::Stream;
use tokio::sync::watch;

/// Handles requests from other processes.
pub trait Service: Send + Sync + 'static {
    /// Turns a request body into a reply body. Faults of the handler travel inside the reply.
    ///
    /// Called and first polled on the network thread: what is ready at once is answered without
    /// any hand-over, and what blocks there stalls every connection. A future that is not ready
    /// becomes a task of the same thread. It is dropped when the caller gives up or goes away. A
    /// panic is answered with [`Fault::Panicked`](modulith_contract::Fault::Panicked).
    fn serve(&self, request: Incoming) -> ServeFuture;

    /// Answers a request that wants a stream of items, each encoded. Faults travel inside items.
    ///
    /// Called on the network thread, where the stream is polled too, as a task: as fast as the
    /// caller takes the items, and ahead of it by no more than QUIC's windows hold. What blocks
    /// there stalls every connection. It is dropped when the caller wants no more or goes away. A
    /// panic ends it with [`Fault::Panicked`](modulith_contract::Fault::Panicked), an item over
    /// the limit with [`Fault::TooLarge`](modulith_contract::Fault::TooLarge).
    ///
    /// `None`, unless implemented, if nothing here is answered by a stream.
    fn stream(&self, request: Incoming) -> Option<ServeStream> {
        drop(request);
        None
    }
}

/// The reply to come.
pub type ServeFuture = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// The items to come.
pub type ServeStream = Pin<Box<dyn Stream<Item = Vec<u8>> + Send>>;

/// A request from another process.
#[derive(Debug)]
pub struct Incoming {
    /// Who sent it, as certified.
    pub peer: Arc<Peer>,
    /// The module that asks; one of the peer's.
    pub caller: Arc<str>,
    /// What is asked, as `module.Message`; one of the messages in this endpoint's options.
    pub message: Arc<str>,
    /// The same for every repetition of the request.
    pub message_id: u128,
    /// Which partition of the module is asked; not checked.
    pub partition: u16,
    /// How much it matters when not everything can be served: 0 most. Not checked.
    pub priority: u8,
    /// What the caller carries along, at most 255 bytes of anything.
    pub baggage: Vec<u8>,
    /// When the caller stops waiting, on this machine's clock: for the reply, or for a stream to
    /// begin.
    pub deadline: Instant,
    /// The encoded message.
    pub body: Vec<u8>,
}

/// A process at the other end of a connection, as its certificate names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name.
    pub process: Arc<str>,
    /// The modules it hosts.
    pub modules: Vec<Arc<str>>,
}

/// Knows where processes listen.
pub trait Names: Send + Sync + 'static {
    /// Finds the addresses of a replica of a process, best first.
    ///
    /// `instance` is whatever names one of its replicas for whoever asked for a
    /// [`Destination`](crate::Destination): the name of the process where there is only one.
    ///
    /// Asked before every attempt to connect, so addresses may change at any time. Runs on a
    /// thread where it may block, such as for DNS.
    ///
    /// # Errors
    ///
    /// A sentence that says why there is none; callers get it as the reason of
    /// [`Fault::Unreachable`](modulith_contract::Fault::Unreachable).
    fn resolve(&self, process: &str, instance: &str) -> Result<Vec<SocketAddr>, String>;

    /// Whether a process that cannot be reached is about to be there, because it is being started
    /// or replaced. Calls to it wait within their deadlines instead of failing.
    ///
    /// Asked on the network thread after a failed attempt; must not block. Default: never.
    fn is_expected(&self, process: &str) -> bool {
        let _ = process;
        false
    }

    /// Moves whenever what [`resolve`](Self::resolve) finds may have changed, so that a pause
    /// between attempts to connect is cut short. Default: none, pauses last as long as they do.
    fn changes(&self) -> Option<watch::Receiver<u64>> {
        None
    }
}
