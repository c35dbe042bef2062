//! The launcher: starts a process for each one in the configuration, watches them, starts again
//! what ends, prints one merged log, and stops them in order.
//!
//! A process is told to stop by closing its standard input, which also happens by itself when the
//! launcher is killed: no process outlives it unnoticed.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write, stdout},
    net::SocketAddr,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use modulith_edge::Server;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

use crate::{
    config::{Config, LOOPBACK_ANY},
    process::{READY, StartError},
    run_folder::{Addresses, RunFolder},
    signals::Signals,
    status::{LAUNCHER, LauncherStatus, ProcessState, ProcessStatus, collect},
};

/// The waits before a process is started again: doubled from the first up to the second.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(5);

/// A process that ran this long is well again: its waits begin anew.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// After how many ends in a row, each before [`WELL_AFTER`], a process is given up.
const GIVE_UP_ENDS: u32 = 10;

/// How long a process may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The longest line of a process's log that is passed on, in bytes.
const LINE_BYTES_MAX: usize = 16 << 10;

/// What every process is started with.
#[derive(Debug, Clone)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    /// The command line up to `--process NAME`.
    pub(crate) arguments: Vec<String>,
}

/// How far stopping has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stopping {
    No,
    /// Those that bring requests in.
    Front,
    All,
}

/// What a process's watcher tells the launcher.
enum News {
    Ready(Addresses),
    /// It ended, before it was ever ready, in a way that another start would not mend.
    CannotStart(String),
}

/// Runs all processes until asked to stop. The number returned is the exit code.
pub(crate) async fn run(
    config: &Config,
    launch: Launch,
    admin: Option<SocketAddr>,
    mut signals: Signals,
) -> Result<u8, StartError> {
    let run = RunFolder::of(&config.data);
    let claim = run.claim(LAUNCHER)?;
    for process in &config.processes {
        run.forget(&process.name);
    }
    // Made here, before ten processes try to at once.
    modulith_quic::Authority::open(&config.data.join("pki"))?;
    let admin = start_admin(config, admin)?;
    let board = Arc::new(Board::new(config, run.clone()));
    let (stopping, stop) = watch::channel(Stopping::No);
    let (tell, mut news) = mpsc::channel(config.processes.len());
    let names = config.processes.iter().map(|process| process.name.len());
    let width = names.max().unwrap_or_default();
    let watchers = config.processes.iter().enumerate().map(|(index, process)| {
        let watcher = Watcher {
            name: process.name.clone(),
            is_front: process.http.is_some(),
            launch: Launch {
                program: process.program.clone().unwrap_or(launch.program.clone()),
                ..launch.clone()
            },
            board: board.clone(),
            printer: Printer::new(&process.name, width, index),
        };
        actix_rt::spawn(watcher.watch(stop.clone(), tell.clone()))
    });
    let watchers = join_all(watchers.collect::<Vec<_>>());
    tokio::pin!(watchers);
    drop(tell);

    let code = tokio::select! {
        code = announce_when_ready(&config.application, config.processes.len(), &mut news) => code,
        () = signals.next() => {
            eprintln!("\nstopping; once more stops at once");
            0
        }
    };
    let order = async {
        // Nothing comes in any more before those that answer go.
        stopping.send_replace(Stopping::Front);
        board.front_is_down(config).await;
        stopping.send_replace(Stopping::All);
        watchers.await;
    };
    tokio::select! {
        () = order => {}
        // Dropping the watchers kills what they watch.
        () = signals.next() => {}
    }
    admin.stop().await;
    run.forget(LAUNCHER);
    drop(claim);
    info!("all processes stopped");
    Ok(code)
}

/// Prints the address once every process is ready, then waits on; returns when one cannot start.
async fn announce_when_ready(
    application: &str,
    processes: usize,
    news: &mut mpsc::Receiver<News>,
) -> u8 {
    let mut ready = 0;
    let mut pages = None;
    while let Some(item) = news.recv().await {
        match item {
            News::CannotStart(name) => {
                error!(
                    process = name,
                    "a process cannot start, so the others are stopped"
                );
                return 2;
            }
            News::Ready(addresses) => {
                ready += 1;
                pages = pages.or(addresses.http);
                if ready == processes {
                    let mut out = stdout().lock();
                    // Nobody reads the output any more: no reason to stop serving.
                    _ = match pages {
                        Some(address) => writeln!(
                            out,
                            "{application} is ready at http://{address} in {processes} processes \
                             (Ctrl-C stops it)"
                        ),
                        None => writeln!(out, "{application} is ready in {processes} processes"),
                    };
                    _ = out.flush();
                }
            }
        }
    }
    // Every process was given up.
    1
}

