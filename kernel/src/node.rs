//! A node: the modules of one process, wired to each other and to the network.

use std::{
    any::TypeId,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{
    future::{BoxFuture, join_all},
    stream::BoxStream,
};
use modulith_contract::{Fault, Fingerprint};

use crate::{
    Declaration, Environment, Manifest, MessageName, Module, Network, Options, Port, Setup,
    SetupError, StoreError,
    actor::ModuleActor,
    audit::KeepLedger,
    dead::{Letters, LettersOf},
    declaration::Asked,
    expiry,
    feed::{FeedEntry, LocalSource, RemoteSource, Source, feed_fingerprint, feed_message},
    flow::{self, FlowLine, FlowPart, Order, Resume},
    follow::{Subscription, follow},
    graph::{self, GraphError},
    home::Home,
    instance::Instance,
    log::Published,
    mailbox::Mailbox,
    network::{Call, Entry, Loopback, fault},
    port::Route,
    retention,
    status::{self, ModuleStatus},
    store::{EVENTS, Store},
    stream::only_fault,
    thread::Thread,
};

/// How long the callers of flows are waited for once their node is told to stop. What has not
/// ended then goes on when the node starts again.
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
    at_rest: bool,
}

/// Starts one module.
type Start = dyn FnOnce(&Environment, fn() -> Thread) -> Result<Hosted, NodeError>;

/// A started module, before it is wired to others.
struct Hosted {
    home: Arc<Home>,
    routes: Vec<(TypeId, Route)>,
    entries: Vec<(String, Arc<dyn Entry>)>,
    asked: Vec<Asked>,
    resumes: BTreeMap<&'static str, Resume>,
    follows: Vec<Follow>,
    tools: Arc<Tools>,
}

/// What people look at a module with.
pub(crate) struct Tools {
    pub(crate) letters: Arc<dyn Letters>,
    pub(crate) published: Vec<Published>,
    pub(crate) ledger: KeepLedger,
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
    tools: BTreeMap<&'static str, Arc<Tools>>,
    /// Events that nobody listens to.
    unheard: Vec<MessageName>,
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
            at_rest: false,
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
        let mut hosted = Vec::with_capacity(self.hosted.len());
        for start in self.hosted {
            match start(&self.environment, self.threads) {
                Ok(module) => hosted.push(module),
                Err(error) => {
                    end_all(&hosted);
                    return Err(error);
                }
            }
        }
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
            tools: hosted
                .iter()
                .map(|module| (module.home.module(), module.tools.clone()))
                .collect(),
            unheard: unheard(&self.manifests),
            open_port,
            gates: gates(entries, &self.manifests),
        });
        if self.at_rest {
            return Ok(node);
        }
        node.tell_of_unheard();
        _ = loopback.node.set(Arc::downgrade(&node));
        for (module, sources) in hosted.into_iter().zip(begun) {
            module.run(sources)?;
        }
        Ok(node)
    }
}

