//! Where the kernel meets the network: from the module that is asked to the process, and to the
//! one of its instances, that answers; again, elsewhere or not at all, as traffic policy says.
//!
//! The decisions are `modulith_mesh`'s, the connections `modulith_quic`'s. Here both are joined to
//! the configuration, and to whatever finds instances: the run folder or DNS.

mod copy;
mod counters;
mod deliver;
mod dns;
mod faults;
mod neighbour;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use foldhash::fast::RandomState;
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{BoxStream, once},
};
use modulith_kernel::{Call, Fault, Kind, Manifest, Network};
use modulith_mesh::Policy;
use modulith_quic::Endpoint;
use tokio::time::Instant;

use crate::{
    config::{Config, ProcessConfig, Rules},
    directory::Directory,
};

pub(crate) use self::{
    counters::TrafficStatus,
    dns::{DnsNames, Lookup},
    faults::{FAULT_MAX, FaultOrder},
    neighbour::Instance,
};
use self::{faults::LiveFaults, neighbour::Neighbour};

/// Sends what modules ask to the processes that host them.
pub(crate) struct Mesh {
    /// By `module.Message`.
    routes: HashMap<String, Arc<Route>, RandomState>,
    neighbours: Vec<Arc<Neighbour>>,
    faults: Arc<LiveFaults>,
    endpoint: OnceLock<Arc<Endpoint>>,
}

/// How one message is treated.
struct Route {
    module: &'static str,
    message: String,
    /// Whether the module has a store, and so one place for each partition.
    has_store: bool,
    /// Who answers, unless the policy chooses.
    home: Arc<Neighbour>,
    policy: Policy<Arc<Neighbour>>,
    /// Whether the policy has anything to decide for a call.
    has_choices: bool,
    /// A question for events: left open on purpose, repeated by whoever asks.
    is_feed: bool,
}

impl Mesh {
    /// Knows who hosts what. Instances are known once it is connected.
    pub(crate) fn new(config: &Config, manifests: &[Manifest]) -> Self {
        let neighbour = |process: &ProcessConfig| {
            let has_store = |manifest: &Manifest| {
                manifest.is_stateful() && process.modules.contains(&manifest.module)
            };
            Neighbour::new(&process.name, manifests.iter().any(has_store))
        };
        let neighbours: Vec<_> = config.processes.iter().map(neighbour).collect();
        let mut mesh = Self {
            routes: HashMap::default(),
            neighbours,
            faults: Arc::default(),
            endpoint: OnceLock::new(),
        };
        for manifest in manifests {
            mesh.add_module(config, manifest);
        }
        mesh
    }

    fn add_module(&mut self, config: &Config, manifest: &Manifest) {
        let module = manifest.module;
        let mut processes = config.processes.iter();
        let Some(home) = processes.position(|process| process.modules.contains(&module)) else {
            return;
        };
        let rules = |name: &str| {
            let mut traffic = config.traffic.iter();
            let found = traffic.find(|traffic| traffic.name == name);
            found.map(|traffic| traffic.rules.clone())
        };
        let of_module = rules(module).unwrap_or_default();
        for served in manifest.handles.iter().chain(&manifest.answers) {
            let message = served.message.to_string();
            let own = rules(&message).unwrap_or_default().over(&of_module);
            self.add_route(manifest, message, home, &own, served.kind);
        }
        if !manifest.publishes.is_empty() {
            let message = modulith_kernel::feed_message(module);
            self.add_route(manifest, message, home, &Rules::default(), Kind::Event);
        }
    }

    fn add_route(
        &mut self,
        manifest: &Manifest,
        message: String,
        home: usize,
        rules: &Rules,
        kind: Kind,
    ) {
        let named = |name: &str| {
            let mut neighbours = self.neighbours.iter();
            let found = neighbours.find(|neighbour| *neighbour.process == *name);
            found.unwrap_or(&self.neighbours[home]).clone()
        };
        let mut policy = rules.policy(named);
        if kind != Kind::Query {
            // Said of a whole module, these are about its queries that have one reply.
            (policy.hedge_after, policy.mirror) = (None, None);
        }
        let has_choices = policy.timeout.is_some()
            || policy.mirror.is_some()
            || !policy.split.is_empty()
            || !policy.split_tag.is_empty();
        let route = Route {
            module: manifest.module,
            has_store: manifest.is_stateful(),
            message: message.clone(),
            home: self.neighbours[home].clone(),
            policy,
            has_choices,
            is_feed: kind == Kind::Event,
        };
        self.routes.insert(message, Arc::new(route));
    }

