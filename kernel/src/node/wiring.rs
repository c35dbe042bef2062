//! Finding the way from each module to each other one, and into this process from others.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;
use modulith_contract::{Fault, Fingerprint};

use crate::{
    Environment, Manifest, MessageName, Network, Partition, Port,
    feed::{LocalSource, RemoteSource, Source, feed_fingerprint, feed_message},
    network::Entry,
};

use super::start::{Hosted, Way};

/// Finds the way from each module to each other one.
pub(super) struct Wiring<'a> {
    pub(super) hosted: &'a [Hosted],
    pub(super) manifests: &'a [Manifest],
    pub(super) environment: &'a Environment,
    pub(super) network: Arc<dyn Network>,
    /// Whether modules of this node reach each other directly.
    pub(super) local: bool,
}

impl Wiring<'_> {
    /// The port of a module: to each partition of what it asks, directly or over the network.
    pub(super) fn port(&self, one: &Hosted) -> Port {
        let module = one.home.module();
        let routes = one.asked.iter().map(|ask| {
            let part = |partition: Partition| {
                let here = self.local.then(|| self.way(ask.type_id, partition));
                let direct = here.flatten().map(|way| way.route.clone());
                let network = || self.network.clone();
                direct.unwrap_or_else(|| (ask.remote)(module, partition.index(), network()))
            };
            let parts = self.partitions(ask.module).map(part).collect();
            (ask.type_id, (ask.join)(parts))
        });
        Port::new(module, self.environment.clone(), routes.collect())
    }

    /// A port with a route to everything served here.
    pub(super) fn open_port(&self) -> Port {
        let mut seen = BTreeSet::new();
        let mut routes = Vec::new();
        for one in self.hosted {
            if !seen.insert(one.home.module()) {
                continue;
            }
            for way in &one.routes {
                let part = |partition: Partition| match self.way(way.type_id, partition) {
                    Some(here) => here.route.clone(),
                    None => (way.absent)(partition),
                };
                let parts = Partition::all(one.home.partition.count())
                    .map(part)
                    .collect();
                routes.push((way.type_id, (way.join)(parts)));
            }
        }
        Port::new("node", self.environment.clone(), routes)
    }

    fn partitions(&self, module: &str) -> impl Iterator<Item = Partition> {
        let mut manifests = self.manifests.iter();
        let manifest = manifests.find(|manifest| manifest.module == module);
        Partition::all(manifest.map_or(1, |manifest| manifest.partitions))
    }

    fn way(&self, type_id: TypeId, partition: Partition) -> Option<&Way> {
        let of_partition = |one: &&Hosted| one.home.partition.index() == partition.index();
        let here = self.hosted.iter().filter(of_partition);
        let mut ways = here.flat_map(|one| &one.routes);
        ways.find(|way| way.type_id == type_id)
    }

    /// Where each of its subscriptions reads.
    pub(super) fn sources(&self, one: &Hosted) -> Vec<Arc<dyn Source>> {
        let follows = one.follows.iter();
        follows
            .map(|follow| {
                let followed = &follow.subscription;
                self.source(one, followed.publisher, followed.partition)
            })
            .collect()
    }

    fn source(
        &self,
        subscriber: &Hosted,
        publisher: &'static str,
        partition: Partition,
    ) -> Arc<dyn Source> {
        let is_it = |one: &&Hosted| {
            one.home.module() == publisher && one.home.partition.index() == partition.index()
        };
        match self.hosted.iter().find(is_it) {
            Some(here) if self.local => Arc::new(LocalSource {
                subscriber: subscriber.home.name().to_string(),
                publisher: here.home.clone(),
            }),
            _ => Arc::new(RemoteSource {
                subscriber: subscriber.home.module(),
                publisher,
                partition: partition.index(),
                network: self.network.clone(),
            }),
        }
    }
}

/// Tells every publisher who listens to it, wherever that is hosted.
pub(super) fn know_subscribers(hosted: &[Hosted], manifests: &[Manifest]) -> Result<(), Fault> {
    for one in hosted {
        let home = &one.home;
        if home.manifest.publishes.is_empty() {
            continue;
        }
        let listens = |manifest: &&Manifest| {
            let mut listened = manifest.listens.iter();
            listened.any(|event| event.message.module == home.module())
        };
        let listeners = manifests.iter().filter(listens).flat_map(|manifest| {
            let partitions = Partition::all(manifest.partitions);
            partitions.map(|partition| partition.name(manifest.module))
        });
        home.retention.know(home.store()?, listeners)?;
    }
    Ok(())
}

/// The events that nobody in the application listens to.
pub(super) fn unheard(manifests: &[Manifest]) -> Vec<MessageName> {
    let listened: BTreeSet<_> = manifests
        .iter()
        .flat_map(|manifest| &manifest.listens)
        .map(|event| event.message)
        .collect();
    let published = manifests.iter().flat_map(|manifest| &manifest.publishes);
    let published = published.map(|event| event.message);
    published
        .filter(|event| !listened.contains(event))
        .collect()
}

/// A request served to other processes, and the modules that declare that they ask it.
pub(super) struct Gate {
    /// By partition; none where another process hosts it.
    pub(super) entries: Vec<Option<Arc<dyn Entry>>>,
    pub(super) callers: BTreeSet<&'static str>,
}

/// What is served to other processes, as `module.Message`.
pub(super) fn gates(
    hosted: &[Hosted],
    manifests: &[Manifest],
) -> HashMap<String, Gate, RandomState> {
    let mut gates = HashMap::default();
    for one in hosted {
        let partition = one.home.partition;
        for (message, entry) in &one.entries {
            let gate = gates.entry(message.clone()).or_insert_with(|| Gate {
                entries: vec![None; usize::from(partition.count())],
                callers: callers(message, manifests),
            });
            gate.entries[usize::from(partition.index())] = Some(entry.clone());
        }
    }
    gates
}

fn callers(message: &str, manifests: &[Manifest]) -> BTreeSet<&'static str> {
    let asks = |manifest: &Manifest| {
        let mut asks = manifest.asks.iter();
        asks.any(|ask| ask.message.to_string() == message)
    };
    let listens = |manifest: &Manifest| {
        let mut listens = manifest.listens.iter();
        listens.any(|event| feed_message(event.message.module) == message)
    };
    let declare = manifests.iter().filter(|m| asks(m) || listens(m));
    declare.map(|manifest| manifest.module).collect()
}

/// Every message the application knows, with its fingerprint, in order of name.
pub(super) fn messages(manifests: &[Manifest]) -> Vec<(String, Fingerprint)> {
    let mut messages = BTreeMap::new();
    for manifest in manifests {
        for declared in manifest.messages() {
            messages.insert(declared.message.to_string(), declared.fingerprint);
        }
        if !manifest.publishes.is_empty() {
            messages.insert(feed_message(manifest.module), feed_fingerprint());
        }
    }
    messages.into_iter().collect()
}
