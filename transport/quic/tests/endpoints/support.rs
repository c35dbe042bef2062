//! Processes for a test: a folder with an authority, a table of addresses, services from closures.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use modulith_quic::{
    Authority, Call, CallFuture, Endpoint, Incoming, MessageSchema, Names, Options, ServeFuture,
    Service, StartError,
};
use tempfile::TempDir;
use tokio::sync::watch;

pub(crate) type Outcome = Result<Vec<u8>, Fault>;

/// Far enough away to play no part.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One machine: processes share its certificates and find each other by name.
pub(crate) struct World {
    folder: TempDir,
    names: Arc<Table>,
}

#[derive(Default)]
pub(crate) struct Table {
    addresses: Mutex<HashMap<String, SocketAddr>>,
    expected: Mutex<HashSet<String>>,
    version: watch::Sender<u64>,
}

impl Names for Table {
    fn resolve(&self, process: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        let found = self.addresses.lock().unwrap().get(process).copied();
        found
            .map(|address| vec![address])
            .ok_or(format!("nobody knows process {process}"))
    }

    fn is_expected(&self, process: &str) -> bool {
        self.expected.lock().unwrap().contains(process)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(self.version.subscribe())
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

/// Makes a service of a closure.
pub(crate) fn service<F, R>(handle: F) -> Arc<dyn Service>
where
    F: Fn(Incoming) -> R + Send + Sync + 'static,
    R: Future<Output = Vec<u8>> + Send + 'static,
{
    Arc::new(Handler(handle))
}

/// Sends back what it gets.
pub(crate) fn echo() -> Arc<dyn Service> {
    service(|request: Incoming| async move { request.body })
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            names: Arc::default(),
        }
    }

    /// Another machine, with the certificates as they are now.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new();
        for file in ["ca.key", "ca.pem"] {
            std::fs::copy(self.folder.path().join(file), copy.folder.path().join(file)).unwrap();
        }
        copy
    }

    pub(crate) fn authority(&self) -> Authority {
        Authority::open(self.folder.path()).unwrap()
    }

    /// A process that hosts a module of the same name, and knows `cart.AddItem` and
    /// `orders.Place`.
    pub(crate) fn options(&self, process: &str) -> Options {
        let mut options = Options::new("boutique", process, self.authority());
        options.modules = vec![process.to_owned()];
        options.messages = [("cart.AddItem", 1), ("orders.Place", 2)]
            .map(|(name, fingerprint)| MessageSchema {
                name: name.to_owned(),
                fingerprint,
            })
            .into();
        options
    }

    pub(crate) fn listening(&self, process: &str) -> Options {
        let listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        Options {
            listen,
            ..self.options(process)
        }
    }

    /// Starts a process and lets others find it.
    pub(crate) fn start(&self, options: Options, service: Arc<dyn Service>) -> Arc<Endpoint> {
        self.try_start(options, service).unwrap()
    }

    pub(crate) fn try_start(
        &self,
        options: Options,
        service: Arc<dyn Service>,
    ) -> Result<Arc<Endpoint>, StartError> {
        let process = options.process.clone();
        let endpoint = Endpoint::start(options, service, self.names.clone())?;
        if let Some(address) = endpoint.address() {
            self.name(&process, address);
        }
        Ok(Arc::new(endpoint))
    }

    pub(crate) fn name(&self, process: &str, address: SocketAddr) {
        let mut addresses = self.names.addresses.lock().unwrap();
        addresses.insert(process.to_owned(), address);
        drop(addresses);
        self.names.version.send_modify(|version| *version += 1);
    }

    /// From now on nobody finds a process.
    pub(crate) fn forget(&self, process: &str) {
        self.names.addresses.lock().unwrap().remove(process);
        self.names.version.send_modify(|version| *version += 1);
    }

    /// Says that a process is about to be there.
    pub(crate) fn expect(&self, process: &str) {
        self.names
            .expected
            .lock()
            .unwrap()
            .insert(process.to_owned());
    }

    /// `shop`, which calls, and `orders`, which serves.
    pub(crate) fn pair(&self, service: Arc<dyn Service>) -> (Arc<Endpoint>, Arc<Endpoint>) {
        let orders = self.start(self.listening("orders"), service);
        let shop = self.start(self.options("shop"), echo());
        (shop, orders)
    }
}

/// `orders.Place` from module `shop` to process `orders`.
pub(crate) fn place(body: impl Into<Vec<u8>>) -> Call {
    Call {
        caller: "shop".into(),
        message: "orders.Place".into(),
        message_id: 7,
        partition: 0,
        priority: 2,
        baggage: Vec::new(),
        deadline: Instant::now() + PATIENCE,
        body: body.into(),
    }
}

pub(crate) fn call(endpoint: &Endpoint, body: impl Into<Vec<u8>>) -> CallFuture {
    endpoint.call("orders", place(body))
}

/// The reason why a process cannot be reached.
#[track_caller]
pub(crate) fn unreachable(outcome: Outcome) -> String {
    match outcome {
        Err(Fault::Unreachable { module, reason }) => {
            assert_eq!(module, "orders");
            reason
        }
        other => panic!("expected that the module is unreachable, found {other:?}"),
    }
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