    /// Opens the way out. Until then calls wait.
    pub(crate) fn connect(&self, endpoint: Arc<Endpoint>) {
        assert!(
            self.endpoint.set(endpoint).is_ok(),
            "a mesh is connected once"
        );
    }

    /// Learns of the instances that the configuration lists: of processes that are not found by
    /// other means.
    pub(crate) fn know_configured(&self, processes: &[ProcessConfig]) {
        for process in processes.iter().filter(|process| process.dns.is_none()) {
            let instance = |replica| Instance::numbered(&process.name, replica, process.replicas);
            let instances: Vec<_> = (0..process.replicas).map(instance).collect();
            self.know(&process.name, &instances);
        }
    }

    /// Follows the instances that write themselves down, for as long as the future is run.
    pub(crate) async fn follow_directory(
        self: Arc<Self>,
        processes: Vec<ProcessConfig>,
        directory: Arc<Directory>,
    ) {
        let mut changes = directory.changes();
        loop {
            for process in processes.iter().filter(|process| process.dns.is_none()) {
                let found = directory.endpoints(&process.name).into_iter();
                let instance = |found: crate::directory::Endpoint| {
                    Instance::numbered(&process.name, found.replica, found.replicas)
                };
                let instances: Vec<_> = found.map(instance).collect();
                self.know(&process.name, &instances);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Looks processes with a DNS name up, for as long as the futures returned are run.
    pub(crate) fn follow_dns(
        self: &Arc<Self>,
        processes: &[ProcessConfig],
        lookup: &Lookup,
        names: &Arc<DnsNames>,
    ) -> Vec<BoxFuture<'static, ()>> {
        let follow = |process: &ProcessConfig| -> BoxFuture<'static, ()> {
            let mut neighbours = self.neighbours.iter();
            let is_it = |it: &&Arc<Neighbour>| *it.process == *process.name;
            let has_store = neighbours.find(is_it).is_some_and(|it| it.has_store());
            let (lookup, names) = (lookup.clone(), names.clone());
            Box::pin(dns::follow(
                process.clone(),
                has_store,
                lookup,
                names,
                self.clone(),
            ))
        };
        let named = processes.iter().filter(|process| process.dns.is_some());
        named.map(follow).collect()
    }

    /// Learns which instances of a process there are now. Those that are gone finish what they
    /// have; an empty list is none: the last one stays, and calls wait for an instance to return.
    pub(crate) fn know(&self, process: &str, instances: &[Instance]) {
        let mut neighbours = self.neighbours.iter();
        let neighbour = neighbours.find(|neighbour| *neighbour.process == *process);
        if let (Some(neighbour), Some(endpoint)) = (neighbour, self.endpoint.get()) {
            neighbour.know(endpoint, instances);
        }
    }

    /// Puts faults in, or takes them away.
    ///
    /// # Errors
    /// What is wrong with the order.
    pub(crate) fn order(&self, order: FaultOrder) -> Result<(), String> {
        let is_known = |about: &str| {
            let mut routes = self.routes.values();
            routes.any(|route| route.module == about || route.message == about)
        };
        self.faults.obey(order, is_known)
    }

    /// How it went with each process that was called.
    pub(crate) fn status(&self) -> Vec<TrafficStatus> {
        let neighbours = self.neighbours.iter();
        let called = neighbours.filter(|neighbour| neighbour.is_known());
        called.map(|neighbour| neighbour.status()).collect()
    }
}

impl Network for Mesh {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>> {
        match self.routes.get(&*call.message) {
            Some(route) => {
                let (route, faults) = (route.clone(), self.faults.clone());
                Box::pin(deliver::deliver(route, faults, call))
            }
            None => {
                let fault = unreachable(call.module(), "no process hosts it");
                Box::pin(async move { Err(fault) })
            }
        }
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
        let Some(route) = self.routes.get(&*call.message) else {
            let fault = unreachable(call.module(), "no process hosts it");
            return streams::only(Err(fault));
        };
        let (route, faults) = (route.clone(), self.faults.clone());
        // It is sent when it is first waited for, and has its time from then.
        let limit = call.deadline.saturating_duration_since(Instant::now());
        Box::pin(once(streams::begin(route, faults, call, limit)).flatten())
    }
}

fn unreachable(module: &str, reason: impl Into<String>) -> Fault {
    Fault::Unreachable {
        module: module.to_string(),
        reason: reason.into(),
    }
}
