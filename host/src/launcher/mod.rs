//! The launcher: starts the instances of each process in the configuration, watches them, starts
//! again what ends, changes their number when told to, prints one merged log, and stops them in
//! order.

mod board;
mod desk;
mod fleet;
mod instance;
mod printer;
mod steps;

use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use modulith_edge::Server;
use tokio::{process::Command, sync::mpsc, time::timeout};
use tracing::{error, info};

use self::{
    board::Board,
    desk::{Clerk, Known},
    fleet::{Fleet, FleetError},
    instance::Starting,
    steps::Steps,
};
use crate::{
    App,
    config::{Config, LOOPBACK_ANY, ProcessConfig},
    placement::Placement,
    process::{StartError, new_token},
    run_folder::RunFolder,
    signals::Signals,
    status::{LAUNCHER, collect},
};

pub(crate) use self::{
    desk::{Order, Refused, Request},
    steps::Progress,
};

/// How long the program may take to check the configuration before an order is carried out.
const CHECK_MAX: Duration = Duration::from_secs(10);

/// What every process is started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    /// The command line up to `--process NAME`.
    pub(crate) arguments: Vec<String>,
    /// The configuration, which every instance reads by itself.
    pub(crate) config: Option<PathBuf>,
}

impl Launch {
    /// What a process of this configuration is started with: its own program, if it has one.
    fn of(&self, process: &ProcessConfig) -> Self {
        Self {
            program: process
                .program
                .clone()
                .unwrap_or_else(|| self.program.clone()),
            ..self.clone()
        }
    }
}

/// Where the launcher itself listens.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Its status and its desk; none to take a free port.
    pub(crate) admin: Option<SocketAddr>,
    /// The pages' socket, if whoever started the launcher has opened it.
    pub(crate) pages: Option<TcpListener>,
}

/// Runs all processes until asked to stop. The number returned is the exit code.
pub(crate) async fn run(
    app: &App,
    config: &Config,
    launch: Launch,
    listening: Listening,
    mut signals: Signals,
) -> Result<u8, StartError> {
    let run = RunFolder::of(&config.data);
    let claim = run.claim(LAUNCHER)?;
    for name in run.names() {
        // Left by those of another run, which were killed.
        if !run.is_held(&name) {
            run.forget(&name);
        }
    }
    // Made here, before ten processes try to at once.
    if config.pki.is_none() {
        config.authority()?;
    }
    let pages = listen(config, listening.pages)?;
    let steps = Steps::default();
    let (orders, mut taken) = mpsc::channel(1);
    let clerk = Clerk {
        processes: config.processes.iter().map(known).collect(),
        steps: steps.clone(),
        orders,
    };
    let token = new_token();
    let admin = start_admin(config, listening.admin, clerk, token.clone())?;
    let board = Arc::new(Board::new(run.clone(), admin.address(), token));
    let mut fleets = start_fleets(app, config, &launch, pages, &board);

    let code = tokio::select! {
        // A process that cannot start is the reason, even if it is all there is.
        biased;
        code = serve(&config.application, &launch, &mut fleets, &mut taken, &steps) => code,
        () = board.nothing_goes_on() => 1,
        () = signals.next() => {
            eprintln!("\nstopping; once more stops at once");
            0
        }
    };
    drop(taken);
    let order = async {
        // Nothing comes in any more before those that answer go.
        let (front, rest): (Vec<_>, Vec<_>) = fleets.into_iter().partition(Fleet::is_front);
        join_all(front.into_iter().map(Fleet::stop)).await;
        join_all(rest.into_iter().map(Fleet::stop)).await;
    };
    tokio::select! {
        () = order => {}
        // The end of the runtime drops the watchers, which kills what they watch.
        () = signals.next() => {}
    }
    admin.stop().await;
    run.forget(LAUNCHER);
    drop(claim);
    info!("all processes stopped");
    Ok(code)
}

/// The socket for pages, if there are any: opened here, so that connections wait in it while no
/// instance is there to take them, and all instances share it.
fn listen(
    config: &Config,
    handed_over: Option<TcpListener>,
) -> Result<Option<Arc<TcpListener>>, StartError> {
    let Some(address) = config.processes.iter().find_map(|process| process.http) else {
        return Ok(None);
    };
    let listener = match handed_over {
        Some(listener) => listener,
        None => modulith_edge::listen(address)?,
    };
    Ok(Some(Arc::new(listener)))
}

