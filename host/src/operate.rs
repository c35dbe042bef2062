//! Having operations done: by the process that hosts the module, or, when nothing runs, here, on
//! the stores at rest.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use modulith_kernel::{
    Answered, Environment, Neighbour, Node, NodeBuilder, NodeError, Operation, OperationError,
    PARTITIONS_MAX, Partition, StoreError,
    storage::{Files, Storage},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    App,
    app::Registered,
    config::{Config, Loaded},
    mesh::{FaultOrder, Mesh},
    run_folder::{Note, RunFolder},
    status::LAUNCHER,
};

/// How long an operation may take: copying or auditing a large store takes minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// How long a process may take to be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest answer: what an auditor is told of a million orders.
const ANSWER_BYTES_MAX: u64 = 512 << 20;

/// What is sent to a process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Order {
    /// To be done with a module.
    Module {
        module: String,
        operation: Operation,
    },
    /// About the calls it sends.
    Faults { faults: FaultOrder },
}

/// Why an operation is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperateError {
    #[error("there is no module {found}; modules with a store are {}", known.join(", "))]
    UnknownModule { found: String, known: Vec<String> },
    #[error(
        "the process that hosts module {module} does not run, while others of data folder {} do \
         ({}); wait until it is back, see `status`, or stop them all to work on the stores at rest",
        data.display(),
        running.join(", ")
    )]
    Away {
        module: String,
        data: PathBuf,
        running: Vec<String>,
    },
    #[error("module {module} has {}; there is no partition {found}", partitions_text(*count))]
    UnknownPartition {
        module: String,
        found: u16,
        count: u16,
    },
    #[error(
        "module {module} has {count} partitions, each with a store of its own; say which: \
         --partition 0 to {}",
        count - 1
    )]
    WhichPartition { module: String, count: u16 },
    #[error(
        "module {module} has no store below data folder {}; is it the right one? (--data DIR, or \
         --config FILE)",
        data.display()
    )]
    NoStore { module: String, data: PathBuf },
    #[error(
        "there are no stores below data folder {}; is it the right one? (--data DIR, or --config \
         FILE)",
        .0.display()
    )]
    NoStores(PathBuf),
    #[error("{0}; its process is starting or stopping: try again in a moment")]
    InUse(StoreError),
    #[error("the stores cannot be opened")]
    Start(#[from] NodeError),
    #[error("process {process} does not answer at {admin}: {reason}; see `status`")]
    Silent {
        process: String,
        admin: SocketAddr,
        reason: String,
    },
    #[error(transparent)]
    Operation(#[from] OperationError),
}

fn partitions_text(count: u16) -> String {
    match count {
        1 => "one store, and is not divided".to_string(),
        _ => format!("{count} partitions, 0 to {}", count - 1),
    }
}

/// Carries out an order that came to this process.
pub(crate) async fn obey(node: Weak<Node>, mesh: Option<Arc<Mesh>>, order: Vec<u8>) -> String {
    let done: Result<Answered, OperationError> = match serde_json::from_slice(&order) {
        Ok(Order::Module { module, operation }) => match node.upgrade() {
            Some(node) => node.operate(&module, operation).await,
            None => Err(OperationError::Cannot("the process is stopping".into())),
        },
        Ok(Order::Faults { faults }) => put_faults(mesh, faults),
        Err(error) => Err(OperationError::Cannot(format!(
            "the order is not understood: {error}; are both programs of one version?"
        ))),
    };
    serde_json::to_string(&done).expect("an answer is plain data")
}

fn put_faults(mesh: Option<Arc<Mesh>>, faults: FaultOrder) -> Result<Answered, OperationError> {
    let alone = "this process calls no other, and faults are put into calls between processes";
    let mesh = mesh.ok_or_else(|| OperationError::Cannot(alone.to_string()))?;
    mesh.order(faults).map_err(OperationError::Cannot)?;
    Ok(Answered::Done("faults".to_string()))
}

/// The modules of an application that have a store.
pub(crate) fn stateful(app: &App) -> Vec<&'static str> {
    let stateful = |module: &&Registered| module.manifest.is_stateful();
    let stateful = app.modules.iter().filter(stateful);
    stateful.map(|module| module.manifest.module).collect()
}

