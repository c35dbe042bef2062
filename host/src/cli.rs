//! The command line that every application has.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use listenfd::ListenFd;
use modulith_kernel::graph;

use crate::{
    App,
    commands::{
        self, ChaosArgs, CommandError, DeadArgs, EventsArgs, FlowsArgs, Ordered, PkiArgs,
        RestartArgs, ScaleArgs, StoreArgs, VerifyArgs,
    },
    config::{self, Config, ConfigErrors, Loaded},
    graph as drawing,
    launcher::{self, Launch, Listening},
    logging,
    placement::Placement,
    process::{Running, StartError},
    signals::Signals,
    status,
};

/// Something failed while running.
const FAILED: u8 = 1;
/// It could not start: the command line, the configuration or the surroundings are not right.
const CANNOT_START: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    disable_help_subcommand = true,
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Without a command, `run`. Without --config, everything runs in one process.\n\
                  MODULITH_LOG sets log levels, such as debug or info,cart=debug.\n\
                  Exit codes: 0 done, 1 failed while running or found something, 2 could not start.\n\n\
                  Operators: events, dead, flows, store and verify work on the running application, or on\n\
                  its stores when it is stopped; scale and restart on one with a launcher. `COMMAND --help` has examples."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the application: one process, or all of them with a launcher watching over them
    Run(RunArgs),
    /// Checks the configuration and the modules; prints the placement, or every error
    Check(ConfigArgs),
    /// Prints the placement and who asks whom as a Mermaid diagram
    Graph(ConfigArgs),
    /// Shows how a running application stands
    Status(StatusArgs),
    /// Changes how many instances of a process run, without losing a request
    Scale(ScaleArgs),
    /// Starts processes anew, one instance after the other, without losing a request
    Restart(RestartArgs),
    /// Lists the events a module published, or follows them
    Events(EventsArgs),
    /// Lists events that could not be handled; has them handled after all, or drops them
    Dead(DeadArgs),
    /// Lists flows; goes on with parked ones, or takes back what they did
    Flows(FlowsArgs),
    /// Looks at the certificates of processes; replaces the authority that issues them
    Pki(PkiArgs),
    /// Audits all stores: every event handled once, every flow accounted for, books that balance
    Verify(VerifyArgs),
    /// Looks at one module's store, copies it, puts a copy in its place, or makes it smaller
    Store(StoreArgs),
    /// Kills, delays and drops in the running application for a time, then audits it
    Chaos(ChaosArgs),
}

#[derive(Debug, Default, Args)]
struct RunArgs {
    /// The configuration: which process hosts which modules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Runs one process of the configuration, here; without it, all of them
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// Where the pages are served, instead of what the configuration says
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Where the status is served: the launcher's, or this process's
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// The folder of everything that lasts, instead of what the configuration says
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which instance of the process, from 0, where the configuration has several
    #[arg(long, value_name = "I", requires = "process")]
    replica: Option<u16>,
    /// Set by the launcher: how many instances there are now
    #[arg(long, hide = true, requires = "replica")]
    replicas: Option<u16>,
    /// Set by the launcher for the processes it starts
    #[arg(long, hide = true)]
    launched: bool,
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration: which process hosts which modules
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct StatusArgs {
    /// The configuration, for its data folder
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder of the running application
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The admin address of a launcher or a process, instead of a data folder
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(app: &App) -> ExitCode {
    let matches = Cli::command()
        .name(app.name)
        .bin_name(app.name)
        .get_matches();
    // `get_matches` has refused everything that this could.
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run(app, args),
        Command::Check(args) => check(app, &args),
        Command::Graph(args) => print_graph(app, &args),
        Command::Status(args) => print_status(app, &args),
        Command::Scale(args) => operate(app, &Ordered::Scale(args)),
        Command::Restart(args) => operate(app, &Ordered::Restart(args)),
        Command::Events(args) => operate(app, &Ordered::Events(args)),
        Command::Dead(args) => operate(app, &Ordered::Dead(args)),
        Command::Flows(args) => operate(app, &Ordered::Flows(args)),
        Command::Pki(args) => operate(app, &Ordered::Pki(args)),
        Command::Verify(args) => operate(app, &Ordered::Verify(args)),
        Command::Store(args) => operate(app, &Ordered::Store(args)),
        Command::Chaos(args) => operate(app, &Ordered::Chaos(args)),
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{}", failure.for_people(app.name));
            ExitCode::from(failure.code())
        }
    }
}