impl Hosted {
    /// Starts what a module does on its own: following others' events, going on with its flows,
    /// and removing what has expired.
    fn run(self, sources: Vec<Arc<dyn Source>>) -> Result<(), Fault> {
        let home = self.home;
        let Some(thread) = home.thread() else {
            return Ok(());
        };
        let swept = home.clone();
        thread.spawn(move || expiry::keep(swept));
        for (id, running) in flow::unfinished(&home)? {
            match self.resumes.get(&*running.about.name) {
                Some(resume) => resume(id, running),
                None => flow::orphan(&home, id, &running),
            }
        }
        home.resumes.store(Some(Arc::new(self.resumes)));
        for (follow, source) in self.follows.into_iter().zip(sources) {
            let followed = (follow.begin)(source);
            thread.spawn(move || followed);
        }
        if !home.manifest.publishes.is_empty() {
            let home = home.clone();
            thread.spawn(move || retention::keep(home));
        }
        Ok(())
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
        let store = Store::open(
            M::NAME,
            M::STORE_VERSION,
            M::migrate,
            environment.clone(),
            options.durability,
        )?;
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
    let listened = Arc::new(declaration.listened);
    let publishers: BTreeSet<_> = listened.iter().map(|event| event.publisher).collect();
    let follows = publishers.into_iter().map(|publisher| {
        let subscription = Arc::new(Subscription {
            publisher,
            position: 0.into(),
            head: 0.into(),
            stuck: Mutex::default(),
        });
        let (instance, followed) = (instance.clone(), subscription.clone());
        let listened = listened.clone();
        Follow {
            subscription,
            begin: Box::new(move |source| Box::pin(follow(instance, followed, listened, source))),
        }
    });
    let follows = follows.collect();
    let conducted = declaration.conducted.into_iter();
    let resumes = conducted
        .map(|one| (one.name, (one.resume)(instance.clone())))
        .collect();
    let tools = Tools {
        letters: Arc::new(LettersOf {
            instance: instance.clone(),
            listened: listened.clone(),
        }),
        published: declaration.published,
        ledger: M::ledger,
    };
    Ok(Hosted {
        home,
        routes,
        entries,
        asked: declaration.asked,
        resumes,
        follows,
        tools: Arc::new(tools),
    })
}

/// Tells every publisher who listens to it, wherever that is hosted.
fn know_subscribers(hosted: &[Hosted], manifests: &[Manifest]) -> Result<(), Fault> {
    for module in hosted {
        let home = &module.home;
        if home.manifest.publishes.is_empty() {
            continue;
        }
        let listens = |manifest: &&Manifest| {
            let mut listened = manifest.listens.iter();
            listened.any(|event| event.message.module == home.module())
        };
        let listeners = manifests.iter().filter(listens);
        let listeners = listeners.map(|manifest| manifest.module);
        home.retention.know(home.store()?, listeners)?;
    }
    Ok(())
}

/// The events that nobody in the application listens to.
fn unheard(manifests: &[Manifest]) -> Vec<MessageName> {
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

/// Ends the threads of modules that were started.
fn end_all(hosted: &[Hosted]) {
    let threads = hosted.iter().filter_map(|module| module.home.thread());
    threads.for_each(Thread::end);
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
            Some(module) if self.local => Arc::new(LocalSource {
                subscriber: subscriber.into(),
                publisher: module.home.clone(),
            }),
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
        Some(Port::clone(&home.port()))
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
        match self.entry(&call) {
            Ok(entry) => entry.clone().serve(call),
            Err(denied) => Box::pin(async move { fault(denied) }),
        }
    }

    /// Serves a stream query from another process: the encoded items, made as they are taken.
    /// Whoever drops the stream ends their making.
    ///
    /// What is checked is what [`Node::serve`] checks.
    pub fn serve_stream(&self, call: Call) -> BoxStream<'static, Vec<u8>> {
        match self.entry(&call) {
            Ok(entry) => entry.clone().stream(call),
            Err(denied) => only_fault(denied),
        }
    }

    /// What serves a request, if it is served here and its caller declares that it asks it.
    fn entry(&self, call: &Call) -> Result<&Arc<dyn Entry>, Fault> {
        let Some(gate) = self.gates.get(&*call.message) else {
            let reason = format!("this process does not serve {}", call.message);
            let module = call.module().to_string();
            return Err(Fault::Unreachable { module, reason });
        };
        if !gate.callers.contains(&*call.caller) {
            let (caller, message) = (call.caller.to_string(), call.message.to_string());
            tracing::warn!(caller, message, "undeclared ask denied");
            return Err(Fault::Denied { caller, message });
        }
        Ok(&gate.entry)
    }

    /// How every hosted module stands.
    pub fn status(&self) -> Vec<ModuleStatus> {
        let of = |home: &Arc<Home>| {
            let subscriptions = self.subscriptions.get(home.module());
            status::of_module(
                home,
                subscriptions.map_or(&[], Vec::as_slice),
                &self.unheard,
            )
        };
        self.homes.iter().map(of).collect()
    }

    /// The flows of a module: those that have not ended, then the latest of the others, up to
    /// `limit`. None when it is not hosted here.
    ///
    /// # Errors
    /// [`Fault::Store`] when its store cannot be read.
    pub fn flows(&self, module: &str, limit: usize) -> Result<Option<Vec<FlowLine>>, Fault> {
        let home = self.home(module);
        home.map(|home| flow::list(&home.store()?.snapshot()?, limit))
            .transpose()
    }

