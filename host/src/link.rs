//! Where QUIC meets the kernel: what other processes ask, and where they are.

use std::{collections::HashMap, net::SocketAddr, sync::Weak};

use modulith_kernel::{Call, Carried, Node, Priority};
use modulith_quic::{Incoming, Names, ServeFuture, Service};
use tokio::time::Instant;

use crate::{
    config::Config,
    run_folder::{Addresses, RunFolder},
};

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
        node.serve(Call {
            caller: request.caller,
            message: request.message,
            partition: request.partition,
            id: request.message_id,
            carried: carried(request.priority, &request.baggage),
            deadline: Instant::from_std(request.deadline),
            body: request.body,
        })
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
