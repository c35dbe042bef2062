//! Which connections there are, for `status` and for stopping.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use quinn::Connection;
use tokio::sync::{mpsc::UnboundedSender, watch};

use crate::{Peer, PeerState, PeerStatus, Side, accepted::News, close};

/// Everything that has to end before an endpoint has stopped.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    accepted: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    is_draining: AtomicBool,
    busy: watch::Sender<Busy>,
}

/// How much is still going on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Busy {
    /// Connections that peers opened.
    pub(crate) accepted: usize,
    /// Replicas that this process calls, once for each thread it calls them from.
    pub(crate) links: usize,
    /// Those of them on threads that attached themselves.
    pub(crate) attached: usize,
}

/// A connection that a peer opened.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) connection: Connection,
    pub(crate) peer: Arc<Peer>,
    pub(crate) tell: UnboundedSender<News>,
    pub(crate) in_flight: AtomicUsize,
}

impl Registry {
    fn accepted(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a connection until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, entry: Arc<Entry>) -> Registration {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        let mut accepted = self.accepted();
        // Asked under the lock that `drain` takes after it has changed the answer.
        if self.is_draining() {
            let _ = entry.tell.send(News::Drain);
        }
        accepted.insert(key, entry);
        self.count(accepted.len());
        Registration {
            registry: Arc::clone(self),
            key,
        }
    }

    fn count(&self, accepted: usize) {
        self.busy.send_modify(|busy| busy.accepted = accepted);
    }

    pub(crate) fn connections(&self) -> usize {
        self.accepted().len()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Accepts no more connections.
    pub(crate) fn refuse_new(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    /// Accepts no more connections, and tells those there are.
    pub(crate) fn drain(&self) {
        self.refuse_new();
        for entry in self.accepted().values() {
            let _ = entry.tell.send(News::Drain);
        }
    }

    pub(crate) fn busy(&self) -> watch::Receiver<Busy> {
        self.busy.subscribe()
    }

    /// Counts a link until the guard is dropped.
    pub(crate) fn count_link(self: &Arc<Self>, is_attached: bool) -> LinkGuard {
        self.busy.send_modify(|busy| {
            busy.links += 1;
            busy.attached += usize::from(is_attached);
        });
        LinkGuard {
            registry: Arc::clone(self),
            is_attached,
        }
    }

    pub(crate) fn status(&self) -> Vec<PeerStatus> {
        let accepted = self.accepted();
        let status = |entry: &Arc<Entry>| PeerStatus {
            process: Arc::clone(&entry.peer.process),
            instance: Arc::clone(&entry.peer.process),
            side: Side::Accepted,
            state: PeerState::Connected {
                address: close::address(&entry.connection),
                rtt: entry.connection.rtt(),
            },
            in_flight: entry.in_flight.load(Ordering::Relaxed),
        };
        accepted.values().map(status).collect()
    }
}

/// Takes a connection off the list when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<Registry>,
    key: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut accepted = self.registry.accepted();
        accepted.remove(&self.key);
        self.registry.count(accepted.len());
    }
}

/// Counts a link out when dropped.
#[derive(Debug)]
pub(crate) struct LinkGuard {
    registry: Arc<Registry>,
    is_attached: bool,
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        self.registry.busy.send_modify(|busy| {
            busy.links -= 1;
            busy.attached -= usize::from(self.is_attached);
        });
    }
}
