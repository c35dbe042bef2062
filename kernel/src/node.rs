//! A node: the modules of one process, wired to each other and to the network.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::{BoxFuture, join_all};
use modulith_contract::{Fault, Fingerprint};

use crate::{
    Declaration, Environment, Manifest, Module, Network, Options, Port, Setup, SetupError,
    StoreError,
    actor::ModuleActor,
    declaration::Asked,
    feed::{
        FeedEntry, LocalSource, RemoteSource, Source, Subscription, feed_fingerprint, feed_message,
        follow,
    },
    graph::{self, GraphError},
    home::Home,
    instance::Instance,
    mailbox::Mailbox,
    network::{Call, Entry, Loopback, fault},
    port::Route,
    status::{self, ModuleStatus},
    store::{EVENTS, Store},
    thread::Thread,
};

/// How long commands being conducted may take to end once their node is told to stop.
///
/// Longer than any reply is waited for, so that whoever asked has an answer.
pub const CONDUCT_DRAIN_MAX: Duration = Duration::from_secs(5);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The declarations do not fit together; the first of the errors.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store was opened but cannot be read.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A module cannot be made from its settings.
    #[error("module {module} cannot start")]
    Setup {
        /// The module.
        module: &'static str,
        /// What its settings ask for that cannot be.
        source: SetupError,
    },
}

/// Collects what a node hosts and where the rest lives.
pub struct NodeBuilder {
    environment: Environment,
    manifests: Vec<Manifest>,
    hosted: Vec<Box<Start>>,
    network: Option<Arc<dyn Network>>,
    encode_always: bool,
    threads: fn() -> Thread,
}

/// Starts one module.
type Start = dyn FnOnce(&Environment, fn() -> Thread) -> Result<Hosted, NodeError>;

/// A started module, before it is wired to others.
struct Hosted {
    home: Arc<Home>,
    routes: Vec<(TypeId, Route)>,
    entries: Vec<(String, Arc<dyn Entry>)>,
    asked: Vec<Asked>,
    follows: Vec<Follow>,
}

/// A subscription that waits to be told where to read.
struct Follow {
    subscription: Arc<Subscription>,
    begin: Box<dyn FnOnce(Arc<dyn Source>) -> BoxFuture<'static, ()>>,
}

/// A request served to other processes, and the modules that declare that they ask it.
struct Gate {
    entry: Arc<dyn Entry>,
    callers: BTreeSet<&'static str>,
}

/// The modules of one process, running.
pub struct Node {
    homes: Vec<Arc<Home>>,
    /// What is served to other processes, as `module.Message`.
    gates: HashMap<String, Gate>,
    messages: Vec<(String, Fingerprint)>,
    subscriptions: BTreeMap<&'static str, Vec<Arc<Subscription>>>,
    open_port: Port,
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
        }
    }

    /// Hosts a module in this node.
    pub fn host<M: Module>(&mut self, settings: M::Settings) -> &mut Self {
        self.host_with::<M>(settings, Options::default())
    }

    /// Hosts a module in this node, with the kernel's settings for it.
    pub fn host_with<M: Module>(&mut self, settings: M::Settings, options: Options) -> &mut Self {
        self.manifests.push(Manifest::of::<M>());
        self.hosted.push(Box::new(move |environment, threads| {
            start::<M>(environment, settings, options, threads)
        }));
        self
    }

    /// Knows of a module that another process hosts.
    pub fn neighbour(&mut self, manifest: Manifest) -> &mut Self {
        self.manifests.push(manifest);
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

    /// Opens the stores, starts the modules and wires them. Inside an actix system.
    ///
    /// # Errors
    /// The first thing that does not fit, open or start; nothing keeps running then.
    pub fn start(self) -> Result<Arc<Node>, NodeError> {
        if let Some(error) = graph::check(&self.manifests).into_iter().next() {
            return Err(error.into());
        }
        let mut hosted = Vec::with_capacity(self.hosted.len());
        for start in self.hosted {
            match start(&self.environment, self.threads) {
                Ok(module) => hosted.push(module),
                Err(error) => {
                    let threads = hosted.iter().filter_map(|module| module.home.thread());
                    threads.for_each(Thread::end);
                    return Err(error);
                }
            }
        }
        let loopback = Arc::new(Loopback::default());
        let network = match self.network {
            Some(network) if !self.encode_always => network,
            _ => loopback.clone(),
        };
        let wiring = Wiring {
            hosted: &hosted,
            network,
            local: !self.encode_always,
        };
        for module in &hosted {
            module
                .home
                .settle(wiring.port(&self.environment, module.home.module(), &module.asked));
        }
        let open_port = wiring.open_port(&self.environment);
        let begun: Vec<_> = wiring.follows_of_all();
        let entries = hosted
            .iter_mut()
            .flat_map(|m| std::mem::take(&mut m.entries))
            .collect();
        let node = Arc::new(Node {
            homes: hosted.iter().map(|module| module.home.clone()).collect(),
            messages: messages(&self.manifests),
            subscriptions: hosted
                .iter()
                .map(|module| {
                    let follows = module.follows.iter();
                    let subscriptions = follows.map(|follow| follow.subscription.clone());
                    (module.home.module(), subscriptions.collect())
                })
                .collect(),
            open_port,
            gates: gates(entries, &self.manifests),
        });
        _ = loopback.node.set(Arc::downgrade(&node));
        for (module, sources) in hosted.into_iter().zip(begun) {
            module.follow(sources);
        }
        Ok(node)
    }
}

