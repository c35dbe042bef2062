//! Modulith between two processes: real nodes, joined to QUIC as the host joins them.
//!
//! What is particular to our transport is here and nowhere else in the benchmark.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use fastrand::Rng;
use modulith_contract::Fault;
use modulith_kernel::{
    Call, Carried, Environment, Manifest, Module, Network, Node, NodeBuilder, Port,
};
use modulith_quic::{
    Authority, Destination, Endpoint, Incoming, MessageSchema, Names, ServeFuture, Service,
};
use tokio::time::Instant;

use super::echo::{Asker, Echo, Repeat};
use crate::error::Error;
use crate::load::Contender;
use crate::usage::Processes;

/// Who is who in reports and faults.
const WHO: &str = "Modulith";

/// What the process that answers is called.
pub(crate) const SERVER: &str = "server";

/// What a process that asks is called, where there is one.
pub(crate) const CLIENT: &str = "client";

/// How long a caller waits for a reply. Longer than the kernel's default: a bad moment of a shared
/// machine belongs into the figures and must not end the run.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long connections may take to finish what is in flight.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Starts the node that answers. Inside an actix system.
pub(crate) fn answering(folder: &Path, network: Arc<Link>) -> Result<Arc<Node>, Error> {
    let mut builder = NodeBuilder::new(Environment::real(folder));
    builder.host::<Echo>(()).neighbour(Manifest::of::<Asker>());
    builder.network(network);
    builder.start().map_err(Error::Node)
}

/// Starts a node that asks through a network. Inside an actix system.
pub(crate) fn asking(folder: &Path, network: Arc<dyn Network>) -> Result<Arc<Node>, Error> {
    let mut builder = NodeBuilder::new(Environment::real(folder));
    builder.host::<Asker>(()).neighbour(Manifest::of::<Echo>());
    builder.network(network);
    builder.start().map_err(Error::Node)
}

/// The port of the module that asks.
pub(crate) fn port(node: &Node) -> Port {
    node.port(Asker::NAME)
        .expect("the side that asks hosts the module that asks")
}

/// One side: a node and its way to other processes.
pub(crate) struct Side {
    node: Arc<Node>,
    endpoint: Arc<Endpoint>,
}

impl Side {
    /// Starts the side that answers, with network threads that look for news for `spin` before
    /// they sleep. Inside an actix system.
    pub(crate) fn serve(folder: &Path, spin: Duration) -> Result<Self, Error> {
        let link = Arc::new(Link::default());
        let node = answering(&folder.join(SERVER), link.clone())?;
        let mut options = options(&node, folder, SERVER, Echo::NAME)?;
        options.listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        options.spin = spin;
        Self::start(node, &link, options, None)
    }

    /// Starts a side that asks, as a process with a name of its own. Inside an actix system.
    pub(crate) fn ask(
        folder: &Path,
        process: &str,
        server: SocketAddr,
        spin: Duration,
    ) -> Result<Self, Error> {
        let link = Arc::new(Link::default());
        let node = asking(&folder.join(process), link.clone())?;
        let mut options = options(&node, folder, process, Asker::NAME)?;
        options.spin = spin;
        Self::start(node, &link, options, Some(server))
    }

    fn start(
        node: Arc<Node>,
        link: &Link,
        options: modulith_quic::Options,
        server: Option<SocketAddr>,
    ) -> Result<Self, Error> {
        let reception = Arc::new(Reception(Arc::downgrade(&node)));
        let endpoint = Endpoint::start(options, reception, Arc::new(Directory(server)))
            .map_err(Error::of(WHO, "start its endpoint"))?;
        let endpoint = Arc::new(endpoint);
        link.connect(endpoint.clone());
        Ok(Self { node, endpoint })
    }

    /// Where the side that answers listens.
    pub(crate) fn address(&self) -> Result<SocketAddr, Error> {
        self.endpoint.address().ok_or(Error::NoAddress(WHO))
    }

    /// Closes every connection. Blocks until the network thread has ended.
    pub(crate) fn close(&self) {
        self.endpoint.close(CLOSE_MAX);
    }
}

/// Who a process is, with certificates from the authority that all share.
fn options(
    node: &Node,
    folder: &Path,
    process: &str,
    module: &str,
) -> Result<modulith_quic::Options, Error> {
    let authority = Authority::open(&folder.join("pki"))
        .map_err(Error::of(WHO, "open its certificate authority"))?;
    let mut options = modulith_quic::Options::new("compare", process, authority);
    options.modules = vec![module.to_owned()];
    options.messages = node
        .messages()
        .iter()
        .map(|(name, fingerprint)| MessageSchema {
            name: name.clone(),
            fingerprint: fingerprint.0,
        })
        .collect();
    Ok(options)
}