fn start_admin(config: &Config, admin: Option<SocketAddr>) -> Result<Server, StartError> {
    let data = config.data.clone();
    let status = move || serde_json::to_string(&collect(&data)).expect("a status is plain data");
    let routes = modulith_edge::admin(Arc::new(status), None);
    Ok(Server::start(admin.unwrap_or(LOOPBACK_ANY), 1, routes)?)
}

/// How the processes stand, written down at each change for `status`.
struct Board {
    run: RunFolder,
    states: Mutex<BTreeMap<String, ProcessStatus>>,
    changed: watch::Sender<()>,
}

impl Board {
    fn new(config: &Config, run: RunFolder) -> Self {
        let starting = |name: &str| ProcessStatus {
            process: name.to_string(),
            state: ProcessState::Starting,
            pid: None,
            restarts: 0,
            modules: Vec::new(),
            traffic: Vec::new(),
        };
        let processes = config.processes.iter();
        let states = processes.map(|process| (process.name.clone(), starting(&process.name)));
        Self {
            run,
            states: Mutex::new(states.collect()),
            changed: watch::Sender::new(()),
        }
    }

    fn set(&self, name: &str, change: impl FnOnce(&mut ProcessStatus)) {
        let mut states = self.lock();
        if let Some(status) = states.get_mut(name) {
            change(status);
        }
        let written = LauncherStatus {
            pid: std::process::id(),
            processes: states.values().cloned().collect(),
        };
        drop(states);
        if let Err(error) = self.run.write(LAUNCHER, &written) {
            warn!(%error, "cannot write down how the processes stand");
        }
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ProcessStatus>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn front_is_down(&self, config: &Config) {
        let front: Vec<_> = config
            .processes
            .iter()
            .filter(|p| p.http.is_some())
            .collect();
        let is_down = || {
            let states = self.lock();
            front
                .iter()
                .all(|process| states.get(&process.name).is_none_or(|s| s.pid.is_none()))
        };
        let mut changed = self.changed.subscribe();
        while !is_down() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Watches over one process.
struct Watcher {
    name: String,
    is_front: bool,
    launch: Launch,
    board: Arc<Board>,
    printer: Printer,
}

impl Watcher {
    async fn watch(self, mut stop: watch::Receiver<Stopping>, tell: mpsc::Sender<News>) {
        let mut wait = RESTART_FIRST;
        let mut ends = 0;
        let mut was_ready = false;
        loop {
            let started = Instant::now();
            let (end, ready) = self.run_once(&mut stop, &tell).await;
            was_ready |= ready;
            self.board.set(&self.name, |status| status.pid = None);
            if self.must_stop(&stop) {
                return;
            }
            if !was_ready && end.is_some_and(|end| end.code() == Some(2)) {
                // The launcher has stopped listening only if another could not start either.
                _ = tell.send(News::CannotStart(self.name.clone())).await;
                return;
            }
            if started.elapsed() > WELL_AFTER {
                (wait, ends) = (RESTART_FIRST, 0);
            }
            ends += 1;
            let how = how_it_ended(end);
            if ends >= GIVE_UP_ENDS {
                error!(
                    process = self.name,
                    how, ends, "process given up; the others go on"
                );
                self.board
                    .set(&self.name, |status| status.state = ProcessState::GivenUp);
                return;
            }
            warn!(
                process = self.name,
                how,
                wait_ms = wait.as_millis(),
                "process ended, starting it again"
            );
            self.board.set(&self.name, |status| {
                status.state = ProcessState::Restarting;
                status.restarts += 1;
            });
            tokio::select! {
                () = sleep(wait) => {}
                () = told_to_stop(&mut stop, self.is_front) => return,
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    }

    fn must_stop(&self, stop: &watch::Receiver<Stopping>) -> bool {
        *stop.borrow()
            >= if self.is_front {
                Stopping::Front
            } else {
                Stopping::All
            }
    }

    /// Starts the process and stays with it until it ends. How it ended, and whether it was ready.
    async fn run_once(
        &self,
        stop: &mut watch::Receiver<Stopping>,
        tell: &mpsc::Sender<News>,
    ) -> (Option<ExitStatus>, bool) {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => {
                error!(process = self.name, %error, "process cannot be started");
                return (None, false);
            }
        };
        self.board.set(&self.name, |status| status.pid = child.id());
        // Held for as long as the process is to run.
        let input = child.stdin.take();
        let (ready, mut is_ready) = watch::channel(false);
        let output = join_all([
            actix_rt::spawn(self.printer.clone().print(child.stderr.take(), None)),
            actix_rt::spawn(self.printer.clone().print(child.stdout.take(), Some(ready))),
        ]);
        let end = {
            let tell_ready = async {
                if is_ready.wait_for(|ready| *ready).await.is_ok() {
                    self.board
                        .set(&self.name, |status| status.state = ProcessState::Running);
                    if let Some(addresses) = self.board.run.read::<Addresses>(&self.name) {
                        // Nobody listens once all have been ready.
                        _ = tell.send(News::Ready(addresses)).await;
                    }
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                end = child.wait() => end.ok(),
                () = tell_ready => None,
                () = told_to_stop(stop, self.is_front) => {
                    drop(input);
                    self.end_of(&mut child).await
                }
            }
        };
        output.await;
        let was_ready = *is_ready.borrow();
        (end, was_ready)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        Command::new(&self.launch.program)
            .args(&self.launch.arguments)
            .args(["--launched", "--process", &self.name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the terminal reaches the launcher alone, which stops
            // the processes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Waits for a process that was told to stop, and kills it when it does not.
    async fn end_of(&self, child: &mut Child) -> Option<ExitStatus> {
        if let Ok(end) = timeout(STOP_MAX, child.wait()).await {
            return end.ok();
        }
        warn!(
            process = self.name,
            "process did not stop in time and is killed"
        );
        // It may have ended at this very moment.
        _ = child.kill().await;
        child.wait().await.ok()
    }
}

async fn told_to_stop(stop: &mut watch::Receiver<Stopping>, is_front: bool) {
    let enough = if is_front {
        Stopping::Front
    } else {
        Stopping::All
    };
    // The launcher holds the sender for as long as watchers run.
    _ = stop.wait_for(|stopping| *stopping >= enough).await;
}

fn how_it_ended(end: Option<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match end {
        None => "not started".to_string(),
        Some(end) => match (end.code(), end.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown".to_string(),
        },
    }
}

/// Prints a process's lines under its name.
#[derive(Clone)]
struct Printer {
    prefix: String,
}

impl Printer {
    fn new(name: &str, width: usize, index: usize) -> Self {
        // Six colours that can be read on light and dark.
        const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
        let colour = COLOURS[index % COLOURS.len()];
        let prefix = match std::io::stderr().is_terminal() {
            true => format!("\x1b[{colour}m{name:>width$} │\x1b[0m "),
            false => format!("{name:>width$} | "),
        };
        Self { prefix }
    }

    async fn print<R: AsyncRead + Unpin>(
        self,
        from: Option<R>,
        ready: Option<watch::Sender<bool>>,
    ) {
        let Some(from) = from else { return };
        let mut lines = BufReader::with_capacity(LINE_BYTES_MAX, from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match bounded_line(&mut lines, &mut line).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let text = String::from_utf8_lossy(&line);
            match &ready {
                Some(ready) if text.starts_with(READY) => _ = ready.send_replace(true),
                _ => {
                    let line = format!("{}{}\n", self.prefix, text.trim_end());
                    // Standard error may be closed: the log has no reader then.
                    _ = std::io::stderr().lock().write_all(line.as_bytes());
                }
            }
        }
    }
}

/// Reads a line, or the beginning of one that is too long. False at the end.
async fn bounded_line<R: AsyncRead + Unpin>(
    from: &mut BufReader<R>,
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    loop {
        let chunk = from.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let used = newline.map_or(chunk.len(), |end| end + 1);
        line.extend_from_slice(&chunk[..used]);
        from.consume(used);
        if newline.is_some() || line.len() >= LINE_BYTES_MAX {
            return Ok(true);
        }
    }
}