impl Hosted {
    /// Starts what a module does on its own: following others' events.
    fn follow(self, sources: Vec<Arc<dyn Source>>) {
        let Some(thread) = self.home.thread() else {
            return;
        };
        for (follow, source) in self.follows.into_iter().zip(sources) {
            let followed = (follow.begin)(source);
            thread.spawn(move || followed);
        }
    }
}

/// Makes a module and, if it is stateful, opens its store and starts its actor on its thread.
fn start<M: Module>(
    environment: &Environment,
    settings: M::Settings,
    options: Options,
    threads: fn() -> Thread,
) -> Result<Hosted, NodeError> {
    let declaration = Declaration::<M>::collect();
    let stateful = declaration.manifest.is_stateful();
    let (store, head) = if stateful {
        let store = Store::open(M::NAME, M::STORE_VERSION, M::migrate, environment.clone())?;
        let head = store
            .snapshot()?
            .last(&EVENTS)?
            .map_or(0, |(number, _)| number);
        (Some(store), head)
    } else {
        (None, 0)
    };
    let publishes = !declaration.manifest.publishes.is_empty();
    let home = Home::new(
        declaration.manifest,
        options,
        environment.clone(),
        store,
        head,
    );
    let setup = Setup {
        folder: environment.data.join(M::NAME),
    };
    let instance =
        Instance::<M>::new(home.clone(), settings, setup).map_err(|source| NodeError::Setup {
            module: M::NAME,
            source,
        })?;
    let instance = Arc::new(instance);
    if stateful {
        let thread = threads();
        let renewed = instance.clone();
        let renew = Box::new(move || renewed.renew());
        let actor = ModuleActor::start_on(&thread, home.clone(), renew);
        home.open_mailbox(Mailbox::new(M::NAME, actor));
        home.live_on(thread);
    }
    let mut routes = Vec::new();
    let mut entries = Vec::new();
    for served in declaration.served {
        let (route, entry) = (served.make)(instance.clone());
        routes.push((served.type_id, route));
        entries.push((format!("{}.{}", M::NAME, served.name), entry));
    }
    if publishes {
        entries.push((feed_message(M::NAME), Arc::new(FeedEntry(home.clone()))));
    }
    let mut by_publisher = BTreeMap::<&'static str, Vec<_>>::new();
    for event in declaration.listened {
        by_publisher.entry(event.publisher).or_default().push(event);
    }
    let follows = by_publisher.into_iter().map(|(publisher, events)| {
        let subscription = Arc::new(Subscription {
            publisher,
            position: 0.into(),
            stuck: Mutex::default(),
        });
        let (instance, followed) = (instance.clone(), subscription.clone());
        Follow {
            subscription,
            begin: Box::new(move |source| Box::pin(follow(instance, followed, events, source))),
        }
    });
    let follows = follows.collect();
    Ok(Hosted {
        home,
        routes,
        entries,
        asked: declaration.asked,
        follows,
    })
}

/// Finds the way from each module to each other one.
struct Wiring<'a> {
    hosted: &'a [Hosted],
    network: Arc<dyn Network>,
    /// Whether modules of this node reach each other directly.
    local: bool,
}

impl Wiring<'_> {
    fn port(&self, environment: &Environment, module: &'static str, asked: &[Asked]) -> Port {
        let routes = asked.iter().map(|ask| {
            let direct = self.local.then(|| self.direct(ask.type_id)).flatten();
            (
                ask.type_id,
                direct.unwrap_or_else(|| (ask.remote)(module, self.network.clone())),
            )
        });
        Port::new(module, environment.clone(), routes.collect())
    }

    fn direct(&self, type_id: TypeId) -> Option<Route> {
        let mut routes = self.hosted.iter().flat_map(|module| &module.routes);
        routes
            .find(|(id, _)| *id == type_id)
            .map(|(_, route)| route.clone())
    }

    /// A port with a route to everything served here.
    fn open_port(&self, environment: &Environment) -> Port {
        let routes = self
            .hosted
            .iter()
            .flat_map(|module| module.routes.iter().cloned());
        Port::new("node", environment.clone(), routes.collect())
    }

    /// For each module, where each of its subscriptions reads.
    fn follows_of_all(&self) -> Vec<Vec<Arc<dyn Source>>> {
        let of_one = |module: &Hosted| {
            let publishers = module
                .follows
                .iter()
                .map(|follow| follow.subscription.publisher);
            publishers
                .map(|publisher| self.source(module.home.module(), publisher))
                .collect()
        };
        self.hosted.iter().map(of_one).collect()
    }

    fn source(&self, subscriber: &'static str, publisher: &'static str) -> Arc<dyn Source> {
        let here = self
            .hosted
            .iter()
            .find(|module| module.home.module() == publisher);
        match here {
            Some(module) if self.local => Arc::new(LocalSource(module.home.clone())),
            _ => Arc::new(RemoteSource {
                subscriber,
                publisher,
                network: self.network.clone(),
            }),
        }
    }
}

