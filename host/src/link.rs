//! Where the kernel meets QUIC: modules ask modules, processes call processes.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock, Weak},
};

use futures_util::{
    future::BoxFuture,
    stream::{BoxStream, once},
};
use modulith_kernel::{Call, Carried, Fault, Network, Node, Priority};
use modulith_quic::{Endpoint, Incoming, Names, ServeFuture, ServeStream, Service};
use tokio::time::Instant;

use crate::{
    config::Config,
    run_folder::{Addresses, RunFolder},
};

/// Sends what modules ask to the processes that host them.
pub(crate) struct Link {
    hosts: HashMap<&'static str, Arc<str>>,
    endpoint: OnceLock<Arc<Endpoint>>,
}

impl Link {
    pub(crate) fn new(config: &Config) -> Self {
        let of_process = |process: &crate::config::ProcessConfig| {
            let name: Arc<str> = process.name.as_str().into();
            process
                .modules
                .iter()
                .map(move |module| (*module, name.clone()))
                .collect::<Vec<_>>()
        };
        let hosts = config.processes.iter().flat_map(of_process).collect();
        Self {
            hosts,
            endpoint: OnceLock::new(),
        }
    }

    /// Opens the way out. Until then every call is unreachable.
    pub(crate) fn connect(&self, endpoint: Arc<Endpoint>) {
        assert!(
            self.endpoint.set(endpoint).is_ok(),
            "a link is connected once"
        );
    }

    /// Where a call goes, or why nowhere.
    fn way(&self, call: &Call) -> Result<(&Arc<Endpoint>, &Arc<str>), Fault> {
        let unreachable = |reason: &str| Fault::Unreachable {
            module: call.module().to_string(),
            reason: reason.to_string(),
        };
        let process = self.hosts.get(call.module());
        let process = process.ok_or_else(|| unreachable("no process hosts it"))?;
        let endpoint = self.endpoint.get();
        let endpoint = endpoint.ok_or_else(|| unreachable("this process is still starting"))?;
        Ok((endpoint, process))
    }
}

impl Network for Link {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>> {
        match self.way(&call) {
            Ok((endpoint, process)) => Box::pin(endpoint.call(process, outgoing(call))),
            Err(fault) => Box::pin(async move { Err(fault) }),
        }
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
        match self.way(&call) {
            Ok((endpoint, process)) => Box::pin(endpoint.stream(process, outgoing(call))),
            Err(fault) => Box::pin(once(async move { Err(fault) })),
        }
    }
}

fn outgoing(call: Call) -> modulith_quic::Call {
    modulith_quic::Call {
        caller: call.caller,
        message: call.message,
        message_id: call.id,
        partition: call.partition,
        priority: call.carried.priority as u8,
        baggage: call.carried.tag().unwrap_or_default().as_bytes().to_vec(),
        deadline: call.deadline.into_std(),
        body: call.body,
    }
}

/// Serves what other processes ask of this one's modules.
pub(crate) struct Reception {
    pub(crate) node: Weak<Node>,
}

impl Service for Reception {
    fn serve(&self, request: Incoming) -> ServeFuture {
        let Some(node) = self.node.upgrade() else {
            // The node is dropped only after the endpoint is closed; nobody reads this reply.
            return Box::pin(async { Vec::new() });
        };
        node.serve(incoming(request))
    }

    fn stream(&self, request: Incoming) -> Option<ServeStream> {
        // The node is dropped only after the endpoint is closed.
        let node = self.node.upgrade()?;
        Some(node.serve_stream(incoming(request)))
    }
}

fn incoming(request: Incoming) -> Call {
    Call {
        caller: request.caller,
        message: request.message,
        partition: request.partition,
        id: request.message_id,
        carried: carried(request.priority, &request.baggage),
        deadline: Instant::from_std(request.deadline),
        body: request.body,
    }
}

/// What a request carried here. Baggage that is no tag is left behind.
fn carried(priority: u8, baggage: &[u8]) -> Carried {
    let carried = Carried::of(Priority::from_u8(priority));
    match std::str::from_utf8(baggage) {
        Ok(tag) => carried.tagged(tag),
        Err(_) => carried,
    }
}

/// Finds processes: by the configuration, or by what they wrote down when they started.
pub(crate) struct Directory {
    configured: HashMap<String, SocketAddr>,
    run: RunFolder,
}

impl Directory {
    pub(crate) fn new(config: &Config, run: RunFolder) -> Self {
        let fixed = |process: &crate::config::ProcessConfig| {
            let address = process.quic.filter(|address| address.port() != 0)?;
            Some((process.name.clone(), address))
        };
        Self {
            configured: config.processes.iter().filter_map(fixed).collect(),
            run,
        }
    }
}

impl Names for Directory {
    fn resolve(&self, process: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        if let Some(address) = self.configured.get(process) {
            return Ok(vec![*address]);
        }
        match self
            .run
            .read::<Addresses>(process)
            .and_then(|addresses| addresses.quic)
        {
            Some(address) => Ok(vec![address]),
            None => Err(format!("process {process} is not running")),
        }
    }
}

#[cfg(test)]
mod tests;