/// Finds a module of an application that has a store.
pub(crate) fn known<'a>(app: &'a App, name: &str) -> Result<&'a Registered, OperateError> {
    let mut modules = app.modules.iter();
    let is_named =
        |module: &&Registered| module.manifest.module == name && module.manifest.is_stateful();
    modules
        .find(is_named)
        .ok_or_else(|| OperateError::UnknownModule {
            found: name.to_string(),
            known: stateful(app).into_iter().map(str::to_string).collect(),
        })
}

/// Whatever carries out operations.
pub(crate) struct Operators {
    who: Who,
    /// Of each module that is divided: into how many partitions.
    partitions: BTreeMap<&'static str, u16>,
}

enum Who {
    /// Processes that run, by the modules and partitions they host.
    Running(BTreeMap<String, Seat>),
    /// This process, on stores of these names.
    AtRest(Arc<Node>, Vec<String>),
}

/// A process that takes orders.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    process: String,
    admin: SocketAddr,
    token: Arc<str>,
}

impl Operators {
    /// Finds whoever carries out operations on these modules. Inside an actix system.
    ///
    /// Of stores at rest, those that are not there are left out; one of them has to be.
    pub(crate) fn find(
        app: &App,
        loaded: Loaded,
        modules: &[&'static str],
    ) -> Result<Self, OperateError> {
        let data = &loaded.config.data;
        let running = RunFolder::of(data).held();
        if running.is_empty() {
            return at_rest(app, loaded, modules);
        }
        let seats = seats(&loaded.config, &running);
        let is_there = |module: &str| {
            let mut all = Partition::all(loaded.config.partitions_of(module));
            all.all(|partition| seats.contains_key(&partition.name(module)))
        };
        match modules.iter().find(|module| !is_there(module)) {
            Some(module) => Err(OperateError::Away {
                module: module.to_string(),
                data: data.clone(),
                running: running
                    .into_iter()
                    .filter(|name| name != LAUNCHER)
                    .collect(),
            }),
            None => Ok(Self {
                who: Who::Running(seats),
                partitions: loaded.config.partitions,
            }),
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self.who, Who::AtRest(..))
    }

    /// The partitions of a module, or the one that was chosen, by name: `cart/2`, or `cart` where
    /// it is not divided. At rest, only those that have a store.
    ///
    /// # Errors
    /// [`OperateError::UnknownPartition`].
    pub(crate) fn names(
        &self,
        module: &str,
        chosen: Option<u16>,
    ) -> Result<Vec<String>, OperateError> {
        let count = self.count(module);
        if let Some(found) = chosen.filter(|chosen| *chosen >= count) {
            let module = module.to_string();
            return Err(OperateError::UnknownPartition {
                module,
                found,
                count,
            });
        }
        let all = Partition::all(count);
        let wanted = all.filter(|one| chosen.is_none_or(|chosen| chosen == one.index()));
        let names = wanted.map(|one| one.name(module));
        Ok(names.filter(|name| self.has(name)).collect())
    }

    /// Into how many partitions a module is divided.
    pub(crate) fn count(&self, module: &str) -> u16 {
        self.partitions.get(module).copied().unwrap_or(1)
    }

    /// Whether there is something to be asked of a module or partition of this name: at rest, not
    /// of those without a store.
    pub(crate) fn has(&self, name: &str) -> bool {
        match &self.who {
            Who::Running(seats) => seats.contains_key(name),
            Who::AtRest(_, names) => names.iter().any(|known| known == name),
        }
    }

    /// Has an operation done with a module or partition of this name.
    pub(crate) async fn ask(
        &self,
        name: &str,
        operation: Operation,
    ) -> Result<Answered, OperateError> {
        match &self.who {
            Who::AtRest(node, _) => Ok(node.operate(name, operation).await?),
            Who::Running(seats) => {
                let seat = seats.get(name).expect("its seat was found before");
                let module = name.to_string();
                seat.send(&Order::Module { module, operation })
            }
        }
    }

    /// Closes the stores that were opened.
    pub(crate) async fn end(self) {
        if let Who::AtRest(node, _) = self.who {
            node.stop().await;
        }
    }
}

/// The processes that take orders, by what they host: of a divided module the partitions whose
/// number leads to that instance.
fn seats(config: &Config, running: &[String]) -> BTreeMap<String, Seat> {
    let run = RunFolder::of(&config.data);
    let mut seats = BTreeMap::new();
    for name in running {
        // One that is still starting has not written anything yet.
        let Some(note) = run.read::<Note>(name) else {
            continue;
        };
        let (replica, replicas) = (note.replica, note.replicas.max(1));
        let modules = note.modules.clone();
        let seat = Seat::of(name, note);
        for module in modules {
            let all = Partition::all(config.partitions_of(&module));
            let here = all.filter(|one| one.index() % replicas == replica % replicas);
            seats.extend(here.map(|one| (one.name(&module), seat.clone())));
        }
    }
    seats
}

impl Seat {
    /// The process that has written itself down under this name.
    pub(crate) fn of(name: &str, note: Note) -> Self {
        Self {
            process: name.to_string(),
            admin: note.addresses.admin,
            token: note.token.into(),
        }
    }

