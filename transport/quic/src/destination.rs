//! One replica of a process, as something to send calls to.

use std::{
    fmt,
    sync::{Arc, OnceLock, Weak},
};

use modulith_contract::Fault;

use crate::{
    Call, CallFuture, ItemStream, PeerStatus,
    items::{self, Sink},
    line::{Line, Order, Pending, module_of, unreachable},
    lines::Lines,
    seat::SEATS_MAX,
    slot::Slot,
};

/// Where calls for one replica of a process go. Cheap to clone.
///
/// Connects when it is first called, from each thread that has connections of its own
/// ([`Endpoint::attach`](crate::Endpoint::attach)), and stays connected.
#[derive(Clone)]
pub struct Destination {
    to: Arc<To>,
    waits_for_restart: bool,
}

pub(crate) struct To {
    process: Arc<str>,
    instance: Arc<str>,
    endpoint: Weak<Lines>,
    /// A line for each thread with connections of its own.
    lines: [OnceLock<Arc<Line>>; SEATS_MAX],
}

impl Destination {
    pub(crate) fn new(process: &str, instance: &str, endpoint: Weak<Lines>) -> Self {
        let to = To {
            process: process.into(),
            instance: instance.into(),
            endpoint,
            lines: [const { OnceLock::new() }; SEATS_MAX],
        };
        Self {
            to: Arc::new(to),
            waits_for_restart: true,
        }
    }

    /// The process.
    pub fn process(&self) -> &Arc<str> {
        &self.to.process
    }

    /// Which of its replicas, as [`Names`](crate::Names) knows it.
    pub fn instance(&self) -> &Arc<str> {
        &self.to.instance
    }

    /// The same replica, for calls that fail with the first attempt to connect, also when it is
    /// only restarting: for callers that have somewhere else to go.
    #[must_use]
    pub fn impatient(&self) -> Self {
        Self {
            to: Arc::clone(&self.to),
            waits_for_restart: false,
        }
    }

    /// Sends a request. From any thread, in or out of any runtime.
    ///
    /// The request is on its way whether or not the future is polled; dropping the future cancels
    /// it. The outcome is [`Fault::Late`] at the deadline at the latest. [`Fault::Unreachable`]
    /// says in `reason` what stood in the way; if the connection broke after the request was sent,
    /// nobody knows whether it took effect.
    pub fn call(&self, call: Call) -> CallFuture {
        match self.send(call, None) {
            Ok(future) => future,
            Err(fault) => CallFuture::refused(fault),
        }
    }

    /// Sends a request that is answered by a stream of items. From any thread, as
    /// [`Destination::call`].
    ///
    /// The items end with [`Fault::Unreachable`] if the connection broke, never silently.
    /// [`Fault::Overloaded`] when [`Limits::streams_in_flight_max`](crate::Limits) of them are
    /// open on the connection.
    pub fn stream(&self, call: Call) -> ItemStream {
        let message = Arc::clone(&call.message);
        let (sink, batches) = items::sink();
        let sent = self.send(call, Some(sink));
        let begun = sent.unwrap_or_else(CallFuture::refused);
        ItemStream::new(begun, message, batches)
    }

    fn send(&self, call: Call, items: Option<Sink>) -> Result<CallFuture, Fault> {
        let closing = |call: &Call| {
            let module = module_of(&call.message);
            unreachable(module, "this process is shutting down")
        };
        let endpoint = self.to.endpoint.upgrade().ok_or_else(|| closing(&call))?;
        let caller = endpoint.caller(&call)?;
        let seat = endpoint.seat();
        let line = match self.to.lines.get(seat).and_then(OnceLock::get) {
            Some(line) => line,
            None => endpoint.open(self, seat).ok_or_else(|| closing(&call))?,
        };
        let slot = Arc::new(Slot::default());
        line.call(Pending {
            slot: Arc::clone(&slot),
            caller,
            message: call.message,
            message_id: call.message_id,
            partition: call.partition,
            priority: call.priority,
            baggage: call.baggage,
            deadline: call.deadline,
            waits_for_restart: self.waits_for_restart,
            body: call.body,
            items,
        })?;
        Ok(CallFuture::waiting(slot, Arc::clone(line)))
    }

    /// Closes the connections once the calls in flight are done: for a replica that is gone. Calls
    /// that wait for a connection to it are [`Fault::Unreachable`] at once, and so are later ones;
    /// those that come at this moment may still go through.
    pub fn close(&self) {
        if let Some(endpoint) = self.to.endpoint.upgrade() {
            endpoint.forget(self);
        }
        for line in self.lines() {
            line.order(Order::Leave);
        }
    }

    pub(crate) fn drain(&self) {
        self.drain_from(0);
    }

    /// Closes the connections from this seat on.
    pub(crate) fn drain_from(&self, seat: usize) {
        for line in self.to.lines.iter().skip(seat).filter_map(OnceLock::get) {
            line.order(Order::Drain);
        }
    }

    /// How each of its connections stands.
    pub fn status(&self) -> Vec<PeerStatus> {
        self.lines().map(|line| line.status()).collect()
    }

    /// The line of a thread, opened if there is none. Only while nothing is being closed.
    pub(crate) fn line(&self, seat: usize, open: impl FnOnce() -> Arc<Line>) -> Option<&Arc<Line>> {
        Some(self.to.lines.get(seat)?.get_or_init(open))
    }

    fn lines(&self) -> impl Iterator<Item = &Arc<Line>> {
        self.to.lines.iter().filter_map(OnceLock::get)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("process", &self.to.process)
            .field("instance", &self.to.instance)
            .finish_non_exhaustive()
    }
}
