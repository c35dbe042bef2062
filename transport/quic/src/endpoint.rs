//! This process on the network.

use std::{
    collections::HashMap,
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread::JoinHandle,
    time::Duration,
};

use modulith_contract::Fault;
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    Call, CallFuture, CertificateStatus, Counters, Names, Options, PeerStatus, Service, Timing,
    dial::Dialler,
    line::{Line, Order, Pending, module_of, unreachable},
    link::Link,
    naming::NameError,
    network::{self, Network},
    queue::Queue,
    registry::Registry,
    slot::Slot,
};

/// Calls other processes and serves their calls, on one network thread of its own.
///
/// Dropping it closes every connection at once; see [`Endpoint::close`] for the gentle way.
pub struct Endpoint {
    lines: Arc<Lines>,
    address: Option<SocketAddr>,
    network: Network,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The processes this one calls.
struct Lines {
    /// `None` once the endpoint is closing: no new ones then.
    by_process: RwLock<Option<HashMap<Arc<str>, Arc<Line>>>>,
    /// Modules of this process, with their indices in its hello.
    callers: HashMap<String, u16>,
    dialler: Arc<Dialler>,
    registry: Arc<Registry>,
    runtime: tokio::runtime::Handle,
    body_bytes_max: u32,
    calls_waiting_max: usize,
    timing: Timing,
    incarnation: u64,
}

impl Endpoint {
    /// Starts the network thread, and listens if the options say so. Blocks until it does.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the address cannot be had or the options do not hold.
    pub fn start(
        options: Options,
        service: Arc<dyn Service>,
        names: Arc<dyn Names>,
    ) -> Result<Self, StartError> {
        let callers = options.modules.iter().cloned().zip(0..).collect();
        let body_bytes_max = options.limits.body_bytes_max;
        let calls_waiting_max = options.calls_waiting_max;
        let (timing, incarnation) = (options.timing.clone(), options.incarnation);
        let started = network::start(options, service, names)?;
        let lines = Lines {
            by_process: RwLock::new(Some(HashMap::new())),
            callers,
            dialler: started.dialler,
            registry: Arc::clone(&started.network.registry),
            runtime: started.network.runtime.clone(),
            body_bytes_max,
            calls_waiting_max,
            timing,
            incarnation,
        };
        Ok(Self {
            lines: Arc::new(lines),
            address: started.address,
            network: started.network,
            thread: Mutex::new(Some(started.thread)),
        })
    }

    /// Where connections are accepted, with the port that was taken.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Sends a request. From any thread, in or out of any runtime.
    ///
    /// The request is on its way whether or not the future is polled; dropping the future cancels
    /// it. The outcome is [`Fault::Late`] at the deadline at the latest. [`Fault::Unreachable`]
    /// says in `reason` what stood in the way; if the connection broke after the request was sent,
    /// nobody knows whether it took effect.
    pub fn call(&self, call: Call) -> CallFuture {
        match self.lines.call(call) {
            Ok(future) => future,
            Err(fault) => CallFuture::refused(fault),
        }
    }

    /// The processes at the other ends: those this one has called, and those connected to it.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut peers = self.lines.registry.status();
        peers.extend(self.lines.all().iter().map(|line| line.status()));
        peers
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.lines.dialler.tally.read()
    }

    /// What this process trusts, and the certificate it shows.
    pub fn certificates(&self) -> CertificateStatus {
        let dialler = &self.lines.dialler;
        let material = dialler.trust.current();
        CertificateStatus {
            issuer: material.issuing(),
            roots: material.fingerprints.clone(),
            valid_until: dialler.identity.valid_until(),
            connections_outdated: dialler.leases.outdated(),
        }
    }

