//! The flows of one module that are running, and whoever waits for their outcome.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// How many flows of a module may run at once.
///
/// Most of them wait for others most of the time; beyond a few thousand, callers only wait longer.
pub const FLOWS_RUNNING_MAX: usize = 4096;

/// An encoded outcome, once there is one.
pub(crate) type Reply = Option<Arc<[u8]>>;

/// The running flows of a module, by id.
#[derive(Default)]
pub(crate) struct Flows(Mutex<BTreeMap<u128, Entry>>);

/// A running flow, for those outside of it.
pub(crate) struct Entry {
    /// The command that started it.
    pub(super) name: &'static str,
    pub(super) digest: u128,
    pub(super) control: Arc<Control>,
}

/// What is shouted into a running flow, and out of it.
pub(crate) struct Control {
    /// Why its code must not go on.
    pub(super) halt: watch::Sender<Option<Halt>>,
    /// Rises when something it waits for has come.
    pub(super) woken: watch::Sender<u64>,
    /// What its callers are told.
    pub(super) reply: watch::Sender<Reply>,
}

/// Why a flow's code must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Halt {
    /// The journal is not that of this code.
    Mismatch(String),
    /// An operator cancelled it, or it is being undone already.
    Cancelled,
}

impl Control {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            halt: watch::Sender::new(None),
            woken: watch::Sender::new(0),
            reply: watch::Sender::new(None),
        })
    }

    /// Tells the callers what the command came to. The first outcome stays.
    pub(super) fn tell(&self, outcome: &[u8]) {
        self.reply.send_if_modified(|reply| {
            let first = reply.is_none();
            if first {
                *reply = Some(outcome.into());
            }
            first
        });
    }

    /// Stops the flow's code. The first reason stays.
    pub(super) fn halt(&self, reason: Halt) {
        self.halt.send_if_modified(|halt| {
            let first = halt.is_none();
            if first {
                *halt = Some(reason);
            }
            first
        });
    }
}

impl Flows {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<u128, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells flows that something they wait for has come.
    pub(crate) fn wake(&self, ids: &[u128]) {
        let entries = self.lock();
        for entry in ids.iter().filter_map(|id| entries.get(id)) {
            entry.control.woken.send_modify(|count| *count += 1);
        }
    }
}