/// Why a command ends before it has done anything.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    #[error("{0}")]
    Graph(graph::GraphError),
    #[error("--process {found}: the configuration has no such process; it has {}", known.join(", "))]
    UnknownProcess { found: String, known: Vec<String> },
    #[error(
        "process {process} has {replicas} instances; say which one with --replica, 0 to {}",
        replicas - 1
    )]
    WhichReplica { process: String, replicas: u16 },
    #[error(
        "--replica {found}: process {process} has {replicas} instances, expected 0 to {}",
        replicas - 1
    )]
    UnknownReplica {
        process: String,
        found: u16,
        replicas: u16,
    },
    #[error("--http {0}: no process of the configuration serves pages")]
    NoPages(SocketAddr),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("nothing runs on data folder {}; is it the right one? (--data DIR)", .0.display())]
    NothingRuns(PathBuf),
    #[error("nobody answers at admin address {0}; `status --data DIR` finds it by itself")]
    NoAnswer(SocketAddr),
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("cannot {attempt}")]
    System {
        attempt: &'static str,
        source: std::io::Error,
    },
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Command(error) if error.is_failure() => FAILED,
            _ => CANNOT_START,
        }
    }

    /// The error and its causes in one line; configuration errors a line each.
    fn for_people(&self, app: &str) -> String {
        if let Self::Config(errors) = self {
            return errors.to_string();
        }
        let mut text = format!("{app}: {self}");
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        text
    }
}

fn load(app: &App, file: Option<&PathBuf>) -> Result<Loaded, Failure> {
    let loaded = match file {
        Some(file) => config::load(app, file)?,
        None => config::without_file(app)?,
    };
    match graph::check(&app.manifests(&loaded.config))
        .into_iter()
        .next()
    {
        Some(error) => Err(Failure::Graph(error)),
        None => Ok(loaded),
    }
}

fn run(app: &App, args: RunArgs) -> Result<u8, Failure> {
    let mut loaded = load(app, args.config.as_ref())?;
    overrule(&mut loaded.config, &args)?;
    let only = match (&args.process, loaded.config.processes.as_slice()) {
        (Some(wanted), _) => {
            let name = known_process(&loaded.config, wanted)?;
            let placement = placement(&loaded.config, &name, &args)?;
            Some((name, placement))
        }
        (None, [only]) if loaded.config.is_alone() => Some((only.name.clone(), Placement::ONLY)),
        (None, _) => None,
    };
    let attempt = "take the socket that was handed over (LISTEN_FDS)";
    let listener = ListenFd::from_env()
        .take_tcp_listener(0)
        .map_err(|source| Failure::System { attempt, source })?;
    logging::start();
    let system = actix_rt::System::new();
    system.block_on(async {
        let attempt = "listen for signals";
        let signals = Signals::listen().map_err(|source| Failure::System { attempt, source })?;
        match only {
            Some((name, placement)) => {
                let running = Running::start(app, loaded, &name, placement, listener)?;
                run_here(running, args.launched, signals).await
            }
            None => {
                let launch = launch(&args, &loaded.config)?;
                let listening = Listening {
                    admin: args.admin,
                    pages: listener,
                };
                Ok(launcher::run(app, &loaded.config, launch, listening, signals).await?)
            }
        }
    })
}

async fn run_here(running: Running, launched: bool, signals: Signals) -> Result<u8, Failure> {
    let attempt = "say that the process is ready";
    let told_twice = running
        .until_stopped(launched, signals)
        .await
        .map_err(|source| Failure::System { attempt, source })?;
    if told_twice {
        stop_at_once();
    }
    Ok(0)
}

/// Ends the process without waiting for anything. What was acknowledged is durable already.
#[expect(
    clippy::disallowed_methods,
    reason = "a second signal means now; stores survive it"
)]
fn stop_at_once() -> ! {
    eprintln!("stopped at once");
    std::process::exit(130)
}

/// Lets the command line have the last word.
fn overrule(config: &mut Config, args: &RunArgs) -> Result<(), Failure> {
    if let Some(data) = &args.data {
        config.data.clone_from(data);
    }
    if let Some(http) = args.http {
        let pages = config
            .processes
            .iter_mut()
            .find(|process| process.http.is_some());
        pages.ok_or(Failure::NoPages(http))?.http = Some(http);
    }
    let is_alone = config.processes.len() == 1;
    if let Some(admin) = args.admin {
        for process in &mut config.processes {
            if is_alone || args.process.as_ref() == Some(&process.name) {
                process.admin = admin;
            }
        }
    }
    Ok(())
}

