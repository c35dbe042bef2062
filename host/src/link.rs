//! Where QUIC meets the kernel: what other processes ask of this one's modules.

use std::sync::Weak;

use modulith_kernel::{Call, Carried, Node, Priority};
use modulith_quic::{Incoming, ServeFuture, ServeStream, Service};
use tokio::time::Instant;

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
