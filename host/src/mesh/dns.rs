//! Processes whose instances are found by DNS: a headless service, or a name for each instance of
//! a StatefulSet.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolverOpts},
    net::NetError,
};
use modulith_quic::Names;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{Instance, Mesh};
use crate::config::{DnsName, ProcessConfig};

/// How soon a name is looked up again at the earliest, whatever its time to live.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// And at the latest: an instance that left unannounced is called no longer than that.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a server may take for one answer, and how often it is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// How many addresses of one process are taken from an answer; more are left out.
const INSTANCES_MAX: usize = 256;

/// Looks names up.
#[derive(Clone)]
pub(crate) struct Lookup {
    resolver: TokioResolver,
    pause_min: Duration,
}

impl Lookup {
    /// Asks the servers that the system is set to, with its search domains and hosts file. Inside
    /// a tokio runtime.
    ///
    /// # Errors
    /// When the system's settings cannot be read.
    pub(crate) fn of_system() -> Result<Self, NetError> {
        let mut builder = TokioResolver::builder_tokio()?;
        set(builder.options_mut());
        Ok(Self {
            resolver: builder.build()?,
            pause_min: PAUSE_MIN,
        })
    }

    /// Asks one server, for tests: often.
    #[cfg(test)]
    pub(super) fn at(server: SocketAddr) -> Self {
        use hickory_resolver::{
            Resolver,
            config::{ConnectionConfig, NameServerConfig, ResolverConfig},
            net::runtime::TokioRuntimeProvider,
        };
        let mut udp = ConnectionConfig::udp();
        udp.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![udp]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        set(builder.options_mut());
        Self {
            resolver: builder.build().unwrap(),
            pause_min: Duration::from_millis(20),
        }
    }

    /// The addresses of a name, in order, and how long they hold.
    async fn find(&self, host: &str, port: u16) -> Result<(Vec<SocketAddr>, Duration), NetError> {
        let found = self.resolver.lookup_ip(host).await?;
        let mut addresses: Vec<_> = found.iter().map(|ip| SocketAddr::new(ip, port)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(INSTANCES_MAX);
        let holds = found
            .valid_until()
            .saturating_duration_since(Instant::now());
        Ok((addresses, holds))
    }
}

fn set(options: &mut ResolverOpts) {
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = ANSWER_TIMEOUT;
    options.attempts = ATTEMPTS;
    // What is kept is kept in the mesh; what is asked here is to be new.
    options.cache_size = 0;
}

/// Where instances are that DNS knows; of all others, whoever knew them before.
pub(crate) struct DnsNames {
    /// By process, its name.
    processes: HashMap<String, DnsName>,
    /// By instance.
    addresses: RwLock<HashMap<Arc<str>, Vec<SocketAddr>>>,
    others: Arc<dyn Names>,
}

impl DnsNames {
    pub(crate) fn new(processes: &[ProcessConfig], others: Arc<dyn Names>) -> Self {
        let named = |process: &ProcessConfig| Some((process.name.clone(), process.dns.clone()?));
        Self {
            processes: processes.iter().filter_map(named).collect(),
            addresses: RwLock::default(),
            others,
        }
    }

    fn set(&self, instance: &Arc<str>, addresses: Vec<SocketAddr>) {
        let mut known = self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert(instance.clone(), addresses);
    }

    fn keep_only(&self, process: &str, instances: &[Instance]) {
        let mut known = self
            .addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.retain(|name, _| {
            !is_of(process, name) || instances.iter().any(|instance| instance.name == *name)
        });
    }
}

impl Names for DnsNames {
    fn resolve(&self, process: &str, instance: &str) -> Result<Vec<SocketAddr>, String> {
        let Some(name) = self.processes.get(process) else {
            return self.others.resolve(process, instance);
        };
        let known = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(instance).cloned().ok_or_else(|| {
            format!("DNS has no address for {instance} of process {process} ({name})")
        })
    }

