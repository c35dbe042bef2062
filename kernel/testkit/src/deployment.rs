//! An application's real binary, running in a placement, on a temporary data folder.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long an application may take to be ready, and to stop. Ten processes of a debug build on a
/// busy two-core machine take a few seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at again.
const GLANCE: Duration = Duration::from_millis(10);

/// Where the modules run.
#[derive(Debug, Clone)]
pub enum Placement {
    /// All in one process; messages are moved.
    OneProcess,
    /// All in one process; every message is encoded and decoded.
    Encoded,
    /// As a configuration file says.
    File(PathBuf),
}

/// A running application.
#[derive(Debug)]
pub struct Deployment {
    program: PathBuf,
    placement: Placement,
    settings: String,
    folder: TempDir,
    launched: Option<Launched>,
}

#[derive(Debug)]
struct Launched {
    child: Child,
    address: String,
}

/// A process of a deployment, by what it wrote down when it was ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
}

impl Deployment {
    /// Starts an application and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready within a minute; its log is printed.
    pub fn start(program: impl Into<PathBuf>, placement: Placement) -> Self {
        Self::start_set(program, placement, "")
    }

    /// Starts an application with settings, `[module.…]` tables in TOML, and waits until it is
    /// ready.
    ///
    /// # Panics
    /// When it is not ready within a minute; its log is printed.
    pub fn start_set(program: impl Into<PathBuf>, placement: Placement, settings: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let mut deployment = Self {
            program: program.into(),
            placement,
            settings: settings.to_string(),
            folder,
            launched: None,
        };
        deployment.resume();
        deployment
    }

    /// The address of its pages, such as `http://127.0.0.1:41234`.
    pub fn address(&self) -> &str {
        &self.launched().address
    }

    /// The folder of everything that lasts.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Whether every module has a process of its own.
    pub fn is_apart(&self) -> bool {
        matches!(self.placement, Placement::File(_))
    }

    /// The process of a name, once it has written itself down.
    pub fn process(&self, name: &str) -> Option<Process> {
        let written = fs::read_to_string(self.data().join("run").join(format!("{name}.json")));
        let pid = written
            .ok()?
            .split_once("\"pid\":")?
            .1
            .split(',')
            .next()?
            .parse()
            .ok()?;
        Some(Process { pid })
    }

    /// The process that runs everything: the one, or the launcher.
    pub fn root(&self) -> Process {
        Process {
            pid: self.launched().child.id(),
        }
    }

    /// Stops the application gracefully, as an operator would.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn stop(&mut self) -> ExitStatus {
        self.root().signal(Signal::TERM);
        self.ended()
    }

    /// Kills the process that runs everything, without warning.
    ///
    /// # Panics
    /// When it does not end within a minute.
    pub fn kill(&mut self) {
        self.root().signal(Signal::KILL);
        self.ended();
    }

    /// Changes the settings, `[module.…]` tables in TOML, for the next start.
    pub fn set(&mut self, settings: &str) {
        self.settings = settings.to_string();
    }

    /// Starts it again on the same data.
    ///
    /// # Panics
    /// When it is not ready within a minute; its log is printed.
    pub fn resume(&mut self) {
        let config = self.config();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path());
        let mut child = Command::new(&self.program)
            .args(["run", "--http", "127.0.0.1:0", "--config"])
            .arg(&config)
            .arg("--data")
            .arg(self.data())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.expect("a log file can be made"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        let output = child.stdout.take().expect("standard output is piped");
        let (found, address) = mpsc::channel();
        // Reads on to the end, so that the application never waits for a reader.
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("http://") {
                    let address = rest.split_whitespace().next().unwrap_or_default();
                    _ = found.send(format!("http://{address}"));
                }
            }
        });
        match address.recv_timeout(PATIENCE) {
            Ok(address) => self.launched = Some(Launched { child, address }),
            Err(error) => {
                _ = child.kill();
                _ = child.wait();
                panic!("the application is not ready ({error}):\n{}", self.log());
            }
        }
    }

    /// Everything it logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Waits until something holds.
    ///
    /// # Panics
    /// When it does not within a minute.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !holds() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}"
            );
            pause();
        }
    }

    fn launched(&self) -> &Launched {
        self.launched
            .as_ref()
            .expect("the application runs; it was stopped by the test")
    }

    fn ended(&mut self) -> ExitStatus {
        let mut launched = self.launched.take().expect("the application runs");
        let begun = Instant::now();
        loop {
            if let Some(status) = launched
                .child
                .try_wait()
                .expect("a child can be waited for")
            {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                _ = launched.child.kill();
                panic!("the application does not stop:\n{}", self.log());
            }
            pause();
        }
    }

    /// Writes the configuration of the placement, with the settings, into the test's folder.
    fn config(&self) -> PathBuf {
        let placement = match &self.placement {
            Placement::OneProcess => String::new(),
            Placement::Encoded => "[app]\nencode_always = true\n".to_string(),
            Placement::File(path) => fs::read_to_string(path)
                .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display())),
        };
        let path = self.config_file();
        let written = fs::write(&path, format!("{placement}\n{}", self.settings));
        written.expect("the test's folder can be written to");
        path
    }

    /// Its configuration, as of the last start.
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("placement.toml")
    }

    fn log_path(&self) -> PathBuf {
        Path::new(self.folder.path()).join("log")
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("placement: {:?}\n{}", self.placement, self.log());
        }
        if let Some(mut launched) = self.launched.take() {
            // The processes of a killed launcher stop by themselves, when their input closes.
            _ = launched.child.kill();
            _ = launched.child.wait();
        }
    }
}

impl Process {
    /// Kills it without warning.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Lets it hang: alive, and answering nobody.
    pub fn suspend(self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn wake(self) {
        self.signal(Signal::CONT);
    }

    fn signal(self, signal: Signal) {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // A process that has just ended needs no signal any more.
        _ = kill_process(pid.expect("a process id is a small number above 0"), signal);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for other processes, and serves nobody"
)]
fn pause() {
    std::thread::sleep(GLANCE);
}
