//! A simulated network: it loses, delays, reorders and duplicates calls, cuts connections, and
//! separates nodes for a time. On virtual time, by the dice of one seed.
//!
//! A call that arrives twice has the same id both times. As in the real transport, the time left to
//! a call travels with it and is counted from its arrival, and an asker that gives up cancels its
//! call, unless the cancellation is lost as well.

mod fate;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fastrand::Rng;
use futures_util::future::BoxFuture;
use modulith_kernel::{Call, Fault, Network, Node};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinSet},
};

pub(crate) use self::fate::Rates;
use crate::{disk::Disk, tally::Tally, trace::Trace};

/// Connects nodes, each known by its number.
#[derive(Clone)]
pub(crate) struct Net {
    shared: Arc<Shared>,
}

struct Shared {
    trace: Arc<Trace>,
    state: Mutex<State>,
}

struct State {
    rates: Rates,
    /// Whether any command may arrive twice.
    commands_once: bool,
    rng: Rng,
    /// Where each module lives.
    homes: BTreeMap<&'static str, usize>,
    peers: Vec<Peer>,
    /// Pairs of nodes that do not reach each other.
    parted: BTreeSet<(usize, usize)>,
    /// Tells of a cut, by pair of nodes.
    cuts: BTreeMap<(usize, usize), Arc<Notify>>,
    /// What is on its way.
    wires: JoinSet<()>,
    /// When the last request to each module is to arrive, to know which are overtaken.
    arrivals: BTreeMap<&'static str, tokio::time::Instant>,
    seen: Vec<(Arc<str>, Vec<u8>)>,
    tally: Tally,
}

/// A node as the network sees it.
struct Peer {
    /// None while it is down.
    node: Option<Arc<Node>>,
    disk: Disk,
    /// What it is serving; dropped when it crashes.
    serving: JoinSet<()>,
}

impl Net {
    pub(crate) fn new(
        seed: u64,
        rates: Rates,
        homes: BTreeMap<&'static str, usize>,
        disks: Vec<Disk>,
        trace: Arc<Trace>,
    ) -> Self {
        let peers = disks.into_iter().map(|disk| Peer {
            node: None,
            disk,
            serving: JoinSet::new(),
        });
        let state = State {
            rates,
            commands_once: true,
            rng: Rng::with_seed(seed),
            homes,
            peers: peers.collect(),
            parted: BTreeSet::new(),
            cuts: BTreeMap::new(),
            wires: JoinSet::new(),
            arrivals: BTreeMap::new(),
            seen: Vec::new(),
            tally: Tally::default(),
        };
        Self {
            shared: Arc::new(Shared {
                trace,
                state: Mutex::new(state),
            }),
        }
    }

    /// Spares the commands that the kernel does not take once yet: they never arrive twice.
    pub(crate) fn spare_commands(&self) {
        self.state().commands_once = false;
    }

    /// The network as one node sees it.
    pub(crate) fn link(&self, from: usize) -> Arc<dyn Network> {
        let net = self.clone();
        Arc::new(Link { net, from })
    }

    /// A node is up, and served from now on.
    pub(crate) fn join(&self, peer: usize, node: Arc<Node>) {
        self.state().peers[peer].node = Some(node);
    }

    /// A node is down: what it was serving is gone. None when it was down already.
    pub(crate) fn leave(&self, peer: usize) -> Option<Arc<Node>> {
        let mut state = self.state();
        let peer = &mut state.peers[peer];
        peer.serving = JoinSet::new();
        peer.node.take()
    }

    /// A node that is up.
    pub(crate) fn node(&self, peer: usize) -> Option<Arc<Node>> {
        self.state().peers[peer].node.clone()
    }

    /// Lets two nodes not reach each other, or again.
    pub(crate) fn part(&self, one: usize, other: usize, are_parted: bool) {
        let mut state = self.state();
        if are_parted {
            state.parted.insert(pair(one, other));
        } else {
            state.parted.remove(&pair(one, other));
        }
    }

    /// Breaks the connection of two nodes: each call on it ends in a fault.
    pub(crate) fn cut(&self, one: usize, other: usize) {
        let mut state = self.state();
        state.tally.faults.connections_cut += 1;
        if let Some(cut) = state.cuts.get(&pair(one, other)) {
            cut.notify_waiters();
        }
    }

    /// Does nothing wrong any more. What was sent before stays on its way.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.rates = Rates::default();
        state.parted.clear();
    }

    /// The bodies of all requests of a name that were sent.
    pub(crate) fn seen(&self, message: &str) -> Vec<Vec<u8>> {
        let state = self.state();
        let seen = state.seen.iter().filter(|(name, _)| &**name == message);
        seen.map(|(_, body)| body.clone()).collect()
    }

    /// What it carried and what it did wrong.
    pub(crate) fn tally(&self) -> Tally {
        self.state().tally
    }

    /// Lets go of every node and of all that is on its way.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.wires = JoinSet::new();
        state.peers.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn are_parted(&self, one: usize, other: usize) -> bool {
        self.parted.contains(&pair(one, other))
    }

    fn cut_of(&mut self, one: usize, other: usize) -> Arc<Notify> {
        self.cuts.entry(pair(one, other)).or_default().clone()
    }

    fn spawn_wire(&mut self, wire: impl Future<Output = ()> + 'static) -> AbortHandle {
        while self.wires.try_join_next().is_some() {}
        self.wires.spawn_local(wire)
    }
}

fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

struct Link {
    net: Net,
    from: usize,
}

impl Network for Link {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>> {
        let (net, from) = (self.net.clone(), self.from);
        Box::pin(async move { net.carry(from, call).await })
    }
}