    /// Removes what has expired of a module's kept replies and ended flows, without waiting for
    /// the next time it would be done by itself. Returns how many there were.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] when the module is not hosted here, [`Fault::Store`] when its store
    /// cannot be changed.
    pub async fn sweep(&self, module: &str) -> Result<usize, Fault> {
        expiry::sweep(self.hosted(module)?).await
    }

    /// One flow and its steps so far. None when the module or the flow is not here.
    ///
    /// # Errors
    /// [`Fault::Store`] when the store cannot be read.
    pub fn flow(&self, module: &str, id: u128) -> Result<Option<(FlowLine, Vec<FlowPart>)>, Fault> {
        match self.home(module) {
            Some(home) => flow::show(&home.store()?.snapshot()?, id),
            None => Ok(None),
        }
    }

    /// Goes on with a parked flow: its code is run again from the start, with its journal.
    ///
    /// # Errors
    /// [`Fault::Denied`] when there is no such flow, or it is not parked.
    pub async fn retry_flow(&self, module: &str, id: u128) -> Result<(), Fault> {
        self.order_flow(module, id, Order::Retry).await
    }

    /// Takes back what a running or parked flow did, and ends it.
    ///
    /// # Errors
    /// [`Fault::Denied`] when there is no such flow, or it has ended.
    pub async fn cancel_flow(&self, module: &str, id: u128) -> Result<(), Fault> {
        self.order_flow(module, id, Order::Cancel).await
    }

    async fn order_flow(&self, module: &str, id: u128, order: Order) -> Result<(), Fault> {
        let home = self.hosted(module)?;
        if let Some(running) = flow::order(home, id, order).await? {
            let Some(resumes) = home.resumes.load_full() else {
                // At rest: it goes on when its module runs again.
                return Ok(());
            };
            match resumes.get(&*running.about.name) {
                Some(resume) => resume(id, running),
                None => flow::orphan(home, id, &running),
            }
        }
        Ok(())
    }

    fn hosted(&self, module: &str) -> Result<&Arc<Home>, Fault> {
        self.home(module).ok_or_else(|| Fault::Unreachable {
            module: module.to_string(),
            reason: "this process does not host it".to_string(),
        })
    }

    fn home(&self, module: &str) -> Option<&Arc<Home>> {
        self.homes.iter().find(|home| home.module() == module)
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
    /// Flows that somebody waits for may take [`CONDUCT_DRAIN_MAX`] to come to their end before
    /// that; all others go on when the node starts again.
    pub async fn stop(&self) {
        let conducted = join_all(self.homes.iter().map(|home| home.conducted()));
        if tokio::time::timeout(CONDUCT_DRAIN_MAX, conducted)
            .await
            .is_err()
        {
            tracing::warn!("stopped while callers waited for flows");
        }
        let mailboxes = self.homes.iter().filter_map(|home| home.mailbox().ok());
        join_all(mailboxes.map(Mailbox::stop)).await;
        self.halt();
    }

    /// Ends every module where it stands, as a crash would, and closes the stores.
    ///
    /// What is durable stays; what waits is gone, and flows go on from
    /// their journals when the node starts again.
    pub fn halt(&self) {
        for home in &self.homes {
            home.stop("its process is shutting down");
        }
        let threads = self.homes.iter().filter_map(|home| home.thread());
        threads.for_each(Thread::end);
        for home in &self.homes {
            home.leave_for_good();
        }
    }

    fn tell_of_unheard(&self) {
        for event in &self.unheard {
            if self.tools.contains_key(event.module) {
                tracing::debug!(module = event.module, event = event.name, "nobody listens");
            }
        }
    }

    /// A hosted module, for tools.
    pub(crate) fn tools(&self, module: &str) -> Result<(&Arc<Home>, &Tools), Fault> {
        let home = self.homes.iter().find(|home| home.module() == module);
        home.zip(self.tools.get(module).map(Arc::as_ref))
            .ok_or_else(|| Fault::Unreachable {
                module: module.to_string(),
                reason: "this process does not host it".to_string(),
            })
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
