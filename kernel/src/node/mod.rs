//! A node: the modules of one process, wired to each other and to the network.
//!
//! - `builder` collects what it hosts and starts it;
//! - `start` starts one partition of one module;
//! - `wiring` finds the way between them, and to those elsewhere;
//! - `operate` is what people and tools ask of it.

mod builder;
mod operate;
mod start;
mod wiring;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;
use futures_util::{
    future::{BoxFuture, join_all},
    stream::BoxStream,
};
use modulith_contract::{Fault, Fingerprint};

use crate::{
    MessageName, Port, SetupError, StoreError,
    graph::GraphError,
    home::Home,
    mailbox::Mailbox,
    network::{Call, Entry, fault},
    stream::only_fault,
    thread::Thread,
};

pub use builder::{Neighbour, NodeBuilder};
pub(crate) use start::Tools;

use self::{start::Hosted, wiring::Gate};

/// How long the callers of flows are waited for once their node is told to stop. What has not
/// ended then goes on when the node starts again.
///
/// Longer than any reply is waited for, so that whoever asked has an answer.
pub const CONDUCT_DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The declarations do not fit together; the first of the errors.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store was opened but cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A module cannot be made from its settings.
    #[error("module {module} cannot start")]
    Setup {
        /// The module.
        module: &'static str,
        /// What its settings ask for that cannot be.
        source: SetupError,
    },
}

/// The modules of one process, running.
pub struct Node {
    residents: Vec<Resident>,
    /// What is served to other processes, as `module.Message`.
    gates: HashMap<String, Gate, RandomState>,
    /// Requests of other processes that were not declared.
    denied: AtomicU64,
    messages: Vec<(String, Fingerprint)>,
    /// Events that nobody listens to.
    unheard: Vec<MessageName>,
    open_port: Port,
}

/// A module, or one partition of it, that lives here.
struct Resident {
    home: Arc<Home>,
    tools: Arc<Tools>,
}

impl Resident {
    fn of(hosted: &Hosted) -> Self {
        Self {
            home: hosted.home.clone(),
            tools: hosted.tools.clone(),
        }
    }
}

impl Node {
    fn homes(&self) -> impl Iterator<Item = &Arc<Home>> {
        self.residents.iter().map(|resident| &resident.home)
    }

    /// The port of a hosted module: what it declares, and nothing else.
    pub fn port(&self, module: &str) -> Option<Port> {
        let home = self.homes().find(|home| home.module() == module)?;
        Some(Port::clone(&home.port()))
    }

    /// A port to everything the node's modules serve, for tests and tools.
    pub fn open_port(&self) -> Port {
        self.open_port.clone()
    }

    /// Every message the application knows, with its fingerprint, in order of name: what two
    /// processes compare when they meet.
    pub fn messages(&self) -> &[(String, Fingerprint)] {
        &self.messages
    }

    /// Serves a request from another process: the encoded outcome.
    ///
    /// That the caller is who it says is the transport's to verify; that it may ask is checked
    /// here, against its declaration.
    pub fn serve(&self, call: Call) -> BoxFuture<'static, Vec<u8>> {
        match self.entry(&call) {
            Ok(entry) => entry.clone().serve(call),
            Err(denied) => Box::pin(async move { fault(denied) }),
        }
    }

    /// Serves a stream query from another process: the encoded items, made as they are taken.
    /// Whoever drops the stream ends their making.
    ///
    /// What is checked is what [`Node::serve`] checks.
    pub fn serve_stream(&self, call: Call) -> BoxStream<'static, Vec<u8>> {
        match self.entry(&call) {
            Ok(entry) => entry.clone().stream(call),
            Err(denied) => only_fault(denied),
        }
    }

    /// What serves a request, if it is served here, its partition is hosted here, and its caller
    /// declares that it asks it.
    fn entry(&self, call: &Call) -> Result<&Arc<dyn Entry>, Fault> {
        let Some(gate) = self.gates.get(&*call.message) else {
            let reason = format!("this process does not serve {}", call.message);
            return Err(unreachable(call, reason));
        };
        if !gate.callers.contains(&*call.caller) {
            let (caller, message) = (call.caller.to_string(), call.message.to_string());
            tracing::warn!(caller, message, "undeclared ask denied");
            self.denied.fetch_add(1, Ordering::Relaxed);
            return Err(Fault::Denied { caller, message });
        }
        match gate.entries.get(usize::from(call.partition)) {
            Some(Some(entry)) => Ok(entry),
            _ => {
                let (partition, count) = (call.partition, gate.entries.len());
                let reason =
                    format!("this process does not host partition {partition} of {count} of it");
                Err(unreachable(call, reason))
            }
        }
    }

    /// How many requests of other processes were denied because the module that asked does not
    /// declare them.
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// Stops following events, and answers the questions for events that other processes have
    /// left open, so that connections can be drained at once.
    pub fn leave(&self) {
        for home in self.homes() {
            home.leaving.send_replace(true);
        }
    }

    /// Stops every module: no new messages, what waits is committed, stores are closed.
    ///
    /// Flows that somebody waits for may take [`CONDUCT_DRAIN_MAX`] to come to their end before
    /// that; all others go on when the node starts again.
    pub async fn stop(&self) {
        let conducted = join_all(self.homes().map(|home| home.conducted()));
        if tokio::time::timeout(CONDUCT_DRAIN_MAX, conducted)
            .await
            .is_err()
        {
            tracing::warn!("stopped while callers waited for flows");
        }
        let mailboxes = self.homes().filter_map(|home| home.mailbox().ok());
        join_all(mailboxes.map(Mailbox::stop)).await;
        self.halt();
    }

    /// Ends every module where it stands, as a crash would, and closes the stores.
    ///
    /// What is durable stays; what waits is gone, and flows go on from
    /// their journals when the node starts again.
    pub fn halt(&self) {
        for home in self.homes() {
            home.stop("its process is shutting down");
        }
        let threads = self.homes().filter_map(|home| home.thread());
        threads.for_each(Thread::end);
        for home in self.homes() {
            home.leave_for_good();
        }
    }

    fn tell_of_unheard(&self) {
        for event in &self.unheard {
            if self.homes().any(|home| home.module() == event.module) {
                tracing::debug!(module = event.module, event = event.name, "nobody listens");
            }
        }
    }
}

/// Why a call that came to the wrong process is not served.
fn unreachable(call: &Call, reason: String) -> Fault {
    let module = call.module().to_string();
    Fault::Unreachable { module, reason }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let modules: Vec<_> = self.homes().map(|home| home.name()).collect();
        f.debug_struct("Node")
            .field("modules", &modules)
            .finish_non_exhaustive()
    }
}
