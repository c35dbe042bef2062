//! One process: its node, its connections, its pages; from start to stop.

use std::{
    collections::{BTreeMap, HashSet},
    io::Write,
    net::{SocketAddr, TcpListener},
    num::NonZeroUsize,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use modulith_edge::{Desk, EdgeError, Routes, Server};
use modulith_kernel::{
    Environment, Neighbour, Node, NodeBuilder, NodeError, Randomness, StoreError, SystemRandomness,
};
use modulith_quic::{AuthorityError, Endpoint, MessageSchema, Names, Options};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    App,
    app::{Hosting, Registered},
    config::{Config, LOOPBACK_ANY, Loaded, ProcessConfig},
    directory::Directory,
    link::Reception,
    mesh::{DnsNames, Lookup, Mesh},
    operate,
    placement::Placement,
    run_folder::{Addresses, Claim, ClaimError, Note, RunFolder},
    signals::{Signals, input_closed},
    status::{ProcessState, ProcessStatus, RefusedStatus, peers_refused},
};

/// How long connections may take to finish what is in flight.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// What a process that a launcher started says on standard output once it is ready; its addresses
/// follow as JSON.
pub(crate) const READY: &str = "ready ";

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("{0}; stop it, or choose another data folder with --data DIR")]
    StoreInUse(StoreError),
    #[error(transparent)]
    Edge(#[from] EdgeError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Endpoint(#[from] modulith_quic::StartError),
    #[error("cannot read how this system is set to use DNS")]
    Dns(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("cannot {attempt}")]
    System {
        attempt: &'static str,
        source: std::io::Error,
    },
}

/// A process that runs.
pub(crate) struct Running {
    /// This instance's.
    name: String,
    note: Note,
    application: String,
    node: Arc<Node>,
    endpoint: Option<Arc<Endpoint>>,
    /// What follows where other instances are.
    followed: Vec<JoinHandle<()>>,
    pages: Option<Server>,
    admin: Server,
    run: RunFolder,
    _claim: Claim,
}

impl Running {
    /// Starts everything, in the order in which it is needed: stores and modules, connections,
    /// then whatever brings requests in, from the listener that was handed over if there is one.
    pub(crate) fn start(
        app: &App,
        loaded: Loaded,
        name: &str,
        placement: Placement,
        listener: Option<TcpListener>,
    ) -> Result<Self, StartError> {
        let Loaded { config, hostings } = loaded;
        let process = config
            .process(name)
            .expect("the process was checked to be in the config");
        let run = RunFolder::of(&config.data);
        let instance = placement.name(name);
        let claim = run.claim(&instance)?;
        let mesh =
            (!config.is_alone()).then(|| Arc::new(Mesh::new(&config, &app.manifests(&config))));
        let modules = hosted(app, &config, process, placement);
        let node = start_node(app, &config, hostings, &modules, placement, mesh.clone())?;
        let mut followed = Vec::new();
        let endpoint = match &mesh {
            Some(mesh) => {
                let directory = watch(app, &config, run.clone())?;
                let names = Arc::new(DnsNames::new(&config.processes, directory.clone()));
                let endpoint = connect(&config, process, &modules, &node, names.clone())?;
                let endpoint = Arc::new(endpoint);
                mesh.connect(endpoint.clone());
                followed = follow(mesh, &config, directory, &names)?;
                Some(endpoint)
            }
            None => None,
        };
        let tag_header = config.tag_header.as_deref();
        let pages = start_pages(app, process, tag_header, listener, &node, endpoint.as_ref())?;
        let token = new_token();
        let status = ProcessStatus {
            state: ProcessState::Running,
            pid: Some(std::process::id()),
            ..ProcessStatus::starting(name, &instance)
        };
        let weak = endpoint.as_ref().map(Arc::downgrade);
        let admin = start_admin(status, process.admin, &node, mesh, weak, token.clone())?;
        let note = Note {
            addresses: Addresses {
                pid: std::process::id(),
                quic: endpoint.as_ref().and_then(|endpoint| endpoint.address()),
                http: pages.as_ref().map(Server::address),
                admin: admin.address(),
            },
            process: name.to_string(),
            replica: placement.replica,
            replicas: placement.replicas,
            is_draining: false,
            modules: modules.iter().map(ToString::to_string).collect(),
            token,
        };
        let attempt = "write down the process's addresses below the data folder";
        let written = run.write(&instance, &note);
        written.map_err(|source| StartError::System { attempt, source })?;
        Ok(Self {
            name: instance,
            note,
            application: config.application,
            node,
            endpoint,
            followed,
            pages,
            admin,
            run,
            _claim: claim,
        })
    }

