//! Building a node: what it hosts, where the rest lives, and starting all of it.

use std::sync::{Arc, atomic::AtomicU64};

use crate::{
    Environment, Manifest, Module, Network, Options, Partition, graph, network::Loopback,
    store::division, thread::Thread,
};

use super::{
    Node, NodeError, Resident,
    start::{Ground, Hosted, end_all, start},
    wiring::{Wiring, gates, know_subscribers, messages, unheard},
};

/// Collects what a node hosts and where the rest lives.
pub struct NodeBuilder {
    environment: Environment,
    manifests: Vec<Manifest>,
    hosted: Vec<Hosting>,
    network: Option<Arc<dyn Network>>,
    encode_always: bool,
    threads: fn() -> Thread,
    at_rest: bool,
    replica: (u16, u16),
}

/// A module to be started here.
struct Hosting {
    manifest: Manifest,
    start: Box<Start>,
}

/// Starts one partition of one module.
type Start = dyn Fn(&Ground, Partition) -> Result<Hosted, NodeError>;

/// What a node knows of a module that another process hosts, besides its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// Into how many partitions it is divided; 1 when it is not.
    pub partitions: u16,
}

impl Default for Neighbour {
    fn default() -> Self {
        Self { partitions: 1 }
    }
}

impl NodeBuilder {
    /// Begins a node in an environment.
    pub fn new(environment: Environment) -> Self {
        Self {
            environment,
            manifests: Vec::new(),
            hosted: Vec::new(),
            network: None,
            encode_always: false,
            threads: Thread::own,
            at_rest: false,
            replica: (0, 1),
        }
    }

    /// Hosts a module in this node.
    pub fn host<M: Module>(&mut self, settings: M::Settings) -> &mut Self {
        self.host_with::<M>(settings, Options::default())
    }

    /// Hosts a module in this node, with the kernel's settings for it: all of its partitions, or
    /// those of this replica ([`NodeBuilder::replica`]).
    pub fn host_with<M: Module>(&mut self, settings: M::Settings, options: Options) -> &mut Self {
        let mut manifest = Manifest::of::<M>();
        manifest.partitions = options.partitions;
        self.manifests.push(manifest.clone());
        self.hosted.push(Hosting {
            manifest,
            start: Box::new(move |ground, partition| {
                start::<M>(ground, partition, settings.clone(), options.clone())
            }),
        });
        self
    }

    /// Knows of a module that another process hosts, undivided.
    pub fn neighbour(&mut self, manifest: Manifest) -> &mut Self {
        self.neighbour_with(manifest, Neighbour::default())
    }

    /// Knows of a module that another process hosts, and how it is divided there.
    pub fn neighbour_with(&mut self, manifest: Manifest, neighbour: Neighbour) -> &mut Self {
        self.manifests.push(Manifest {
            partitions: neighbour.partitions,
            ..manifest
        });
        self
    }

    /// Makes the node one of several that host the same modules: `replica`, from 0, of `replicas`.
    ///
    /// Partition p of a module lives on replica p mod `replicas`, and the other partitions are
    /// asked over the network. A module with a store that is not divided lives on replica 0. One
    /// without a store lives on all.
    ///
    /// # Panics
    /// When there is no such replica.
    pub fn replica(&mut self, replica: u16, replicas: u16) -> &mut Self {
        assert!(replica < replicas, "replica {replica} is one of {replicas}");
        self.replica = (replica, replicas);
        self
    }

    /// Sends what neighbours are asked over a network.
    pub fn network(&mut self, network: Arc<dyn Network>) -> &mut Self {
        self.network = Some(network);
        self
    }

    /// Encodes and decodes every message, as if every module were in another process.
    pub fn encode_always(&mut self) -> &mut Self {
        self.encode_always = true;
        self
    }