fn known_process(config: &Config, wanted: &str) -> Result<String, Failure> {
    let known = || {
        config
            .processes
            .iter()
            .map(|process| process.name.clone())
            .collect()
    };
    match config.process(wanted) {
        Some(process) => Ok(process.name.clone()),
        None => Err(Failure::UnknownProcess {
            found: wanted.to_string(),
            known: known(),
        }),
    }
}

/// Which instance of a process to run.
fn placement(config: &Config, name: &str, args: &RunArgs) -> Result<Placement, Failure> {
    let configured = config.process(name).map_or(1, |process| process.replicas);
    let process = || name.to_string();
    match (args.replica, args.replicas) {
        // The launcher counts by itself.
        (Some(replica), Some(replicas)) => Ok(Placement { replica, replicas }),
        (Some(replica), None) if replica < configured => Ok(Placement {
            replica,
            replicas: configured,
        }),
        (Some(found), None) => Err(Failure::UnknownReplica {
            process: process(),
            found,
            replicas: configured,
        }),
        (None, _) if configured == 1 => Ok(Placement::ONLY),
        (None, _) => Err(Failure::WhichReplica {
            process: process(),
            replicas: configured,
        }),
    }
}

/// The command line of the processes a launcher starts.
fn launch(args: &RunArgs, config: &Config) -> Result<Launch, Failure> {
    let attempt = "find this program's own file";
    let program = std::env::current_exe().map_err(|source| Failure::System { attempt, source })?;
    let mut arguments = vec!["run".to_string()];
    let mut add = |name: &str, value: String| arguments.extend([name.to_string(), value]);
    if let Some(file) = &config.file {
        add("--config", file.display().to_string());
    }
    add("--data", config.data.display().to_string());
    if let Some(http) = args.http {
        add("--http", http.to_string());
    }
    Ok(Launch {
        program,
        arguments,
        config: config.file.clone(),
    })
}

fn check(app: &App, args: &ConfigArgs) -> Result<u8, Failure> {
    let loaded = match &args.config {
        Some(file) => config::load(app, file),
        None => config::without_file(app),
    };
    let manifests = match &loaded {
        Ok(loaded) => app.manifests(&loaded.config),
        // What does not depend on the configuration is told of with its mistakes.
        Err(_) => app.modules.iter().map(|m| m.manifest.clone()).collect(),
    };
    let errors = graph::check(&manifests);
    for error in &errors {
        eprintln!("{}: {error}", app.name);
    }
    let loaded = loaded?;
    if !errors.is_empty() {
        return Ok(CANNOT_START);
    }
    let errors = loaded.config.check_certificates();
    if !errors.is_empty() {
        let file = args.config.clone();
        return Err(ConfigErrors { file, errors }.into());
    }
    print!("{}", drawing::text(&loaded.config, &manifests));
    Ok(0)
}

fn print_graph(app: &App, args: &ConfigArgs) -> Result<u8, Failure> {
    let loaded = load(app, args.config.as_ref())?;
    print!(
        "{}",
        drawing::mermaid(&loaded.config, &app.manifests(&loaded.config))
    );
    Ok(0)
}

fn operate(app: &App, ordered: &Ordered) -> Result<u8, Failure> {
    let common = ordered.common();
    let reload = || {
        let mut loaded = load(app, common.config.as_ref())?;
        if let Some(data) = &common.data {
            loaded.config.data.clone_from(data);
        }
        Ok::<_, Failure>(loaded)
    };
    let loaded = reload()?;
    let system = actix_rt::System::new();
    let done = system.block_on(commands::run(app, loaded, ordered, || reload().ok()));
    Ok(done?)
}

fn print_status(app: &App, args: &StatusArgs) -> Result<u8, Failure> {
    let processes = match args.admin {
        Some(admin) => status::fetch_all(admin).ok_or(Failure::NoAnswer(admin))?,
        None => {
            let data = match &args.data {
                Some(data) => data.clone(),
                None => load(app, args.config.as_ref())?.config.data,
            };
            let processes = status::collect(&data);
            if processes.is_empty() {
                return Err(Failure::NothingRuns(data));
            }
            processes
        }
    };
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&processes).expect("a status is plain data")
        );
    } else {
        print!("{}", status::table(&processes));
    }
    Ok(if status::is_well(&processes) {
        0
    } else {
        FAILED
    })
}