    /// Runs until asked to stop, then stops. True when it was told twice and did not finish.
    pub(crate) async fn until_stopped(
        self,
        is_launched: bool,
        mut signals: Signals,
    ) -> std::io::Result<bool> {
        self.announce(is_launched)?;
        let time_to_leave = if is_launched {
            tokio::select! {
                () = signals.next() => Duration::ZERO,
                time = input_closed() => time,
            }
        } else {
            signals.next().await;
            eprintln!("\nstopping; once more stops at once");
            Duration::ZERO
        };
        Ok(tokio::select! {
            () = self.stop(time_to_leave) => false,
            () = signals.next() => true,
        })
    }

    fn announce(&self, is_launched: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if is_launched {
            writeln!(
                out,
                "{READY}{}",
                serde_json::to_string(&self.note.addresses)?
            )?;
        } else {
            let name = &self.application;
            match &self.pages {
                Some(pages) => {
                    writeln!(
                        out,
                        "{name} is ready at http://{} (Ctrl-C stops it)",
                        pages.address()
                    )
                }
                None => writeln!(out, "{name} is ready: process {}", self.name),
            }?;
        }
        out.flush()
    }

    /// Takes nothing new in, finishes what is in flight, closes the stores.
    ///
    /// Others are told first, so that they turn to those that remain while this one still answers.
    async fn stop(mut self, time_to_leave: Duration) {
        self.note.is_draining = true;
        if let Err(error) = self.run.write(&self.name, &self.note) {
            // Connections are told by themselves, below.
            warn!(process = self.name, %error, "cannot write down that this process is leaving");
        }
        if let Some(pages) = &self.pages {
            if !time_to_leave.is_zero() {
                pages.leave(time_to_leave).await;
            }
            if let Some(endpoint) = &self.endpoint {
                // The workers end with the pages, and with them their connections.
                _ = tokio::time::timeout(CLOSE_MAX, endpoint.detach()).await;
            }
            pages.stop().await;
        }
        if let Some(endpoint) = &self.endpoint {
            let drained = endpoint.drain();
            self.node.leave();
            // A peer that never finishes must not keep this process.
            _ = tokio::time::timeout(CLOSE_MAX, drained).await;
        }
        self.node.stop().await;
        self.followed.iter().for_each(JoinHandle::abort);
        if let Some(endpoint) = &self.endpoint {
            endpoint.close(Duration::ZERO);
        }
        self.admin.stop().await;
        self.run.forget(&self.name);
        info!(process = self.name, "stopped");
    }
}

/// The modules of a process that live in this instance.
fn hosted(
    app: &App,
    config: &Config,
    process: &ProcessConfig,
    placement: Placement,
) -> Vec<&'static str> {
    let lives_here = |module: &&Registered| {
        let name = module.manifest.module;
        let partitions = config.partitions_of(name);
        process.modules.contains(&name) && placement.hosts(&module.manifest, partitions)
    };
    let modules = app.modules.iter().filter(lives_here);
    modules.map(|module| module.manifest.module).collect()
}

