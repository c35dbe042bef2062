//! The boutique's real modules on simulated nodes: one thread, virtual time, disks in memory.
//!
//! Two modules are stand-ins: shoppers ask through one that has no pages, and letters go into one
//! that only counts them, because the real one writes files from other threads. One is ours: the
//! ledger listens to everything and counts.

pub(crate) mod audit;
mod clock;
mod module;
pub(crate) mod shopper;
mod stand_in;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use fastrand::Rng;
use modulith_kernel::{Environment, Node, NodeBuilder, NodeError, Port, SeededRandomness};
use tokio::time::sleep;

pub(crate) use self::module::{MODULES, Module};
use self::{clock::VirtualClock, stand_in::Storefront};
use crate::{
    disk::{Crash, Disk},
    network::{Net, Rates},
    tally::{Faults, Tally},
    trace::Trace,
};

/// The number of the node that shoppers ask through. It hosts no other module and never crashes.
pub(crate) const SHOPPERS: usize = 0;

/// How long a node that cannot start, because its disk fails, waits to try again.
const START_AGAIN: Duration = Duration::from_millis(250);

/// A running shop.
pub(crate) struct Shop {
    pub(crate) net: Net,
    pub(crate) trace: Arc<Trace>,
    /// By number; the first is the shoppers'.
    nodes: Vec<Machine>,
    clock: Arc<VirtualClock>,
    randomness: Arc<SeededRandomness>,
    rng: RefCell<Rng>,
    port: Port,
    crashes: RefCell<Faults>,
}

/// What runs a node, and runs it again after a crash.
struct Machine {
    modules: Vec<Module>,
    disk: Disk,
}

impl Shop {
    /// Starts a shop whose modules live as `homes` says: for each in [`MODULES`], its node from 1.
    ///
    /// # Errors
    /// Why a node does not start.
    pub(crate) fn start(
        seed: u64,
        homes: &[usize],
        rates: Rates,
        trace: Arc<Trace>,
    ) -> Result<Self, NodeError> {
        let count = homes.iter().copied().max().unwrap_or(SHOPPERS) + 1;
        let nodes: Vec<_> = (0..count)
            .map(|node| {
                let here = MODULES.iter().zip(homes).filter(|(_, home)| **home == node);
                Machine {
                    modules: here.map(|(module, _)| *module).collect(),
                    disk: Disk::default(),
                }
            })
            .collect();
        let homes: BTreeMap<_, _> = MODULES
            .iter()
            .map(Module::name)
            .zip(homes.iter().copied())
            .collect();
        let disks = nodes.iter().map(|node| node.disk.clone()).collect();
        let net = Net::new(seed, rates, homes, disks, trace.clone());
        let clock = Arc::new(VirtualClock::at_noon());
        let randomness = Arc::new(SeededRandomness::new(seed));
        let environment = environment(
            clock.clone(),
            randomness.clone(),
            nodes[SHOPPERS].disk.clone(),
        );
        let mut shoppers = NodeBuilder::new(environment);
        shoppers
            .one_thread()
            .host::<Storefront>(())
            .network(net.link(SHOPPERS));
        for module in MODULES {
            shoppers.neighbour(module.manifest());
        }
        let shoppers = shoppers.start()?;
        let port = shoppers
            .port("storefront")
            .expect("the shoppers' node hosts their module");
        let shop = Self {
            net,
            trace,
            nodes,
            clock,
            randomness,
            rng: RefCell::new(Rng::with_seed(seed ^ 0x5AFE)),
            port,
            crashes: RefCell::default(),
        };
        shop.net.join(SHOPPERS, shoppers);
        for node in 1..count {
            shop.boot(node)?;
        }
        Ok(shop)
    }

    /// How many nodes there are, the shoppers' included.
    pub(crate) fn size(&self) -> usize {
        self.nodes.len()
    }

    /// What shoppers ask through.
    pub(crate) fn port(&self) -> &Port {
        &self.port
    }

    /// The disk of a node.
    pub(crate) fn disk(&self, node: usize) -> &Disk {
        &self.nodes[node].disk
    }

    /// Ends a node where it stands and starts it again after a while, on what its disk has kept.
    /// Nothing when it is down already.
    ///
    /// # Errors
    /// Why it does not start again, although its disk works.
    pub(crate) async fn crash(
        &self,
        node: usize,
        crash: Crash,
        down: Duration,
    ) -> Result<(), String> {
        let disk = &self.nodes[node].disk;
        let Some(old) = self.net.leave(node) else {
            disk.keep_power();
            return Ok(());
        };
        self.trace.line(format_args!("{node} crashes: {crash:?}"));
        disk.switch_off();
        old.halt();
        drop(old);
        match crash {
            Crash::Kill => self.crashes.borrow_mut().processes_killed += 1,
            Crash::Power => self.crashes.borrow_mut().machines_without_power += 1,
        }
        sleep(down).await;
        disk.switch_on(crash, &mut self.rng.borrow_mut());
        loop {
            match self.boot(node) {
                Ok(()) => break,
                // The power went again while it was starting.
                Err(_) if disk.is_off() => {
                    self.crashes.borrow_mut().machines_without_power += 1;
                    disk.switch_on(Crash::Power, &mut self.rng.borrow_mut());
                }
                Err(_) if disk.fails() => sleep(START_AGAIN).await,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    return Err(format!(
                        "node {node} does not start again: {error}: {cause:?}"
                    ));
                }
            }
        }
        self.trace.line(format_args!("{node} is up again"));
        Ok(())
    }

    /// How every module stands that is up.
    pub(crate) fn status(&self) -> Vec<modulith_kernel::ModuleStatus> {
        (0..self.size())
            .filter_map(|node| self.net.node(node))
            .flat_map(|node| node.status())
            .collect()
    }

    /// What was carried and done wrong so far.
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = self.net.tally();
        tally.faults += *self.crashes.borrow();
        for node in &self.nodes {
            tally.faults.add_disk(node.disk.counts());
        }
        tally
    }

    /// Takes down what the disks have done, and ends every node.
    pub(crate) fn end(&self) {
        for (node, machine) in self.nodes.iter().enumerate() {
            let counts = machine.disk.counts();
            self.trace.line(format_args!("{node} ends: {counts:?}"));
            if let Some(node) = self.net.leave(node) {
                machine.disk.switch_off();
                node.halt();
            }
        }
        self.net.end();
    }

    fn boot(&self, node: usize) -> Result<(), NodeError> {
        let machine = &self.nodes[node];
        let environment = environment(
            self.clock.clone(),
            self.randomness.clone(),
            machine.disk.clone(),
        );
        let mut builder = NodeBuilder::new(environment);
        builder
            .one_thread()
            .network(self.net.link(node))
            .neighbour(modulith_kernel::Manifest::of::<Storefront>());
        for module in MODULES {
            if machine.modules.contains(&module) {
                module.host(&mut builder);
            } else {
                builder.neighbour(module.manifest());
            }
        }
        let started: Arc<Node> = builder.start()?;
        self.net.join(node, started);
        Ok(())
    }
}

fn environment(
    clock: Arc<VirtualClock>,
    randomness: Arc<SeededRandomness>,
    disk: Disk,
) -> Environment {
    Environment {
        clock,
        randomness,
        storage: Arc::new(disk),
        data: PathBuf::new(),
    }
}
