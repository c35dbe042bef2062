//! One instance of a process: started, watched, started again when it ends by itself, and told to
//! stop.
//!
//! It is told by closing its standard input, which also happens by itself when the launcher is
//! killed: no instance outlives it unnoticed.

use std::{
    net::TcpListener,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use command_fds::{CommandFdExt, FdMapping};
use futures_util::future::join_all;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::{error, warn};

use super::{Launch, board::Board, printer::Printer};
use crate::{
    placement::Placement,
    run_folder::{Addresses, Note},
    signals,
    status::ProcessState,
};

/// The waits before a process is started again: doubled from the first up to the second.
const RESTART_FIRST: Duration = Duration::from_millis(100);
const RESTART_MAX: Duration = Duration::from_secs(5);

/// A process that ran this long is well again: its waits begin anew.
const WELL_AFTER: Duration = Duration::from_secs(10);

/// After how many ends in a row, each before [`WELL_AFTER`], a process is given up.
const GIVE_UP_ENDS: u32 = 10;

/// How long a process may take to stop, beyond the time its clients have to leave, before it is
/// killed.
const STOP_MAX: Duration = Duration::from_secs(15);

/// The first file descriptor that is handed over (`sd_listen_fds(3)`).
const FIRST_FD: i32 = 3;

/// What every instance of a process is started with.
#[derive(Clone)]
pub(super) struct Starting {
    pub(super) process: String,
    pub(super) launch: Launch,
    /// Where its pages are served, shared by all instances.
    pub(super) listener: Option<Arc<TcpListener>>,
    pub(super) board: Arc<Board>,
}

/// How an instance shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// Others take its place; clients have this long to go to them.
    HandingOver(Duration),
    Now,
}

/// How far an instance has come.
#[derive(Debug, Clone)]
enum Phase {
    Starting,
    Ready(Addresses),
    /// It ended, before it was ever ready, in a way that another start would not mend.
    CannotStart,
    GivenUp,
    Stopped,
}

/// Why an instance is not ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotReady {
    #[error("it cannot start; the log says why")]
    CannotStart,
    #[error("it ended too often; the log says why")]
    GivenUp,
    #[error("it was stopped")]
    Stopped,
}

/// An instance that is watched. Dropped, it goes on.
pub(super) struct Instance {
    pub(super) placement: Placement,
    pub(super) name: String,
    board: Arc<Board>,
    stop: watch::Sender<Stop>,
    phase: watch::Receiver<Phase>,
    watcher: JoinHandle<()>,
}

impl Instance {
    /// Starts it. Inside an actix system.
    pub(super) fn start(
        starting: Starting,
        placement: Placement,
        restarts: u32,
        printer: Printer,
    ) -> Self {
        let name = placement.name(&starting.process);
        let board = starting.board.clone();
        board.run.forget(&name);
        board.add(&starting.process, &name, restarts);
        let (stop, told) = watch::channel(Stop::No);
        let (tell, phase) = watch::channel(Phase::Starting);
        let watcher = Watcher {
            name: name.clone(),
            placement,
            starting,
            printer,
            tell,
        };
        Self {
            placement,
            name,
            board,
            stop,
            phase,
            watcher: actix_rt::spawn(watcher.watch(told)),
        }
    }

    /// Waits until it has been ready once.
    pub(super) async fn ready(&self) -> Result<Addresses, NotReady> {
        let mut phase = self.phase.clone();
        let known = phase.wait_for(|phase| !matches!(phase, Phase::Starting));
        match known.await.as_deref() {
            Ok(Phase::Ready(addresses)) => Ok(addresses.clone()),
            Ok(Phase::CannotStart) => Err(NotReady::CannotStart),
            Ok(Phase::GivenUp) => Err(NotReady::GivenUp),
            Ok(Phase::Stopped | Phase::Starting) | Err(_) => Err(NotReady::Stopped),
        }
    }

    /// Stops it for good, giving its clients time to go to others, and strikes it off.
    pub(super) async fn leave(mut self, time_to_leave: Duration) {
        self.board
            .set(&self.name, |status| status.state = ProcessState::Draining);
        self.stop.send_replace(Stop::HandingOver(time_to_leave));
        self.ended().await;
        self.board.remove(&self.name);
    }

    /// Stops it to make room for another of its name or of its process; it stays listed until that
    /// is there.
    pub(super) async fn make_room(&mut self, time_to_leave: Duration) {
        self.board
            .set(&self.name, |status| status.state = ProcessState::Replacing);
        self.stop.send_replace(Stop::HandingOver(time_to_leave));
        self.ended().await;
    }

    /// Stops it together with everything else.
    pub(super) async fn stop(mut self) {
        self.stop.send_replace(Stop::Now);
        self.ended().await;
    }

    /// How often it was started again after it had ended by itself.
    pub(super) fn restarts(&self) -> u32 {
        self.board.restarts(&self.name)
    }

