//! A server that runs as our child, in a folder of its own, and ends with us.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// How long a server may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);

/// How long to wait between two looks at whether it does.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How many lines of its log are shown when it does not start.
const LOG_LINES: usize = 10;

/// A running server.
pub(crate) struct Server {
    name: &'static str,
    child: Child,
    log: PathBuf,
    stop: Signal,
}

impl Server {
    /// Starts a server that writes its log to a file, and is stopped by a signal.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        log: PathBuf,
        stop: Signal,
    ) -> Result<Self, Error> {
        let mut start = || {
            let out = File::create(&log)?;
            let errors = out.try_clone()?;
            command
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(errors)
                .spawn()
        };
        let child = start().map_err(Error::io(format!("start {name}")))?;
        Ok(Self {
            name,
            child,
            log,
            stop,
        })
    }

    /// The id of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tries to connect until it works.
    pub(crate) async fn answer<T>(
        &mut self,
        connect: impl AsyncFn() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let latest = Instant::now() + START_MAX;
        loop {
            let fault = match connect().await {
                Ok(connected) => return Ok(connected),
                Err(fault) => fault,
            };
            let ended = self.child.try_wait().is_ok_and(|status| status.is_some());
            if ended || Instant::now() >= latest {
                let log = format!("{}{fault}", tail(&self.log));
                let server = self.name;
                return Err(Error::NotStarted { server, log });
            }
            sleep(LOOK_EVERY).await;
        }
    }
}

/// Stops the server by the id of its process, and waits for it.
impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended needs no signal.
        _ = kill_process(Pid::from_child(&self.child), self.stop);
        _ = self.child.wait();
    }
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    last.iter().map(|line| format!("  {line}\n")).collect()
}

/// Finds a program in folders, then on the path.
pub(crate) fn find(program: &str, folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = folders.into_iter().chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| folder.join(program));
    programs.find(|program| program.is_file())
}

/// What a program prints in one line, such as its version; nothing if it fails.
pub(crate) fn first_line(program: impl AsRef<OsStr>, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Whom a server runs as that refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Nobody else, unless we are root: then the first of these users that there is.
    pub(crate) fn unless_root(names: &[&str]) -> Option<Self> {
        let root = fs::metadata("/proc/self").is_ok_and(|about| about.uid() == 0);
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let mut found = names.iter().filter_map(|name| Self::named(&users, name));
        found.next().filter(|_| root)
    }

    fn named(users: &str, name: &str) -> Option<Self> {
        let mut fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?
            .into_iter()
            .skip(2);
        Some(Self {
            uid: fields.next()?.parse().ok()?,
            gid: fields.next()?.parse().ok()?,
        })
    }

    /// A command that runs as this user.
    pub(crate) fn command(user: Option<Self>, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(Self { uid, gid }) = user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Makes a folder that belongs to this user.
    pub(crate) fn folder(user: Option<Self>, path: &Path) -> Result<(), Error> {
        let make = || {
            fs::create_dir(path)?;
            user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
        };
        make().map_err(Error::io(format!("make the folder {}", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let users = "root:x:0:0::/:/bin/sh\npostgres2:x:7:8::/:/bin/sh\npostgres:x:101:104::/:/";
        let postgres = User { uid: 101, gid: 104 };
        assert_eq!(User::named(users, "postgres"), Some(postgres));
        assert_eq!(User::named(users, "nobody"), None);
    }

    #[test]
    fn a_server_that_ends_at_once_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the port is taken; exit 1"]);
        let log = folder.path().join("log");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let error = runtime.block_on(async {
            let mut server = Server::start("sh", &mut command, log, Signal::INT).unwrap();
            let never = async || Err::<(), _>(Error::Redis("refused".to_owned()));
            server.answer(never).await.unwrap_err().to_string()
        });
        assert!(error.contains("sh ended"), "{error}");
        assert!(error.contains("the port is taken"), "{error}");
    }

    #[test]
    fn a_program_that_is_nowhere_is_not_found() {
        assert!(find("sh", []).is_some());
        assert!(find("no-such-program", [PathBuf::from("/")]).is_none());
    }
}
