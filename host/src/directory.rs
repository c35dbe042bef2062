//! Where the instances of each process can be reached, as it changes.
//!
//! Every instance writes its address into the run folder and takes it away before it stops. The
//! directory looks at the folder's time of change, and reads the notes when that has moved.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, SystemTime},
};

use modulith_quic::Names;
use tokio::sync::watch;

use crate::{
    config::{Config, ProcessConfig},
    run_folder::{Note, RunFolder},
    status::{LAUNCHER, LauncherStatus, ProcessState},
};

/// How often the run folder is looked at. An instance that leaves answers what reaches it in that
/// time; one that comes is not missed for so long.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One instance that takes calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Its number, from 0.
    pub(crate) replica: u16,
    /// How many instances there were to be when it started.
    pub(crate) replicas: u16,
    pub(crate) address: SocketAddr,
}

/// Finds processes: by the configuration, or by what their instances wrote down.
pub(crate) struct Directory {
    configured: HashMap<String, SocketAddr>,
    /// Processes with stores, whose modules live in the first instance.
    stateful: HashSet<String>,
    watched: Arc<Watched>,
    /// Ends the thread that looks, when dropped.
    _looking: mpsc::Sender<()>,
}

struct Watched {
    run: RunFolder,
    view: Mutex<View>,
    version: watch::Sender<u64>,
}

/// What was found at the last look.
#[derive(Default)]
struct View {
    modified: Option<SystemTime>,
    /// Whether the folder had changed. Two changes may bear the same time, so what was read right
    /// after one is read once more.
    is_fresh: bool,
    endpoints: HashMap<String, Vec<Endpoint>>,
    /// Processes of which an instance is about to be there.
    expected: HashSet<String>,
}

impl Directory {
    /// Begins to watch, on a thread of its own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn watch(
        config: &Config,
        stateful: HashSet<String>,
        run: RunFolder,
    ) -> std::io::Result<Self> {
        let fixed = |process: &ProcessConfig| {
            let address = process.quic.filter(|address| address.port() != 0)?;
            Some((process.name.clone(), address))
        };
        let watched = Arc::new(Watched {
            run,
            view: Mutex::default(),
            version: watch::Sender::new(0),
        });
        watched.look();
        let (looking, stop) = mpsc::channel();
        let looked = watched.clone();
        let look = move || {
            while let Err(mpsc::RecvTimeoutError::Timeout) = stop.recv_timeout(LOOK_EVERY) {
                looked.look();
            }
        };
        std::thread::Builder::new()
            .name("directory".to_string())
            .spawn(look)?;
        Ok(Self {
            configured: config.processes.iter().filter_map(fixed).collect(),
            stateful,
            watched,
            _looking: looking,
        })
    }

    /// The instances of a process that take calls, by their number; none while none does.
    pub(crate) fn endpoints(&self, process: &str) -> Vec<Endpoint> {
        if let Some(address) = self.configured.get(process) {
            return vec![Endpoint {
                replica: 0,
                replicas: 1,
                address: *address,
            }];
        }
        let view = self.watched.view();
        view.endpoints.get(process).cloned().unwrap_or_default()
    }

    /// Tells when instances come or go.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.watched.version.subscribe()
    }
}

impl Names for Directory {
    fn resolve(&self, process: &str, instance: &str) -> Result<Vec<SocketAddr>, String> {
        self.watched.look();
        let endpoints = self.endpoints(process);
        let number = number(process, instance);
        if let Some(named) = endpoints.iter().find(|it| it.replica == number) {
            return Ok(vec![named.address]);
        }
        // The first has left and another taken over; with stores, nobody can.
        let takes_over = instance == process && !self.stateful.contains(process);
        match endpoints.first().filter(|_| takes_over) {
            Some(other) => Ok(vec![other.address]),
            None => Err(format!("process {instance} is not running")),
        }
    }

    fn is_expected(&self, process: &str) -> bool {
        self.watched.view().expected.contains(process)
    }

    fn changes(&self) -> Option<watch::Receiver<u64>> {
        Some(Directory::changes(self))
    }
}

/// Which instance a name means: the first if it is the name of the process.
fn number(process: &str, instance: &str) -> u16 {
    let rest = instance.strip_prefix(process);
    let number = rest.and_then(|rest| rest.strip_prefix('.')?.parse().ok());
    number.unwrap_or(0)
}

