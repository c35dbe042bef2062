//! A mesh that calls real endpoints over loopback, all in this process.

mod balancing;
mod discovery;
mod policies;
mod repeating;
mod streams;
mod typed_streams;

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use modulith_kernel::{
    Call, Carried, DeclaredMessage, Fault, Fingerprint, Kind, Manifest, MessageName, Network, Stop,
};
use modulith_quic::{
    Authority, Endpoint, Incoming, MessageSchema, Names, Options, ServeFuture, Service,
};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{Instance, Mesh, TrafficStatus};
use crate::config::{Config, LOOPBACK_ANY, ProcessConfig, Rules, Traffic};

type Outcome = Result<Vec<u8>, Fault>;

/// Far enough away to play no part.
const PATIENCE: Duration = Duration::from_secs(30);

/// A query of a module without a store.
const CONVERT: &str = "currency.Convert";
/// One that is answered by a stream.
const LIST: &str = "currency.ListRates";
/// A command and a query of one with a store.
const PLACE: &str = "orders.Place";
const GET: &str = "orders.Get";

/// Where instances are, for tests to change.
#[derive(Default)]
struct Table(Mutex<HashMap<String, SocketAddr>>);

impl Names for Table {
    fn resolve(&self, _: &str, instance: &str) -> Result<Vec<SocketAddr>, String> {
        let found = self.0.lock().unwrap().get(instance).copied();
        let address = found.ok_or(format!("nobody knows {instance}"))?;
        Ok(vec![address])
    }
}

struct Handler<F>(F);

impl<F, R> Service for Handler<F>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<u8>> + Send + 'static,
{
    fn serve(&self, request: Incoming) -> ServeFuture {
        Box::pin((self.0)(request))
    }
}

fn service<F, R>(handle: F) -> Arc<dyn Service>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<u8>> + Send + 'static,
{
    Arc::new(Handler(handle))
}

/// A reply, as the kernel encodes what went well.
fn reply(text: &str) -> Vec<u8> {
    [&[0], text.as_bytes()].concat()
}

/// A fault of the module asked, as the kernel encodes it.
fn fault(fault: Fault) -> Vec<u8> {
    let outcome: Result<(), Stop<()>> = Err(Stop::Fault(fault));
    modulith_kernel::codec::encode(&outcome).unwrap()
}

/// Answers with a text, and counts.
fn says(text: &'static str, count: &Arc<AtomicUsize>) -> Arc<dyn Service> {
    let count = count.clone();
    service(move |_| {
        count.fetch_add(1, SeqCst);
        async move { reply(text) }
    })
}

fn counts<const N: usize>() -> [Arc<AtomicUsize>; N] {
    std::array::from_fn(|_| Arc::default())
}

fn message(module: &'static str, name: &'static str, kind: Kind) -> DeclaredMessage {
    DeclaredMessage {
        message: MessageName { module, name },
        kind,
        fingerprint: Fingerprint(1),
        keyed: true,
        fans_out: false,
    }
}

fn manifests() -> Vec<Manifest> {
    let empty = |module| Manifest {
        module,
        partitions: 1,
        handles: vec![],
        answers: vec![],
        publishes: vec![],
        listens: vec![],
        asks: vec![],
    };
    vec![
        empty("storefront"),
        Manifest {
            answers: vec![
                message("currency", "Convert", Kind::Query),
                message("currency", "ListRates", Kind::StreamQuery),
            ],
            ..empty("currency")
        },
        Manifest {
            handles: vec![message("orders", "Place", Kind::Command)],
            answers: vec![message("orders", "Get", Kind::Query)],
            ..empty("orders")
        },
    ]
}