    async fn ended(&mut self) {
        // A watcher that panicked was reported when it happened, and its child killed.
        _ = (&mut self.watcher).await;
    }
}

/// Watches over one instance.
struct Watcher {
    name: String,
    placement: Placement,
    starting: Starting,
    printer: Printer,
    tell: watch::Sender<Phase>,
}

impl Watcher {
    async fn watch(self, mut stop: watch::Receiver<Stop>) {
        let board = self.starting.board.clone();
        let mut wait = RESTART_FIRST;
        let mut ends = 0;
        let mut was_ready = false;
        loop {
            let started = Instant::now();
            let (end, ready) = self.run_once(&mut stop).await;
            was_ready |= ready;
            board.set(&self.name, |status| status.pid = None);
            // It may have been killed before it could do so itself.
            board.run.forget(&self.name);
            if *stop.borrow() != Stop::No {
                return self.tell(Phase::Stopped);
            }
            if !was_ready && end.is_some_and(|end| end.code() == Some(2)) {
                board.set(&self.name, |status| status.state = ProcessState::GivenUp);
                return self.tell(Phase::CannotStart);
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
                board.set(&self.name, |status| status.state = ProcessState::GivenUp);
                return self.tell(Phase::GivenUp);
            }
            warn!(
                process = self.name,
                how,
                wait_ms = wait.as_millis(),
                "process ended, starting it again"
            );
            board.set(&self.name, |status| {
                status.state = ProcessState::Restarting;
                status.restarts += 1;
            });
            tokio::select! {
                () = sleep(wait) => {}
                _ = told_to_stop(&mut stop) => return self.tell(Phase::Stopped),
            }
            wait = (wait * 2).min(RESTART_MAX);
        }
    }

    fn tell(&self, phase: Phase) {
        self.tell.send_replace(phase);
    }

    /// Starts the process and stays with it until it ends. How it ended, and whether it was ready.
    async fn run_once(&self, stop: &mut watch::Receiver<Stop>) -> (Option<ExitStatus>, bool) {
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => {
                error!(process = self.name, %error, "process cannot be started");
                return (None, false);
            }
        };
        let board = &self.starting.board;
        board.set(&self.name, |status| status.pid = child.id());
        // Held for as long as the process is to run.
        let input = child.stdin.take();
        let (ready, mut is_ready) = watch::channel(false);
        let output = join_all([
            actix_rt::spawn(self.printer.clone().print(child.stderr.take(), None)),
            actix_rt::spawn(self.printer.clone().print(child.stdout.take(), Some(ready))),
        ]);
        let tell_ready = async {
            if is_ready.wait_for(|ready| *ready).await.is_ok()
                && let Some(note) = board.run.read::<Note>(&self.name)
            {
                board.set(&self.name, |status| status.state = ProcessState::Running);
                self.tell(Phase::Ready(note.addresses));
            }
            std::future::pending::<()>().await;
        };
        let end = tokio::select! {
            end = child.wait() => end.ok(),
            () = tell_ready => None,
            how = told_to_stop(stop) => self.end(&mut child, input, how).await,
        };
        output.await;
        let was_ready = *is_ready.borrow();
        (end, was_ready)
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let Starting {
            process,
            launch,
            listener,
            ..
        } = &self.starting;
        let Placement { replica, replicas } = self.placement;
        let mut command = Command::new(&launch.program);
        command
            .args(&launch.arguments)
            .args(["--launched", "--process", process])
            .args(["--replica", &replica.to_string()])
            .args(["--replicas", &replicas.to_string()])
            // What was handed to the launcher is not meant for all.
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the terminal reaches the launcher alone, which stops
            // the processes in order.
            .process_group(0)
            .kill_on_drop(true);
        if let Some(listener) = listener {
            let handed_over = FdMapping {
                parent_fd: listener.try_clone()?.into(),
                child_fd: FIRST_FD,
            };
            command
                .env("LISTEN_FDS", "1")
                .fd_mappings(vec![handed_over])
                .map_err(std::io::Error::other)?;
        }
        command.spawn()
    }

    /// Tells a process to stop and waits until it has; kills it when it does not.
    async fn end(
        &self,
        child: &mut Child,
        input: Option<ChildStdin>,
        how: Stop,
    ) -> Option<ExitStatus> {
        let mut time = STOP_MAX;
        if let (Stop::HandingOver(time_to_leave), Some(mut input)) = (how, input) {
            time += time_to_leave;
            // A process that reads no more has ended or is about to. Closed at the end of the block.
            _ = input
                .write_all(signals::hand_over(time_to_leave).as_bytes())
                .await;
        }
        if let Ok(end) = timeout(time, child.wait()).await {
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

/// Waits until it is told, and how.
async fn told_to_stop(stop: &mut watch::Receiver<Stop>) -> Stop {
    match stop.wait_for(|stop| *stop != Stop::No).await {
        Ok(stop) => *stop,
        // Nobody is left to tell: an instance that was let go goes on.
        Err(_) => std::future::pending().await,
    }
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