/// Sends what modules ask to the one process there is.
#[derive(Default)]
pub(crate) struct Link {
    endpoint: OnceLock<Arc<Endpoint>>,
    server: OnceLock<Destination>,
}

impl Link {
    fn connect(&self, endpoint: Arc<Endpoint>) {
        let fresh = self.endpoint.set(endpoint).is_ok();
        assert!(fresh, "a link is connected once");
    }
}

impl Network for Link {
    fn call(&self, call: Call) -> futures_util::future::BoxFuture<'static, Result<Vec<u8>, Fault>> {
        let Some(endpoint) = self.endpoint.get() else {
            let module = call.module().to_owned();
            let reason = "this process is still starting".to_owned();
            return Box::pin(async move { Err(Fault::Unreachable { module, reason }) });
        };
        let server = self
            .server
            .get_or_init(|| endpoint.destination(SERVER, SERVER));
        Box::pin(server.call(modulith_quic::Call {
            caller: call.caller,
            message: call.message,
            message_id: call.id,
            partition: call.partition,
            priority: call.carried.priority as u8,
            baggage: Vec::new(),
            deadline: call.deadline.into_std(),
            body: call.body,
        }))
    }
}

/// Serves what the other process asks.
struct Reception(Weak<Node>);

impl Service for Reception {
    fn serve(&self, request: Incoming) -> ServeFuture {
        let Some(node) = self.0.upgrade() else {
            // The node is dropped only after the endpoint is closed; nobody reads this reply.
            return Box::pin(async { Vec::new() });
        };
        node.serve(Call {
            caller: request.caller,
            message: request.message,
            partition: request.partition,
            id: request.message_id,
            carried: Carried::default(),
            deadline: Instant::from_std(request.deadline),
            body: request.body,
        })
    }
}

/// Knows where the one process listens.
struct Directory(Option<SocketAddr>);

impl Names for Directory {
    fn resolve(&self, process: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        self.0
            .map(|address| vec![address])
            .ok_or_else(|| format!("nobody knows {process}"))
    }
}

/// Asks for a text of a given size through the ports of one or more processes.
#[derive(Clone)]
pub(crate) struct Asks {
    sides: Arc<[Arc<Side>]>,
    ports: Arc<[Port]>,
    text: Arc<str>,
    is_attached: bool,
    processes: Processes,
}

impl Asks {
    /// Of callers that share one process, or draw one of several for each request. Connections
    /// are on the processes' own network threads.
    pub(crate) fn new(sides: &[Arc<Side>], bytes: usize, processes: Processes) -> Self {
        Self {
            sides: sides.into(),
            ports: sides.iter().map(|side| port(&side.node)).collect(),
            text: "x".repeat(bytes).into(),
            is_attached: false,
            processes,
        }
    }

    /// With connections on the callers' own thread, as workers that serve pages have them. Each
    /// window has such a thread; an endpoint takes 63 of them, twice as many as a run has.
    pub(crate) fn attached(self) -> Self {
        Self {
            is_attached: true,
            ..self
        }
    }
}

/// One caller, and its dice.
pub(crate) struct Caller {
    ports: Arc<[Port]>,
    text: Arc<str>,
    random: Rng,
}

impl Caller {
    pub(crate) fn new(ports: Arc<[Port]>, text: Arc<str>, number: u16) -> Self {
        Self {
            ports,
            text,
            random: Rng::with_seed(number.into()),
        }
    }
}

impl Contender for Asks {
    type Caller = Caller;

    async fn caller(&self, number: u16) -> Result<Caller, Error> {
        if self.is_attached && number == 0 {
            for side in &*self.sides {
                let attached = side.endpoint.attach();
                attached.map_err(Error::of(WHO, "open a socket"))?;
            }
        }
        let (ports, text) = (self.ports.clone(), self.text.clone());
        Ok(Caller::new(ports, text, number))
    }

    async fn once(caller: &mut Caller) -> Result<(), Error> {
        let port = match &*caller.ports {
            [port] => port,
            ports => &ports[caller.random.usize(..ports.len())],
        };
        let query = Repeat {
            text: caller.text.as_ref().to_owned(),
        };
        let reply = port.ask_within(query, PATIENCE).await?;
        same(WHO, &reply, &caller.text)
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}

/// Checks a reply as far as it can be without touching all of it: nobody pays for the checking.
pub(crate) fn same(who: &'static str, reply: &str, sent: &str) -> Result<(), Error> {
    if reply.len() == sent.len() && reply.as_bytes().last() == sent.as_bytes().last() {
        Ok(())
    } else {
        Err(Error::WrongReply(who))
    }
}