/// Opens the stores of these modules and starts them, with all others as neighbours.
fn start_node(
    app: &App,
    config: &Config,
    mut hostings: BTreeMap<&'static str, Hosting>,
    modules: &[&'static str],
    placement: Placement,
    mesh: Option<Arc<Mesh>>,
) -> Result<Arc<Node>, StartError> {
    let mut node = NodeBuilder::new(Environment::real(&config.data));
    let Placement { replica, replicas } = placement;
    // One that takes the place of another has a number beyond: it has no stores.
    node.replica(replica % replicas.max(1), replicas.max(1));
    for module in &app.modules {
        let name = module.manifest.module;
        if modules.contains(&name) {
            let host = hostings
                .remove(name)
                .expect("every module has its settings");
            (host.host)(&mut node);
        } else {
            let partitions = config.partitions_of(name);
            node.neighbour_with(module.manifest.clone(), Neighbour { partitions });
        }
    }
    if let Some(mesh) = mesh {
        node.network(mesh);
    }
    if config.encode_always {
        node.encode_always();
    }
    node.start().map_err(|error| match error {
        NodeError::Store(in_use @ StoreError::InUse { .. }) => StartError::StoreInUse(in_use),
        other => other.into(),
    })
}

/// Opens the endpoint through which other processes are reached and reach this one.
pub(crate) fn connect(
    config: &Config,
    process: &ProcessConfig,
    modules: &[&'static str],
    node: &Arc<Node>,
    names: Arc<dyn Names>,
) -> Result<Endpoint, StartError> {
    let credentials = config.credentials(&process.name)?;
    let mut options = Options::new(&config.application, &process.name, credentials);
    options.incarnation = incarnation();
    options.threads =
        NonZeroUsize::new(process.network_threads.into()).unwrap_or(NonZeroUsize::MIN);
    options.spin = Duration::from_micros(process.spin_us.into());
    options.modules = modules.iter().map(ToString::to_string).collect();
    let divided = config.partitions.iter();
    options.partitions = divided
        .map(|(module, count)| (module.to_string(), *count))
        .collect();
    options.messages = node
        .messages()
        .iter()
        .map(|(name, fingerprint)| MessageSchema {
            name: name.as_str().into(),
            fingerprint: fingerprint.0,
        })
        .collect();
    options.listen = Some(process.quic.unwrap_or(LOOPBACK_ANY));
    let reception = Arc::new(Reception {
        node: Arc::downgrade(node),
    });
    Ok(Endpoint::start(options, reception, names)?)
}

/// Begins to watch where the instances are that write themselves down.
fn watch(app: &App, config: &Config, run: RunFolder) -> Result<Arc<Directory>, StartError> {
    let stateful = config.processes.iter().filter(|p| app.has_stores(p));
    let stateful: HashSet<_> = stateful.map(|process| process.name.clone()).collect();
    let attempt = "start the thread that watches where processes are";
    let directory = Directory::watch(config, stateful, run)
        .map_err(|source| StartError::System { attempt, source })?;
    Ok(Arc::new(directory))
}

/// Keeps the mesh told of instances that come and go.
fn follow(
    mesh: &Arc<Mesh>,
    config: &Config,
    directory: Arc<Directory>,
    names: &Arc<DnsNames>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    mesh.know_configured(&config.processes);
    let watched = mesh
        .clone()
        .follow_directory(config.processes.clone(), directory);
    let mut followed = vec![actix_rt::spawn(watched)];
    if config.processes.iter().any(|process| process.dns.is_some()) {
        let lookup = Lookup::of_system().map_err(|source| StartError::Dns(Box::new(source)))?;
        let follows = mesh.follow_dns(&config.processes, &lookup, names);
        followed.extend(follows.into_iter().map(actix_rt::spawn));
    }
    Ok(followed)
}

/// A number that grows from start to start.
#[expect(
    clippy::disallowed_methods,
    reason = "tells runs apart; no module sees it"
)]
fn incarnation() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn start_pages(
    app: &App,
    process: &ProcessConfig,
    tag_header: Option<&str>,
    listener: Option<TcpListener>,
    node: &Node,
    endpoint: Option<&Arc<Endpoint>>,
) -> Result<Option<Server>, StartError> {
    let Some(address) = process.http else {
        return Ok(None);
    };
    let pages = app.pages_module().and_then(|module| module.pages);
    let Some(mut site) = pages.and_then(|pages| pages(node, tag_header)) else {
        return Ok(None);
    };
    if let Some(endpoint) = endpoint {
        site.routes = attached(site.routes, endpoint.clone());
    }
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let listener = match listener {
        Some(listener) => listener,
        None => modulith_edge::listen(address)?,
    };
    Ok(Some(Server::serve(listener, workers, site)?))
}

/// Gives each worker that serves pages connections of its own: what a page asks of other
/// processes needs no other thread then.
fn attached(routes: Routes, endpoint: Arc<Endpoint>) -> Routes {
    Arc::new(move |config| {
        if let Err(error) = endpoint.attach() {
            warn!(%error, "a worker shares the connections of others");
        }
        routes(config);
    })
}

/// 256 random bits in hexadecimal digits.
pub(crate) fn new_token() -> String {
    let mut bytes = [0; 32];
    SystemRandomness.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start_admin(
    status: ProcessStatus,
    listen: SocketAddr,
    node: &Arc<Node>,
    mesh: Option<Arc<Mesh>>,
    endpoint: Option<Weak<Endpoint>>,
    token: String,
) -> Result<Server, StartError> {
    let node = Arc::downgrade(node);
    let mesh = mesh.as_ref().map(Arc::downgrade);
    let (operated, meshed) = (node.clone(), mesh.clone());
    let desk = Desk {
        token,
        obey: Box::new(move |order| {
            let mesh = meshed.as_ref().and_then(Weak::upgrade);
            Box::pin(operate::obey(operated.clone(), mesh, order))
        }),
    };
    let status = move || {
        let node = node.upgrade();
        let modules = node.as_ref().map(|node| node.status()).unwrap_or_default();
        let endpoint = endpoint.as_ref().and_then(Weak::upgrade);
        let mesh = mesh.as_ref().and_then(Weak::upgrade);
        let status = ProcessStatus {
            modules,
            refused: RefusedStatus {
                requests: modulith_edge::refused(),
                asks: node.map(|node| node.denied()).unwrap_or_default(),
                peers: endpoint
                    .as_ref()
                    .map(|endpoint| peers_refused(endpoint.counters().refused))
                    .unwrap_or_default(),
            },
            traffic: mesh.map(|mesh| mesh.status()).unwrap_or_default(),
            certificate: endpoint.map(|endpoint| endpoint.certificates().into()),
            ..status.clone()
        };
        serde_json::to_string(&[status]).expect("a status is plain data")
    };
    Ok(Server::start(
        listen,
        1,
        modulith_edge::admin(Arc::new(status), Some(desk)),
    )?)
}
