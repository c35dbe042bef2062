//! One process: its node, its connections, its pages; from start to stop.

use std::{
    io::Write,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use modulith_edge::{Desk, EdgeError, Routes, Server};
use modulith_kernel::{
    Environment, Node, NodeBuilder, NodeError, Randomness, StoreError, SystemRandomness,
};
use modulith_quic::{Authority, AuthorityError, Endpoint, MessageSchema, Names, Options};
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::{
    App,
    config::{Config, LOOPBACK_ANY, Loaded, ProcessConfig},
    link::{Directory, Reception},
    mesh::{DnsNames, Lookup, Mesh},
    operate,
    run_folder::{Addresses, Claim, ClaimError, Note, RunFolder},
    signals::{Signals, input_closed},
    status::{ProcessState, ProcessStatus},
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
    name: String,
    application: String,
    node: Arc<Node>,
    endpoint: Option<Arc<Endpoint>>,
    /// What looks processes up by DNS.
    followed: Vec<JoinHandle<()>>,
    pages: Option<Server>,
    admin: Server,
    run: RunFolder,
    _claim: Claim,
}

impl Running {
    /// Starts everything, in the order in which it is needed: stores and modules, connections,
    /// then whatever brings requests in.
    pub(crate) fn start(app: &App, loaded: Loaded, name: &str) -> Result<Self, StartError> {
        let Loaded {
            config,
            mut hostings,
        } = loaded;
        let process = config
            .process(name)
            .expect("the process was checked to be in the config");
        let run = RunFolder::of(&config.data);
        let claim = run.claim(name)?;
        let manifests = app.manifests();
        let mesh = (!config.is_alone()).then(|| Arc::new(Mesh::new(&config, &manifests)));

        let mut node = NodeBuilder::new(Environment::real(&config.data));
        for module in &app.modules {
            let module_name = module.manifest.module;
            if process.modules.contains(&module_name) {
                let host = hostings
                    .remove(module_name)
                    .expect("every module has its settings");
                host(&mut node);
            } else {
                node.neighbour(module.manifest.clone());
            }
        }
        if let Some(mesh) = &mesh {
            node.network(mesh.clone());
        }
        if config.encode_always {
            node.encode_always();
        }
        let node = node.start().map_err(|error| match error {
            NodeError::Store(in_use @ StoreError::InUse { .. }) => StartError::StoreInUse(in_use),
            other => other.into(),
        })?;

        let mut followed = Vec::new();
        let endpoint = match &mesh {
            Some(mesh) => {
                let names = DnsNames::new(&config.processes, directory(&config, run.clone()));
                let names = Arc::new(names);
                let endpoint = Arc::new(connect(&config, process, &node, names.clone())?);
                mesh.connect(endpoint.clone());
                mesh.know_configured(&config.processes);
                followed = follow_dns(mesh, &config, &names)?;
                Some(endpoint)
            }
            None => None,
        };
        let tag_header = config.tag_header.as_deref();
        let pages = start_pages(app, process, tag_header, &node, endpoint.as_ref())?;
        let token = new_token();
        let admin = start_admin(name, process.admin, &node, mesh, token.clone())?;
        let running = Self {
            name: name.to_string(),
            application: config.application.clone(),
            node,
            endpoint,
            followed,
            pages,
            admin,
            run,
            _claim: claim,
        };
        let attempt = "write down the process's addresses below the data folder";
        let note = Note {
            addresses: running.addresses(),
            modules: process.modules.iter().map(ToString::to_string).collect(),
            token,
        };
        let written = running.run.write(name, &note);
        written.map_err(|source| StartError::System { attempt, source })?;
        Ok(running)
    }

    /// Runs until asked to stop, then stops. True when it was told twice and did not finish.
    pub(crate) async fn until_stopped(
        self,
        is_launched: bool,
        mut signals: Signals,
    ) -> std::io::Result<bool> {
        self.announce(is_launched)?;
        if is_launched {
            tokio::select! {
                () = signals.next() => {}
                () = input_closed() => {}
            }
        } else {
            signals.next().await;
            eprintln!("\nstopping; once more stops at once");
        }
        Ok(tokio::select! {
            () = self.stop() => false,
            () = signals.next() => true,
        })
    }

    fn announce(&self, is_launched: bool) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if is_launched {
            writeln!(out, "{READY}{}", serde_json::to_string(&self.addresses())?)?;
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

    fn addresses(&self) -> Addresses {
        Addresses {
            pid: std::process::id(),
            quic: self
                .endpoint
                .as_ref()
                .and_then(|endpoint| endpoint.address()),
            http: self.pages.as_ref().map(Server::address),
            admin: self.admin.address(),
        }
    }

    /// Takes nothing new in, finishes what is in flight, closes the stores.
    async fn stop(self) {
        if let Some(endpoint) = &self.endpoint {
            // The workers end with the pages, and with them their connections.
            _ = tokio::time::timeout(CLOSE_MAX, endpoint.detach()).await;
        }
        if let Some(pages) = &self.pages {
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

/// Where processes are found that have no DNS name.
fn directory(config: &Config, run: RunFolder) -> Arc<dyn Names> {
    Arc::new(Directory::new(config, run))
}

/// Begins to look processes up by DNS, if there are any with a name.
fn follow_dns(
    mesh: &Arc<Mesh>,
    config: &Config,
    names: &Arc<DnsNames>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    if config.processes.iter().all(|process| process.dns.is_none()) {
        return Ok(Vec::new());
    }
    let lookup = Lookup::of_system().map_err(|source| StartError::Dns(Box::new(source)))?;
    let follows = mesh.follow_dns(&config.processes, &lookup, names);
    Ok(follows.into_iter().map(actix_rt::spawn).collect())
}

/// Opens the endpoint through which other processes are reached and reach this one.
fn connect(
    config: &Config,
    process: &ProcessConfig,
    node: &Arc<Node>,
    names: Arc<dyn Names>,
) -> Result<Endpoint, StartError> {
    let authority = Authority::open(&config.data.join("pki"))?;
    let mut options = Options::new(&config.application, &process.name, authority);
    options.incarnation = incarnation();
    options.modules = process.modules.iter().map(ToString::to_string).collect();
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
    node: &Node,
    endpoint: Option<&Arc<Endpoint>>,
) -> Result<Option<Server>, StartError> {
    let Some(listen) = process.http else {
        return Ok(None);
    };
    let pages = app.pages_module().and_then(|module| module.pages);
    let Some(routes) = pages.and_then(|pages| pages(node, tag_header)) else {
        return Ok(None);
    };
    let routes = match endpoint {
        Some(endpoint) => attached(routes, endpoint.clone()),
        None => routes,
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Some(Server::start(listen, workers, routes)?))
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
fn new_token() -> String {
    let mut bytes = [0; 32];
    SystemRandomness.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn start_admin(
    name: &str,
    listen: SocketAddr,
    node: &Arc<Node>,
    mesh: Option<Arc<Mesh>>,
    token: String,
) -> Result<Server, StartError> {
    let (name, node) = (name.to_string(), Arc::downgrade(node));
    let (operated, meshed) = (node.clone(), mesh.clone());
    let desk = Desk {
        token,
        obey: Box::new(move |order| {
            Box::pin(operate::obey(operated.clone(), meshed.clone(), order))
        }),
    };
    let status = move || {
        let modules = node.upgrade().map(|node| node.status()).unwrap_or_default();
        let process = ProcessStatus {
            process: name.clone(),
            state: ProcessState::Running,
            pid: Some(std::process::id()),
            restarts: 0,
            modules,
            traffic: mesh.as_ref().map(|mesh| mesh.status()).unwrap_or_default(),
        };
        serde_json::to_string(&[process]).expect("a status is plain data")
    };
    Ok(Server::start(
        listen,
        1,
        modulith_edge::admin(Arc::new(status), Some(desk)),
    )?)
}