    /// Runs everything on the current thread instead of a thread for each module with a store,
    /// for simulations: what happens next then depends on nothing but the order of events.
    ///
    /// Start such a node, and ask its modules, inside a `LocalSet` or an actix system.
    pub fn one_thread(&mut self) -> &mut Self {
        self.threads = Thread::current;
        self
    }

    /// Opens the stores and nothing else: no events are followed or removed, no flows resumed, no
    /// replies expire. For tools that work on the stores of an application that does not run.
    pub fn at_rest(&mut self) -> &mut Self {
        self.at_rest = true;
        self
    }

    /// Opens the stores, starts the modules and wires them. Inside an actix system.
    ///
    /// # Errors
    /// The first thing that does not fit, open or start; nothing keeps running then.
    pub fn start(self) -> Result<Arc<Node>, NodeError> {
        if let Some(error) = graph::check(&self.manifests).into_iter().next() {
            return Err(error.into());
        }
        let hosted = self.start_all()?;
        if let Err(fault) = know_subscribers(&hosted, &self.manifests) {
            end_all(&hosted);
            return Err(fault.into());
        }
        let loopback = Arc::new(Loopback::default());
        let network = match self.network {
            Some(network) if !self.encode_always => network,
            _ => loopback.clone(),
        };
        let wiring = Wiring {
            hosted: &hosted,
            manifests: &self.manifests,
            environment: &self.environment,
            network,
            local: !self.encode_always,
        };
        for one in &hosted {
            one.home.settle(wiring.port(one));
        }
        let open_port = wiring.open_port();
        let begun: Vec<_> = hosted.iter().map(|one| wiring.sources(one)).collect();
        let node = Arc::new(Node {
            residents: hosted.iter().map(Resident::of).collect(),
            messages: messages(&self.manifests),
            unheard: unheard(&self.manifests),
            open_port,
            gates: gates(&hosted, &self.manifests),
            denied: AtomicU64::new(0),
        });
        if self.at_rest {
            return Ok(node);
        }
        node.tell_of_unheard();
        _ = loopback.node.set(Arc::downgrade(&node));
        for (one, sources) in hosted.into_iter().zip(begun) {
            one.run(sources)?;
        }
        Ok(node)
    }

    /// Starts every partition that lives here; none is left running when one cannot be.
    fn start_all(&self) -> Result<Vec<Hosted>, NodeError> {
        let ground = Ground {
            environment: self.environment.clone(),
            threads: self.threads,
            partitions: self
                .manifests
                .iter()
                .map(|m| (m.module, m.partitions))
                .collect(),
        };
        let mut hosted = Vec::with_capacity(self.hosted.len());
        for hosting in &self.hosted {
            let started = self.start_module(&ground, hosting, &mut hosted);
            if let Err(error) = started {
                end_all(&hosted);
                return Err(error);
            }
        }
        Ok(hosted)
    }

    fn start_module(
        &self,
        ground: &Ground,
        hosting: &Hosting,
        hosted: &mut Vec<Hosted>,
    ) -> Result<(), NodeError> {
        let (module, environment) = (hosting.manifest.module, &self.environment);
        let partitions = self.partitions_here(&hosting.manifest);
        if let Some(first) = partitions.first()
            && hosting.manifest.is_stateful()
        {
            division::check(environment, module, *first)?;
        }
        for partition in partitions {
            // A tool that looks at stores makes none.
            let is_there = environment.storage.has(&partition.name(module));
            if self.at_rest && partition.is_divided() && !is_there {
                continue;
            }
            hosted.push((hosting.start)(ground, partition)?);
        }
        Ok(())
    }

    /// The partitions of a module that live on this replica.
    fn partitions_here(&self, manifest: &Manifest) -> Vec<Partition> {
        if !manifest.is_stateful() {
            return vec![Partition::WHOLE];
        }
        let (replica, replicas) = self.replica;
        let all = Partition::all(manifest.partitions);
        all.filter(|partition| partition.index() % replicas == replica)
            .collect()
    }
}
