//! The way from any thread to the task that keeps the connection to one process.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use modulith_contract::Fault;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    close,
    items::Sink,
    slot::Slot,
    status::{PeerState, PeerStatus, Side},
};

/// A call on its way to the network thread.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) slot: Arc<Slot>,
    /// The index of the calling module in this process's hello.
    pub(crate) caller: u16,
    pub(crate) message: Arc<str>,
    pub(crate) message_id: u128,
    pub(crate) partition: u16,
    pub(crate) priority: u8,
    pub(crate) baggage: Vec<u8>,
    pub(crate) deadline: Instant,
    /// Whether it may outlast failed attempts to connect to a replica that is restarting.
    pub(crate) waits_for_restart: bool,
    pub(crate) body: Vec<u8>,
    /// Where items go, if the answer is to be a stream of them.
    pub(crate) items: Option<Sink>,
}

/// What callers want from the task.
#[derive(Debug)]
pub(crate) enum Order {
    Call(Pending),
    /// Nobody waits for this call any more.
    Cancel(Arc<Slot>),
    /// Finish what is in flight, then end.
    Drain,
    /// The replica is gone for good: finish what is in flight, fail what was not sent, then end.
    Leave,
}

/// One process this endpoint calls. Shared by the endpoint, the task and every open call.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) process: Arc<str>,
    /// Which of its replicas.
    pub(crate) instance: Arc<str>,
    orders: UnboundedSender<Order>,
    /// Calls that were not sent yet. Bounds the channel; cancellations need no bound of their
    /// own, as there is at most one for each call.
    waiting: AtomicUsize,
    waiting_max: usize,
    pub(crate) in_flight: AtomicUsize,
    link: Mutex<LinkState>,
}

/// What `status` shows of the connection.
#[derive(Debug)]
pub(crate) enum LinkState {
    Up(quinn::Connection),
    Down(Option<String>),
}

/// When another try is worth it after the queue was full: half of what it holds is gone by then.
const RETRY_AFTER_MS: u32 = 10;

impl Line {
    pub(crate) fn new(
        process: Arc<str>,
        instance: Arc<str>,
        orders: UnboundedSender<Order>,
        waiting_max: usize,
    ) -> Self {
        Self {
            process,
            instance,
            orders,
            waiting: AtomicUsize::new(0),
            waiting_max,
            in_flight: AtomicUsize::new(0),
            link: Mutex::new(LinkState::Down(None)),
        }
    }

    /// Queues a call, unless too many wait already.
    pub(crate) fn call(&self, call: Pending) -> Result<(), Fault> {
        // The last places are for what matters more than most.
        let most = match call.priority {
            0 | 1 => self.waiting_max,
            2 => self.waiting_max - self.waiting_max / 8,
            _ => self.waiting_max / 2,
        };
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= most {
            self.left_queue();
            return Err(Fault::Overloaded {
                module: module_of(&call.message).to_owned(),
                retry_after_ms: RETRY_AFTER_MS,
            });
        }
        self.orders.send(Order::Call(call)).map_err(|refused| {
            self.left_queue();
            let message = match &refused.0 {
                Order::Call(call) => module_of(&call.message).to_owned(),
                Order::Cancel(_) | Order::Drain | Order::Leave => String::new(),
            };
            unreachable(&message, "this process is shutting down")
        })
    }

    pub(crate) fn order(&self, order: Order) {
        // When the task has ended, nothing is left to cancel or drain.
        let _ = self.orders.send(order);
    }

    /// Notes that a call does not wait to be sent any more.
    pub(crate) fn left_queue(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    fn link(&self) -> MutexGuard<'_, LinkState> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_link(&self, state: LinkState) {
        *self.link() = state;
    }

    pub(crate) fn status(&self) -> PeerStatus {
        let state = match &*self.link() {
            LinkState::Up(connection) => PeerState::Connected {
                address: close::address(connection),
                rtt: connection.rtt(),
            },
            LinkState::Down(reason) => PeerState::Disconnected {
                reason: reason.clone(),
            },
        };
        PeerStatus {
            process: Arc::clone(&self.process),
            instance: Arc::clone(&self.instance),
            side: Side::Dialled,
            state,
            in_flight: self.in_flight.load(Ordering::Relaxed),
        }
    }
}

/// The module that a message is for: what stands before the dot.
pub(crate) fn module_of(message: &str) -> &str {
    message
        .split_once('.')
        .map_or(message, |(module, _)| module)
}

pub(crate) fn unreachable(module: &str, reason: &str) -> Fault {
    Fault::Unreachable {
        module: module.to_owned(),
        reason: reason.to_owned(),
    }
}
