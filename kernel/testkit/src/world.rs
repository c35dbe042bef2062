//! Modules in this process, in each placement that one process allows.

use std::{
    cell::{Ref, RefCell},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use modulith_kernel::{
    Environment, Manifest, Module, ModuleStatus, Node, NodeBuilder, NodeError, Options, Outcome,
    Port, Request, SeededRandomness,
};
use tempfile::TempDir;

use crate::{Disk, DiskFault, FakeClock};

/// How long [`World::settled`] waits before it fails the test.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// How long [`until`] waits before it fails the test: longer than anything takes on a slow machine.
const UNTIL_MAX: Duration = Duration::from_secs(60);

/// How often a condition is looked at again.
const GLANCE: Duration = Duration::from_millis(1);

/// Waits for what another thread does.
///
/// # Panics
/// When that takes longer than a minute.
pub async fn until(reached: impl Fn() -> bool) {
    let waited = async {
        while !reached() {
            tokio::time::sleep(GLANCE).await;
        }
    };
    let waited = tokio::time::timeout(UNTIL_MAX, waited).await;
    waited.expect("what the test waits for comes within a minute");
}

/// Adds one module to a node.
type Host = Box<dyn Fn(&mut NodeBuilder)>;

/// Collects the modules of a [`World`].
pub struct WorldBuilder {
    hosts: Vec<Host>,
}

/// Some modules, running in this process on a temporary folder.
pub struct World {
    hosts: Rc<Vec<Host>>,
    encode_always: bool,
    folder: TempDir,
    clock: Arc<FakeClock>,
    randomness: Arc<SeededRandomness>,
    disk: Arc<Disk>,
    node: RefCell<Arc<Node>>,
}

impl WorldBuilder {
    /// Adds a module: another real one, or a stand-in under its name.
    #[must_use]
    pub fn with<M: Module>(mut self, settings: M::Settings) -> Self {
        self.hosts
            .push(Box::new(move |node| _ = node.host::<M>(settings.clone())));
        self
    }

    /// Adds a module with the kernel's settings for it.
    #[must_use]
    pub fn with_options<M: Module>(mut self, settings: M::Settings, options: Options) -> Self {
        self.hosts.push(Box::new(move |node| {
            _ = node.host_with::<M>(settings.clone(), options.clone());
        }));
        self
    }

    /// Knows of a module that another process would host, and nobody does.
    #[must_use]
    pub fn with_neighbour<M: Module>(mut self) -> Self {
        self.hosts
            .push(Box::new(|node| _ = node.neighbour(Manifest::of::<M>())));
        self
    }

    /// Runs a scenario once with messages moved and once with every message encoded, each in a
    /// world of its own.
    ///
    /// # Panics
    /// When the modules do not start, or the scenario panics.
    pub fn run(self, scenario: impl AsyncFn(&World)) {
        let hosts = Rc::new(self.hosts);
        for encode_always in [false, true] {
            println!(
                "placement: one process{}",
                if encode_always { ", encoded" } else { "" }
            );
            actix::System::new().block_on(async {
                let world = World::start(hosts.clone(), encode_always)
                    .unwrap_or_else(|error| panic!("the world does not start: {error:?}"));
                scenario(&world).await;
                let node = world.node().clone();
                node.stop().await;
            });
        }
    }

    /// Starts the modules and gives back why they do not start.
    ///
    /// # Panics
    /// When they do start.
    pub fn start_error(self) -> NodeError {
        actix::System::new().block_on(async {
            match World::start(Rc::new(self.hosts), false) {
                Ok(_) => panic!("the world started, and was expected not to"),
                Err(error) => error,
            }
        })
    }
}

impl World {
    /// Begins a world with one module.
    pub fn of<M: Module>(settings: M::Settings) -> WorldBuilder {
        WorldBuilder { hosts: Vec::new() }.with::<M>(settings)
    }

    /// Begins a world with one module and the kernel's settings for it.
    pub fn of_options<M: Module>(settings: M::Settings, options: Options) -> WorldBuilder {
        WorldBuilder { hosts: Vec::new() }.with_options::<M>(settings, options)
    }

    /// Asks any module of the world.
    ///
    /// # Errors
    /// The module's refusal, or a fault.
    pub async fn ask<R: Request>(&self, request: R) -> Outcome<R> {
        self.port().ask(request).await
    }

    /// A port to everything the world's modules serve.
    pub fn port(&self) -> Port {
        self.node().open_port()
    }

    /// The node the modules run in.
    pub fn node(&self) -> Ref<'_, Arc<Node>> {
        self.node.borrow()
    }

    /// The clock.
    pub fn clock(&self) -> &FakeClock {
        &self.clock
    }

    /// The disk below the stores.
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// The folder that holds the stores and the modules' files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How a module stands.
    ///
    /// # Panics
    /// When the world has no such module.
    pub fn status(&self, module: &str) -> ModuleStatus {
        let mut all = self.node().status().into_iter();
        all.find(|status| status.module == module)
            .expect("the world has this module")
    }

    /// Stops every module gracefully and starts it again on the same stores.
    ///
    /// # Panics
    /// When the modules do not start again.
    pub async fn restart(&self) {
        let old = self.node().clone();
        old.stop().await;
        drop(old);
        self.start_again();
    }

    /// Ends every module where it stands and starts it again on the same stores: what was
    /// waiting or being conducted is lost, as in a crash, and nothing is written on the way out.
    ///
    /// # Panics
    /// When the modules do not start again.
    pub fn crash(&self) {
        let old = self.node().clone();
        let fault = self.disk.replace_fault(DiskFault::Writes as u8);
        old.halt();
        drop(old);
        self.disk.replace_fault(fault);
        self.start_again();
    }

    fn start_again(&self) {
        let node = self
            .boot()
            .unwrap_or_else(|error| panic!("no second start: {error:?}"));
        self.node.replace(node);
    }

    /// Waits until every subscription has dealt with every event of its publisher.
    ///
    /// # Panics
    /// When that takes longer than ten seconds.
    pub async fn settled(&self) {
        let waited = async {
            while !self.is_settled() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        if tokio::time::timeout(SETTLE_MAX, waited).await.is_err() {
            panic!(
                "events are still waiting after {SETTLE_MAX:?}: {:#?}",
                self.node().status()
            );
        }
    }

    fn is_settled(&self) -> bool {
        let status = self.node().status();
        let head = |publisher: &str| {
            status
                .iter()
                .find(|module| module.module == publisher)
                .map_or(0, |m| m.events)
        };
        let mut subscriptions = status.iter().flat_map(|module| &module.subscriptions);
        subscriptions.all(|one| one.position >= head(&one.publisher))
    }

    fn start(hosts: Rc<Vec<Host>>, encode_always: bool) -> Result<Self, NodeError> {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let disk = Arc::new(Disk::below(folder.path()));
        let world = Self {
            hosts,
            encode_always,
            folder,
            clock: Arc::new(FakeClock::at_noon()),
            randomness: Arc::new(SeededRandomness::new(42)),
            disk,
            node: RefCell::new(empty_node()?),
        };
        let node = world.boot()?;
        world.node.replace(node);
        Ok(world)
    }

    fn boot(&self) -> Result<Arc<Node>, NodeError> {
        let mut node = NodeBuilder::new(Environment {
            clock: self.clock.clone(),
            randomness: self.randomness.clone(),
            storage: self.disk.clone(),
            data: self.folder.path().to_path_buf(),
        });
        for host in self.hosts.iter() {
            host(&mut node);
        }
        if self.encode_always {
            node.encode_always();
        }
        node.start()
    }
}

/// Stands where the world's node will.
fn empty_node() -> Result<Arc<Node>, NodeError> {
    NodeBuilder::new(Environment::real("")).start()
}
