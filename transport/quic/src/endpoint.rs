//! This process on the network.

use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crate::{
    Call, CallFuture, CertificateStatus, Counters, Destination, ItemStream, Names, Options,
    PeerStatus, Service,
    lines::Lines,
    naming::NameError,
    network::{self, Network},
    security::Security,
};

/// Calls other processes and serves their calls, on one or more network threads of its own and on those of
/// callers that attach themselves.
///
/// Dropping it closes every connection at once; see [`Endpoint::close`] for the gentle way.
pub struct Endpoint {
    lines: Arc<Lines>,
    address: Option<SocketAddr>,
    networks: Vec<Network>,
    security: Security,
    threads: Mutex<Vec<JoinHandle<()>>>,
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
        let started = network::start(options.clone(), &service, &names)?;
        let lines = Lines::new(&options, started.seats, started.registry);
        Ok(Self {
            lines: Arc::new(lines),
            address: started.address,
            networks: started.networks,
            security: started.security,
            threads: Mutex::new(started.threads),
        })
    }

    /// Where connections are accepted, with the port that was taken.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// One replica of a process, to send calls to. `instance` is what [`Names`] is asked for: the
    /// name of the process where it has only one.
    pub fn destination(&self, process: &str, instance: &str) -> Destination {
        self.lines.destination(process, instance)
    }

    /// Sends a request to a process that has only one replica; see [`Destination::call`].
    pub fn call(&self, process: &str, call: Call) -> CallFuture {
        self.destination(process, process).call(call)
    }

    /// Sends a request that is answered by a stream of items to a process that has only one
    /// replica; see [`Destination::stream`].
    pub fn stream(&self, process: &str, call: Call) -> ItemStream {
        self.destination(process, process).stream(call)
    }

    /// Gives the current thread connections of its own, for calls that would otherwise wait for
    /// two threads to wake up. For threads that call often, such as workers that serve pages, and
    /// are not blocked for long: while they are, their connections stand still.
    ///
    /// Inside a tokio runtime that runs on this thread alone. Called again, or by more than 63
    /// threads, it does nothing: calls go through the endpoint's own threads then.
    ///
    /// # Errors
    ///
    /// When the system gives no socket.
    pub fn attach(&self) -> io::Result<()> {
        self.lines.attach()
    }

    /// Closes the connections of threads that attached themselves, once what they have in flight
    /// is done: before such a thread ends, for its connections end with it, and peers would learn
    /// that only from their silence. What it calls after this goes through the endpoint's own.
    pub fn detach(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.lines.detach();
        let lines = Arc::clone(&self.lines);
        async move {
            // Fails only if the registry is gone, and `lines` holds it.
            let _ = lines
                .registry
                .busy()
                .wait_for(|busy| busy.attached == 0)
                .await;
        }
    }

    /// The processes at the other ends: those this one has called, and those connected to it.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let mut peers = self.lines.registry.status();
        peers.extend(self.lines.status());
        peers
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.security.tally.read()
    }

    /// What this process trusts, and the certificate it shows.
    pub fn certificates(&self) -> CertificateStatus {
        let Security {
            trust,
            identity,
            leases,
            ..
        } = &self.security;
        let material = trust.current();
        CertificateStatus {
            issuer: material.issuing(),
            roots: material.fingerprints.clone(),
            valid_until: identity.valid_until(),
            connections_outdated: leases.outdated(),
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

    /// Drains for at most `within`, then closes what is left and joins the network threads.
    ///
    /// Blocks. Called again, or from a network thread itself, it does not wait.
    pub fn close(&self, within: Duration) {
        let threads = self.threads.lock();
        let threads = std::mem::take(&mut *threads.unwrap_or_else(PoisonError::into_inner));
        let Some(first) = self.networks.first().filter(|_| !threads.is_empty()) else {
            return;
        };
        if within.is_zero() {
            // Peers are not asked to go: quinn sends what a connection still has to say before its
            // last word, and if the network has no room for the former, drops the latter
            // (quinn-rs/quinn#2785; fixed after quinn-proto 0.11.19).
            self.lines.registry.refuse_new();
            self.lines.close();
            self.stop();
        } else {
            let drained = self.drain();
            let runtime = first.runtime.clone();
            let (networks, lines) = (self.networks.clone(), Arc::clone(&self.lines));
            runtime.spawn(async move {
                let _ = tokio::time::timeout(within, drained).await;
                lines.stop();
                networks.iter().for_each(Network::stop);
            });
        }
        let current = std::thread::current().id();
        for thread in threads {
            if thread.thread().id() != current {
                // A panic on a network thread was reported when it happened.
                let _ = thread.join();
            }
        }
    }

    fn stop(&self) {
        self.lines.stop();
        self.networks.iter().for_each(Network::stop);
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
