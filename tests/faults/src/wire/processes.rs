//! The boutique's processes, each started by itself, as a launcher would start it.
//!
//! A process stops when its standard input closes. So none outlives this program, however that
//! ends; and what is dropped before it was stopped is killed.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde::Deserialize;
use tempfile::TempDir;
use tokio::{sync::oneshot, time::timeout};

use super::path::Network;
use crate::{
    real::{
        Failure, Shop,
        program::{self, BOUTIQUE, PATIENCE, end_of_log, ended, panic_in},
    },
    shop::audit::Findings,
};

/// The processes. The first serves the pages.
pub(super) const NAMES: [&str; 3] = ["shop", "orders", "money"];

const MODULES: [&[&str]; 3] = [
    &[
        "storefront",
        "catalog",
        "currency",
        "cart",
        "recommendation",
        "ad",
        "email",
    ],
    &["checkout", "shipping"],
    &["payment"],
];

/// What a process says once it is ready; its addresses follow as JSON.
const READY: &str = "ready ";

/// What a process logs when a connection that it had opened is no more.
const BROKEN: &str = "connection to process ended";

/// Those that run, and their folder.
pub(super) struct Processes {
    program: PathBuf,
    /// Dropped, and so ended, before their folder is.
    running: Vec<Running>,
    folder: TempDir,
}

struct Running {
    name: &'static str,
    child: Child,
    addresses: Addresses,
}

#[derive(Deserialize)]
struct Addresses {
    quic: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

impl Processes {
    /// Finds the program, and makes a folder for everything that lasts.
    pub(super) fn prepare() -> Result<Self, Failure> {
        Ok(Self {
            program: program::find()?,
            folder: TempDir::with_prefix("boutique-wire-")?,
            running: Vec::new(),
        })
    }

    /// Starts one after the other: the first makes the certificate authority.
    pub(super) async fn start_all(&mut self, network: &Network) -> Result<(), Failure> {
        for name in NAMES {
            self.start(name, network)
                .await
                .map_err(|error| format!("{name}: {error}\n{}", end_of_log(&self.log(name))))?;
        }
        Ok(())
    }

    async fn start(&mut self, name: &'static str, network: &Network) -> Result<(), Failure> {
        let config = self.folder.path().join(format!("{name}.toml"));
        fs::write(&config, self.config(name, network)?)?;
        let mut child = Command::new(&self.program)
            .args(["run", "--launched", "--process", name, "--config"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(self.log(name))?)
            // A group of its own, so that Ctrl-C reaches this program alone, which ends it.
            .process_group(0)
            .spawn()?;
        let output = child.stdout.take();
        let (found, ready) = oneshot::channel();
        let running = |addresses| Running {
            name,
            child,
            addresses,
        };
        // From here on it is ended whatever happens.
        self.running.push(running(Addresses {
            quic: None,
            http: None,
        }));
        std::thread::spawn(move || read(output, found));
        let addresses = timeout(PATIENCE, ready).await??;
        let addresses: Addresses = serde_json::from_str(&addresses)?;
        let quic = addresses.quic.ok_or("it does not listen")?;
        network.lead_to(name, quic);
        if let Some(running) = self.running.last_mut() {
            running.addresses = addresses;
        }
        Ok(())
    }

    /// A file for one process: itself at any free port, the others at the proxies on the way.
    fn config(&self, name: &str, network: &Network) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        let data = self.data();
        writeln!(text, "[app]\nname = {BOUTIQUE:?}\ndata = {data:?}")?;
        for (process, modules) in NAMES.into_iter().zip(MODULES) {
            writeln!(text, "\n[process.{process}]\nmodules = {modules:?}")?;
            if process == NAMES[0] {
                writeln!(text, "http = \"127.0.0.1:0\"")?;
            }
            if let Some(address) = network.address(name, process) {
                writeln!(text, "quic = \"{address}\"")?;
            }
        }
        Ok(text)
    }

    /// The address of the pages.
    pub(super) fn shop(&self) -> Result<Shop, Failure> {
        let http = self.running.iter().find_map(|one| one.addresses.http);
        let shop = Shop::default();
        shop.moves_to(&http.ok_or("no process serves pages")?.to_string());
        Ok(shop)
    }

    /// The folder letters go into.
    pub(super) fn letters(&self) -> PathBuf {
        self.data().join("email").join("letters")
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self, name: &str) -> PathBuf {
        log_in(&self.folder, name)
    }

    /// How many connections were lost so far.
    pub(super) fn connections_broken(&self) -> u64 {
        let broken = |name| {
            let log = fs::read_to_string(self.log(name)).unwrap_or_default();
            log.matches(BROKEN).count() as u64
        };
        NAMES.into_iter().map(broken).sum()
    }

    /// Stops them, pages first, and sees that they end well.
    pub(super) async fn stop(&mut self, findings: &mut Findings) {
        for running in &mut self.running {
            drop(running.child.stdin.take());
            let end = ended(&mut running.child).await;
            let name = running.name;
            findings.check(end.is_ok(), || {
                let why = end.err().unwrap_or_default();
                format!(
                    "process {name} {why}\n{}",
                    end_of_log(&log_in(&self.folder, name))
                )
            });
        }
        for name in NAMES {
            let panic = panic_in(&self.log(name));
            findings.check(panic.is_none(), || {
                format!("process {name}: {}", panic.unwrap_or_default())
            });
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing to one that has ended and was waited for.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads on to the end, so that the process never waits for a reader.
fn read(output: Option<impl io::Read>, found: oneshot::Sender<String>) {
    let mut found = Some(found);
    let lines = output.map(|output| BufReader::new(output).lines());
    for line in lines.into_iter().flatten().map_while(Result::ok) {
        if let (Some(addresses), Some(found)) = (line.strip_prefix(READY), found.take()) {
            _ = found.send(addresses.to_string());
        }
    }
}

fn log_in(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(format!("{name}.log"))
}
