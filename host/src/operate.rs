//! Having operations done: by the process that hosts the module, or, when nothing runs, here, on
//! the stores at rest.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

use modulith_kernel::{
    Answered, Environment, Node, NodeBuilder, NodeError, Operation, OperationError, StoreError,
    storage::Files,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    App,
    app::Registered,
    config::Loaded,
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
pub(crate) enum Operators {
    /// Processes that run, by the modules they host.
    Running(BTreeMap<String, Seat>),
    /// This process, on the stores of these modules.
    AtRest(Arc<Node>, Vec<&'static str>),
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
        let seats = seats(data, &running);
        match modules.iter().find(|module| !seats.contains_key(**module)) {
            Some(module) => Err(OperateError::Away {
                module: module.to_string(),
                data: data.clone(),
                running: running
                    .into_iter()
                    .filter(|name| name != LAUNCHER)
                    .collect(),
            }),
            None => Ok(Self::Running(seats)),
        }
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        matches!(self, Self::AtRest(..))
    }

    /// Which of these modules there is something to be asked of: at rest, not those without a
    /// store.
    pub(crate) fn has(&self, module: &str) -> bool {
        match self {
            Self::Running(seats) => seats.contains_key(module),
            Self::AtRest(_, modules) => modules.contains(&module),
        }
    }

    /// Has an operation done.
    pub(crate) async fn ask(
        &self,
        module: &str,
        operation: Operation,
    ) -> Result<Answered, OperateError> {
        match self {
            Self::AtRest(node, _) => Ok(node.operate(module, operation).await?),
            Self::Running(seats) => {
                let seat = seats.get(module).expect("its seat was found before");
                let module = module.to_string();
                seat.send(&Order::Module { module, operation })
            }
        }
    }

    /// Closes the stores that were opened.
    pub(crate) async fn end(self) {
        if let Self::AtRest(node, _) = self {
            node.stop().await;
        }
    }
}

/// The processes that take orders, by what they host.
fn seats(data: &Path, running: &[String]) -> BTreeMap<String, Seat> {
    let run = RunFolder::of(data);
    let mut seats = BTreeMap::new();
    for name in running {
        // One that is still starting has not written anything yet.
        let Some(note) = run.read::<Note>(name) else {
            continue;
        };
        let modules = note.modules.clone();
        let seat = Seat::of(name, note);
        let modules = modules.into_iter();
        seats.extend(modules.map(|module| (module, seat.clone())));
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
    let there = modules.iter().filter(|module| files.path(module).exists());
    let there: Vec<_> = there.copied().collect();
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
            Some(host) => host(&mut node),
            None => _ = node.neighbour(module.manifest.clone()),
        }
    }
    let node = node.start().map_err(|error| match error {
        NodeError::Store(in_use @ StoreError::InUse { .. }) => OperateError::InUse(in_use),
        other => other.into(),
    })?;
    Ok(Operators::AtRest(node, there))
}