fn known(process: &ProcessConfig) -> Known {
    Known {
        name: process.name.clone(),
        only_address: process.only_address(),
    }
}

fn start_admin(
    config: &Config,
    admin: Option<SocketAddr>,
    clerk: Clerk,
    token: String,
) -> Result<Server, StartError> {
    let data = config.data.clone();
    let status = move || serde_json::to_string(&collect(&data)).expect("a status is plain data");
    let routes = modulith_edge::admin(Arc::new(status), Some(clerk.desk(token)));
    Ok(Server::start(admin.unwrap_or(LOOPBACK_ANY), 1, routes)?)
}

fn start_fleets(
    app: &App,
    config: &Config,
    launch: &Launch,
    mut pages: Option<Arc<TcpListener>>,
    board: &Arc<Board>,
) -> Vec<Fleet> {
    let names = config.processes.iter().map(|process| {
        let last = Placement {
            replica: process.replicas - 1,
            replicas: process.replicas,
        };
        last.name(&process.name).len()
    });
    let width = names.max().unwrap_or_default();
    let processes = config.processes.iter().enumerate();
    let start = |(colour, process): (usize, &ProcessConfig)| {
        let starting = Starting {
            process: process.name.clone(),
            launch: launch.of(process),
            listener: process.http.and_then(|_| pages.take()),
            board: board.clone(),
        };
        Fleet::start(process, app.has_stores(process), starting, (width, colour))
    };
    processes.map(start).collect()
}

/// Says when everything is ready, then carries out orders; returns when a process cannot start.
async fn serve(
    application: &str,
    launch: &Launch,
    fleets: &mut [Fleet],
    orders: &mut mpsc::Receiver<Order>,
    steps: &Steps,
) -> u8 {
    let ready = try_join_all(fleets.iter().map(Fleet::ready)).await;
    let addresses = match ready {
        Ok(addresses) => addresses,
        Err(error) if error.is_final() => {
            error!(%error, "a process cannot start, so the others are stopped");
            return 2;
        }
        // One was given up, which was told; the others go on.
        Err(_) => Vec::new(),
    };
    if !addresses.is_empty() {
        let pages = addresses.into_iter().flatten().find_map(|it| it.http);
        announce(application, fleets.len(), pages);
    }
    while let Some(order) = orders.recv().await {
        let done = async {
            // Nothing is stopped for something that could not be started.
            check(launch).await?;
            obey(fleets, &order, steps).await?;
            Ok::<_, OrderError>(())
        };
        steps.end(done.await.map_err(|error| error.to_string()));
    }
    0
}

async fn obey(fleets: &mut [Fleet], order: &Order, steps: &Steps) -> Result<(), FleetError> {
    for fleet in fleets {
        match order {
            Order::Scale { process, replicas } if process == fleet.process() => {
                fleet.scale(*replicas, steps).await?;
            }
            Order::Restart { process }
                if process.as_deref().is_none_or(|it| it == fleet.process()) =>
            {
                fleet.restart(steps).await?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Why an order fails.
#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("nothing was done, because no process could start: {0}")]
    Check(String),
    #[error(transparent)]
    Fleet(#[from] FleetError),
}

/// Has the program, which may be another than when this one was started, check the configuration,
/// which may be another as well.
async fn check(launch: &Launch) -> Result<(), OrderError> {
    let mut command = Command::new(&launch.program);
    command.arg("check").kill_on_drop(true);
    if let Some(config) = &launch.config {
        command.arg("--config").arg(config);
    }
    let output = match timeout(CHECK_MAX, command.stdin(Stdio::null()).output()).await {
        Ok(output) => output.map_err(|error| OrderError::Check(error.to_string()))?,
        Err(_) => return Err(OrderError::Check("checking takes too long".to_string())),
    };
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(OrderError::Check(said.trim_end().to_string()))
        }
    }
}

fn announce(application: &str, processes: usize, pages: Option<SocketAddr>) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    // Nobody reads the output any more: no reason to stop serving.
    _ = match pages {
        Some(address) => writeln!(
            out,
            "{application} is ready at http://{address} in {processes} processes (Ctrl-C stops it)"
        ),
        None => writeln!(out, "{application} is ready in {processes} processes"),
    };
    _ = out.flush();
}