impl Watched {
    /// Reads the notes if they may have changed, and tells those who wait for that.
    fn look(&self) {
        let modified = self.run.modified();
        let mut view = self.view();
        let is_fresh = modified != view.modified;
        if !is_fresh && !view.is_fresh {
            return;
        }
        let (endpoints, expected) = self.read();
        let is_changed = endpoints != view.endpoints || expected != view.expected;
        *view = View {
            modified,
            is_fresh,
            endpoints,
            expected,
        };
        drop(view);
        if is_changed {
            self.version.send_modify(|version| *version += 1);
        }
    }

    fn read(&self) -> (HashMap<String, Vec<Endpoint>>, HashSet<String>) {
        let mut endpoints = HashMap::<String, Vec<Endpoint>>::new();
        for name in self.run.names() {
            let Some(note) = self.run.read::<Note>(&name) else {
                continue;
            };
            if let (false, Some(address)) = (note.is_draining, note.addresses.quic) {
                endpoints.entry(note.process).or_default().push(Endpoint {
                    replica: note.replica,
                    replicas: note.replicas,
                    address,
                });
            }
        }
        for endpoints in endpoints.values_mut() {
            endpoints.sort_by_key(|endpoint| endpoint.replica);
        }
        let launcher = self.run.read::<LauncherStatus>(LAUNCHER);
        let launched = launcher.map(|launcher| launcher.processes);
        let expected = launched.unwrap_or_default().into_iter().filter(|process| {
            matches!(
                process.state,
                ProcessState::Starting | ProcessState::Replacing
            )
        });
        (endpoints, expected.map(|process| process.process).collect())
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::run_folder::Addresses;

    fn note(process: &str, replica: u16, port: u16) -> Note {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Note {
            addresses: Addresses {
                pid: 1,
                quic: Some(address),
                http: None,
                admin: address,
            },
            process: process.to_string(),
            replica,
            replicas: 2,
            is_draining: false,
            modules: Vec::new(),
            token: String::new(),
        }
    }

    fn directory(run: &RunFolder, stateful: &[&str]) -> Directory {
        let config = Config {
            application: "test".into(),
            data: "unused".into(),
            encode_always: false,
            processes: Vec::new(),
            traffic: Vec::new(),
            tag_header: None,
            file: None,
            pki: None,
            partitions: BTreeMap::new(),
        };
        let stateful = stateful.iter().map(ToString::to_string).collect();
        Directory::watch(&config, stateful, run.clone()).unwrap()
    }

    fn ports(found: &Result<Vec<SocketAddr>, String>) -> Vec<u16> {
        let found = found.as_ref().unwrap();
        found.iter().map(SocketAddr::port).collect()
    }

    #[tokio::test]
    async fn instances_come_and_go_while_it_is_watched() {
        let data = tempfile::tempdir().unwrap();
        let run = RunFolder::of(data.path());
        let _held = run.claim("shop.0").unwrap();
        let directory = directory(&run, &[]);
        let mut changes = directory.changes();
        assert_eq!(
            directory.resolve("shop", "shop").unwrap_err(),
            "process shop is not running"
        );
        run.write("shop.1", &note("shop", 1, 101)).unwrap();
        run.write("shop.0", &note("shop", 0, 100)).unwrap();
        while directory.endpoints("shop").len() < 2 {
            changes.changed().await.unwrap();
        }
        assert_eq!(ports(&directory.resolve("shop", "shop.1")), [101]);

        let mut leaving = note("shop", 0, 100);
        leaving.is_draining = true;
        run.write("shop.0", &leaving).unwrap();
        changes.changed().await.unwrap();
        assert_eq!(directory.endpoints("shop")[0].replica, 1);
        run.forget("shop.1");
        assert!(
            directory.resolve("shop", "shop").is_err(),
            "looked at when asked"
        );
    }

    #[tokio::test]
    async fn each_instance_is_found_by_its_number() {
        let data = tempfile::tempdir().unwrap();
        let run = RunFolder::of(data.path());
        let _held = run.claim("orders.0").unwrap();
        run.write("orders.1", &note("orders", 1, 101)).unwrap();
        run.write("shop.1", &note("shop", 1, 201)).unwrap();
        let directory = directory(&run, &["orders"]);
        assert_eq!(ports(&directory.resolve("orders", "orders.1")), [101]);
        // The stores of the first are nowhere else; without stores, another takes over.
        assert!(directory.resolve("orders", "orders").is_err());
        assert!(directory.resolve("orders", "orders.0").is_err());
        assert_eq!(ports(&directory.resolve("shop", "shop")), [201]);
        run.write("orders.0", &note("orders", 0, 100)).unwrap();
        assert_eq!(ports(&directory.resolve("orders", "orders")), [100]);
        assert_eq!(directory.endpoints("orders").len(), 2);
    }
}