    /// Puts faults into the calls of this process, or takes them away.
    pub(crate) fn put_faults(&self, faults: FaultOrder) -> Result<(), OperateError> {
        self.send(&Order::Faults { faults }).map(|_| ())
    }

    fn send(&self, order: &Order) -> Result<Answered, OperateError> {
        let done: Result<Answered, OperationError> =
            post(self.admin, &self.token, order).map_err(|reason| OperateError::Silent {
                process: self.process.clone(),
                admin: self.admin,
                reason,
            })?;
        Ok(done?)
    }
}

/// Sends an order to the desk at an admin address. The error says why there is no answer.
pub(crate) fn post<T: DeserializeOwned>(
    admin: SocketAddr,
    token: &str,
    order: &impl Serialize,
) -> Result<T, String> {
    let agent = ureq::Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(ANSWER_TIMEOUT))
        .build();
    let body = serde_json::to_vec(order).expect("an order is plain data");
    let mut response = ureq::Agent::from(agent)
        .post(format!("http://{admin}/operate"))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .send(body)
        .map_err(|error| error.to_string())?;
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| format!("its answer is not understood: {error}"))
}

/// Opens the stores of these modules here, and nothing else.
fn at_rest(app: &App, loaded: Loaded, modules: &[&'static str]) -> Result<Operators, OperateError> {
    let Loaded {
        config,
        mut hostings,
    } = loaded;
    let files = Files::below(&config.data);
    // Those of another division too: they are refused with what to do about it.
    let has_any = |module: &&&'static str| {
        let mut partitions = Partition::all(PARTITIONS_MAX);
        files.has(module) || partitions.any(|one| files.has(&one.name(module)))
    };
    let there: Vec<_> = modules.iter().filter(has_any).copied().collect();
    if there.is_empty() {
        return Err(match modules {
            [module] => OperateError::NoStore {
                module: module.to_string(),
                data: config.data,
            },
            _ => OperateError::NoStores(config.data),
        });
    }
    let mut node = NodeBuilder::new(Environment::real(&config.data));
    node.at_rest();
    for module in &app.modules {
        let name = module.manifest.module;
        match hostings.remove(name).filter(|_| there.contains(&name)) {
            Some(hosting) => (hosting.host)(&mut node),
            None => {
                let partitions = config.partitions_of(name);
                node.neighbour_with(module.manifest.clone(), Neighbour { partitions });
            }
        }
    }
    let node = node.start().map_err(|error| match error {
        NodeError::Store(in_use @ StoreError::InUse { .. }) => OperateError::InUse(in_use),
        other => other.into(),
    })?;
    let names = there.iter().flat_map(|module| {
        let partitions = Partition::all(config.partitions_of(module));
        partitions.map(|partition| partition.name(module))
    });
    let names = names.filter(|name| files.has(name)).collect();
    Ok(Operators {
        who: Who::AtRest(node, names),
        partitions: config.partitions,
    })
}