    /// Asks peers at once to send no new requests. The future completes when what is in flight in
    /// either direction is done, and every connection closed.
    ///
    /// Until peers have stopped, handlers in flight may still call others; afterwards calls fail.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lines.registry.drain();
        let lines = Arc::clone(&self.lines);
        async move {
            let mut busy = lines.registry.busy();
            // Fails only if the registry is gone, and `lines` holds it.
            let _ = busy.wait_for(|busy| busy.accepted == 0).await;
            lines.close();
            let _ = busy.wait_for(|busy| busy.links == 0).await;
        }
    }

    /// Drains for at most `within`, then closes what is left and joins the network thread.
    ///
    /// Blocks. Called again, or from the network thread itself, it does not wait.
    pub fn close(&self, within: Duration) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(thread) = thread else { return };
        if within.is_zero() {
            // Peers are not asked to go: quinn sends what a connection still has to say before its
            // last word, and if the network has no room for the former, drops the latter
            // (quinn-rs/quinn#2785; fixed after quinn-proto 0.11.19).
            self.lines.registry.refuse_new();
            self.lines.close();
            self.network.stop();
        } else {
            let drained = self.drain();
            let network = self.network.clone();
            self.network.runtime.spawn(async move {
                let _ = tokio::time::timeout(within, drained).await;
                network.stop();
            });
        }
        if thread.thread().id() != std::thread::current().id() {
            // A panic on the network thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Lines {
    fn call(self: &Arc<Self>, call: Call) -> Result<CallFuture, Fault> {
        let Some(&caller) = self.callers.get(&*call.caller) else {
            return Err(Fault::Denied {
                caller: call.caller.to_string(),
                message: call.message.to_string(),
            });
        };
        let (bytes, bytes_max) = (call.body.len() as u64, self.body_bytes_max.into());
        if bytes > bytes_max {
            return Err(Fault::TooLarge { bytes, bytes_max });
        }
        let Some(line) = self.line(&call.process) else {
            return Err(unreachable(
                module_of(&call.message),
                "this process is shutting down",
            ));
        };
        let slot = Arc::new(Slot::default());
        line.call(Pending {
            slot: Arc::clone(&slot),
            caller,
            message: call.message,
            message_id: call.message_id,
            deadline: call.deadline,
            body: call.body,
        })?;
        Ok(CallFuture::waiting(slot, line))
    }

    /// The line to a process, made on first use. `None` when the endpoint is closing.
    fn line(&self, process: &Arc<str>) -> Option<Arc<Line>> {
        let by_process = self
            .by_process
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = by_process.as_ref()?.get(process) {
            return Some(Arc::clone(line));
        }
        drop(by_process);
        let mut by_process = self
            .by_process
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let line = by_process
            .as_mut()?
            .entry(Arc::clone(process))
            .or_insert_with(|| self.start_link(Arc::clone(process)));
        Some(Arc::clone(line))
    }

    fn start_link(&self, process: Arc<str>) -> Arc<Line> {
        let (orders, receiver) = unbounded_channel();
        let seed = process.bytes().fold(self.incarnation, |seed, byte| {
            seed.rotate_left(8) ^ u64::from(byte)
        });
        let line = Arc::new(Line::new(process, orders, self.calls_waiting_max));
        let link = Link {
            dialler: Arc::clone(&self.dialler),
            registry: Arc::clone(&self.registry),
            queue: Queue::new(Arc::clone(&line), receiver),
            timing: self.timing.clone(),
            random: fastrand::Rng::with_seed(seed),
            failures: 0,
        };
        let guard = self.registry.count_link();
        self.runtime.spawn(async move {
            link.run().await;
            drop(guard);
        });
        line
    }

    fn all(&self) -> Vec<Arc<Line>> {
        let by_process = self
            .by_process
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        by_process
            .iter()
            .flat_map(HashMap::values)
            .cloned()
            .collect()
    }

    /// Lets no new calls in; those that are in finish.
    fn close(&self) {
        let lines = self
            .by_process
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        for line in lines.iter().flat_map(HashMap::values) {
            line.order(Order::Drain);
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An endpoint cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the address.
    #[error(
        "the address {address} (UDP) is in use; stop the process that has it, or give process \
         {process} another"
    )]
    AddressInUse {
        /// The address.
        address: SocketAddr,
        /// Who wanted it.
        process: String,
    },
    /// The address cannot be had for another reason.
    #[error("process {process} cannot listen on {address} (UDP)")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Who wanted it.
        process: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no socket to call others with.
    #[error("process {process} cannot open a socket to call others")]
    Socket {
        /// Who wanted it.
        process: String,
        /// What the system said.
        source: io::Error,
    },
    /// The network thread cannot be started.
    #[error("cannot start the network thread")]
    Thread(#[source] io::Error),
    /// A name does not fit into a certificate.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What this process would say about itself, no peer would accept.
    #[error("the modules and messages of this process do not fit into a hello")]
    Hello(#[from] modulith_wire::HelloError),
    /// The certificates do not work.
    #[error("the certificates cannot be used")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}