    fn is_expected(&self, process: &str) -> bool {
        !self.processes.contains_key(process) && self.others.is_expected(process)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        self.others.changes()
    }
}

/// The name of an instance: its process, and its number or address.
fn instance_name(process: &str, what: impl std::fmt::Display) -> Arc<str> {
    format!("{process}.{what}").into()
}

fn is_of(process: &str, instance: &str) -> bool {
    let rest = instance.strip_prefix(process);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// Follows the addresses of one process for as long as this runs.
pub(crate) async fn follow(
    process: ProcessConfig,
    has_store: bool,
    lookup: Lookup,
    names: Arc<DnsNames>,
    mesh: Arc<Mesh>,
) {
    let Some(name) = process.dns.clone() else {
        return;
    };
    let mut is_failing = false;
    loop {
        let found = match name.is_per_replica() {
            true => each(&process, &name, has_store, &lookup, &names).await,
            false => all(&process, &name, has_store, &lookup, &names).await,
        };
        let pause = match found {
            Ok((instances, holds)) => {
                if is_failing {
                    info!(process = process.name, %name, "DNS answers again");
                }
                is_failing = false;
                names.keep_only(&process.name, &instances);
                mesh.know(&process.name, &instances);
                holds.clamp(lookup.pause_min, PAUSE_MAX)
            }
            Err(error) => {
                // Said once; the addresses known before stay.
                if !is_failing {
                    warn!(process = process.name, %name, %error, "DNS does not answer");
                }
                is_failing = true;
                lookup.pause_min
            }
        };
        tokio::time::sleep(pause).await;
    }
}

type Found = Result<(Vec<Instance>, Duration), NetError>;

/// One name for all instances: each address is one, or all are ways to the only one with stores.
async fn all(
    process: &ProcessConfig,
    name: &DnsName,
    has_store: bool,
    lookup: &Lookup,
    names: &DnsNames,
) -> Found {
    let (addresses, holds) = lookup.find(&name.host(0), name.port).await?;
    if has_store {
        let instance = Instance {
            name: instance_name(&process.name, 0),
            replica: Some(0),
            replicas: 1,
        };
        names.set(&instance.name, addresses);
        return Ok((vec![instance], holds));
    }
    let instance = |address: &SocketAddr| {
        let instance = Instance {
            name: instance_name(&process.name, address),
            replica: None,
            replicas: 1,
        };
        names.set(&instance.name, vec![*address]);
        instance
    };
    Ok((addresses.iter().map(instance).collect(), holds))
}

/// A name for each instance. One that has none now is not there; with stores it is waited for.
async fn each(
    process: &ProcessConfig,
    name: &DnsName,
    has_store: bool,
    lookup: &Lookup,
    names: &DnsNames,
) -> Found {
    let one = async |replica: u16| {
        let found = lookup.find(&name.host(replica), name.port).await;
        (replica, found)
    };
    let mut instances = Vec::new();
    let mut holds = PAUSE_MAX;
    let mut failed = None;
    for (replica, found) in join_all((0..process.replicas).map(one)).await {
        let instance = Instance {
            name: instance_name(&process.name, replica),
            replica: Some(replica),
            replicas: process.replicas,
        };
        match found {
            Ok((addresses, holds_for)) => {
                holds = holds.min(holds_for);
                names.set(&instance.name, addresses);
                instances.push(instance);
            }
            Err(error) => {
                // Asked for again soon.
                holds = Duration::ZERO;
                failed = Some(error);
                if has_store {
                    instances.push(instance);
                }
            }
        }
    }
    match failed {
        // Not one of them: DNS itself is the trouble, and what is known stays.
        Some(error) if !has_store && instances.is_empty() => Err(error),
        Some(error) if has_store && !names.knows(&instances) => Err(error),
        _ => Ok((instances, holds)),
    }
}

impl DnsNames {
    /// Whether any of these was ever found.
    fn knows(&self, instances: &[Instance]) -> bool {
        let known = self
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        instances.iter().any(|it| known.contains_key(&it.name))
    }
}