fn process(name: &str, modules: &[&'static str], replicas: u16) -> ProcessConfig {
    ProcessConfig {
        name: name.to_string(),
        modules: modules.to_vec(),
        replicas,
        dns: None,
        program: None,
        network_threads: 1,
        spin_us: 0,
        identity: None,
        http: None,
        quic: None,
        admin: LOOPBACK_ANY,
    }
}

/// `shop` calls `money`, which may have several instances, `money-next`, and `orders`.
struct World {
    folder: TempDir,
    names: Arc<Table>,
    config: Config,
    running: HashMap<String, Arc<Endpoint>>,
}

impl World {
    /// With so many instances of `money`, and this said of traffic.
    fn new(money: u16, traffic: Vec<(&str, Rules)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let traffic = traffic.into_iter().map(|(name, rules)| Traffic {
            name: name.to_string(),
            rules,
        });
        let config = Config {
            application: "boutique".to_string(),
            data: folder.path().to_path_buf(),
            encode_always: false,
            processes: vec![
                process("shop", &["storefront"], 1),
                process("money", &["currency"], money),
                process("money-next", &["currency"], 1),
                process("orders", &["orders"], 1),
            ],
            traffic: traffic.collect(),
            tag_header: None,
            pki: None,
            partitions: BTreeMap::new(),
            file: None,
        };
        Self {
            folder,
            names: Arc::default(),
            config,
            running: HashMap::new(),
        }
    }

    fn endpoint(
        &self,
        process: &str,
        listen: Option<SocketAddr>,
        names: Arc<dyn Names>,
        service: Arc<dyn Service>,
    ) -> Endpoint {
        let authority = Authority::open(self.folder.path()).unwrap();
        let mut options = Options::new("boutique", process, authority);
        let config = self.config.process(process).unwrap();
        options.modules = config.modules.iter().map(ToString::to_string).collect();
        options.messages = [CONVERT, LIST, PLACE, GET]
            .map(|name| MessageSchema {
                name: name.to_string(),
                fingerprint: 1,
            })
            .into();
        options.listen = listen;
        Endpoint::start(options, service, names).unwrap()
    }

    /// Starts an instance, at the address it had if it ran before.
    fn start(&mut self, process: &str, instance: &str, service: Arc<dyn Service>) {
        let before = self.running.remove(instance);
        let listen = before.and_then(|endpoint| endpoint.address());
        let listen = listen.unwrap_or((Ipv4Addr::LOCALHOST, 0).into());
        let endpoint = self.endpoint(process, Some(listen), self.names.clone(), service);
        let address = endpoint.address().unwrap();
        let mut names = self.names.0.lock().unwrap();
        names.insert(instance.to_string(), address);
        drop(names);
        self.running
            .insert(instance.to_string(), Arc::new(endpoint));
    }

    /// Ends an instance as if it were killed.
    fn kill(&self, instance: &str) {
        self.running[instance].close(Duration::ZERO);
    }

    /// Whoever calls, with all configured instances known.
    fn mesh(&self) -> Arc<Mesh> {
        let mesh = Arc::new(Mesh::new(&self.config, &manifests()));
        let shop = self.endpoint(
            "shop",
            None,
            self.names.clone(),
            service(|_| async { vec![] }),
        );
        mesh.connect(Arc::new(shop));
        mesh.know_configured(&self.config.processes);
        mesh
    }
}

/// A call from `shop`; commands carry an id.
fn call(message: &str) -> Call {
    let is_command = message == PLACE;
    Call {
        caller: "storefront".into(),
        message: message.into(),
        partition: 0,
        id: if is_command { fastrand::u128(1..) } else { 0 },
        carried: Carried::default(),
        deadline: Instant::now() + PATIENCE,
        body: Vec::new(),
    }
}

async fn ask(mesh: &Mesh, message: &str) -> Outcome {
    mesh.call(call(message)).await
}

/// Who answered.
async fn answered(mesh: &Mesh, message: &str) -> String {
    let reply = ask(mesh, message).await.unwrap();
    String::from_utf8(reply[1..].to_vec()).unwrap()
}

fn traffic(mesh: &Mesh, process: &str) -> TrafficStatus {
    let mut status = mesh.status().into_iter();
    status.find(|status| status.to == process).unwrap()
}

/// Waits for what is sure to come.
async fn until(what: impl Fn() -> bool) {
    let waited = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

fn instance(name: &str) -> Instance {
    Instance {
        name: name.into(),
        replica: None,
        replicas: 1,
    }
}