fn gates(entries: Vec<(String, Arc<dyn Entry>)>, manifests: &[Manifest]) -> HashMap<String, Gate> {
    let callers = |message: &str| {
        let declares = |manifest: &&Manifest| {
            manifest
                .asks
                .iter()
                .any(|ask| ask.message.to_string() == message)
                || manifest
                    .listens
                    .iter()
                    .any(|e| feed_message(e.message.module) == message)
        };
        manifests
            .iter()
            .filter(declares)
            .map(|manifest| manifest.module)
            .collect()
    };
    entries
        .into_iter()
        .map(|(message, entry)| {
            (
                message.clone(),
                Gate {
                    entry,
                    callers: callers(&message),
                },
            )
        })
        .collect()
}

fn messages(manifests: &[Manifest]) -> Vec<(String, Fingerprint)> {
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

impl Node {
    /// The port of a hosted module: what it declares, and nothing else.
    pub fn port(&self, module: &str) -> Option<Port> {
        let home = self.homes.iter().find(|home| home.module() == module)?;
        Some(home.port().clone())
    }

    /// A port to everything the node's modules serve, for tests and tools.
    pub fn open_port(&self) -> Port {
        self.open_port.clone()
    }

    /// Every message the application knows, with its fingerprint, in order of name: what two
    /// processes compare when they meet.
    pub fn messages(&self) -> &[(String, Fingerprint)] {
        &self.messages
    }

    /// Serves a request from another process: the encoded outcome.
    ///
    /// That the caller is who it says is the transport's to verify; that it may ask is checked
    /// here, against its declaration.
    pub fn serve(&self, call: Call) -> BoxFuture<'static, Vec<u8>> {
        let Some(gate) = self.gates.get(&*call.message) else {
            let reason = format!("this process does not serve {}", call.message);
            let module = call.module().to_string();
            return Box::pin(async move { fault(Fault::Unreachable { module, reason }) });
        };
        if !gate.callers.contains(&*call.caller) {
            let (caller, message) = (call.caller.to_string(), call.message.to_string());
            tracing::warn!(caller, message, "undeclared ask denied");
            return Box::pin(async move { fault(Fault::Denied { caller, message }) });
        }
        gate.entry.clone().serve(call)
    }

    /// How every hosted module stands.
    pub fn status(&self) -> Vec<ModuleStatus> {
        let of = |home: &Arc<Home>| {
            let subscriptions = self.subscriptions.get(home.module());
            status::of_module(home, subscriptions.map_or(&[], Vec::as_slice))
        };
        self.homes.iter().map(of).collect()
    }

    /// Stops following events, and answers the questions for events that other processes have
    /// left open, so that connections can be drained at once.
    pub fn leave(&self) {
        for home in &self.homes {
            home.leaving.send_replace(true);
        }
    }

    /// Stops every module: no new messages, what waits is committed, stores are closed.
    ///
    /// Commands being conducted may take [`CONDUCT_DRAIN_MAX`] to come to their end before that.
    pub async fn stop(&self) {
        let conducted = join_all(self.homes.iter().map(|home| home.conducted()));
        if tokio::time::timeout(CONDUCT_DRAIN_MAX, conducted)
            .await
            .is_err()
        {
            tracing::warn!("stopped while commands were being conducted");
        }
        let mailboxes = self.homes.iter().filter_map(|home| home.mailbox().ok());
        join_all(mailboxes.map(Mailbox::stop)).await;
        self.halt();
    }

    /// Ends every module where it stands, as a crash would, and closes the stores.
    ///
    /// What is durable stays; what waits or is being conducted is gone.
    pub fn halt(&self) {
        for home in &self.homes {
            home.stop("its process is shutting down");
        }
        let threads = self.homes.iter().filter_map(|home| home.thread());
        threads.for_each(Thread::end);
        for home in &self.homes {
            home.close_store();
        }
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let modules: Vec<_> = self.homes.iter().map(|home| home.module()).collect();
        f.debug_struct("Node")
            .field("modules", &modules)
            .finish_non_exhaustive()
    }
}
