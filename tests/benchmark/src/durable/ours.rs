//! Modulith as a contender: a real node on real files, asked through its port.

use std::path::Path;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::time::Duration;

use fastrand::Rng;
use modulith_kernel::{Durability, Environment, Module, Node, NodeBuilder, Options, Port};

use super::disk::CountingFiles;
use super::ledger::{Add, Ledger, NOTE_BYTES, OpenAccounts, ROWS, TakeNote};
use crate::error::Error;
use crate::load::{Contender, Counts};

/// How long a caller waits for a reply. Longer than the kernel's default, because a bad moment of
/// a shared machine's disk belongs into the figures and must not end the run.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many rows one command opens.
const OPENED_AT_ONCE: u64 = 1_000;

/// A node with a filled ledger.
#[derive(Clone)]
pub(crate) struct Ours {
    node: Arc<Node>,
    syncs: Arc<AtomicU64>,
}

impl Ours {
    /// Starts a node on an empty folder and fills its ledger. Inside an actix system.
    pub(crate) async fn start(folder: &Path, durability: Durability) -> Result<Self, Error> {
        let files = CountingFiles::below(folder);
        let syncs = files.syncs();
        let environment = Environment {
            storage: Arc::new(files),
            ..Environment::real(folder)
        };
        let options = Options {
            durability,
            ..Options::default()
        };
        let mut node = NodeBuilder::new(environment);
        node.host_with::<Ledger>((), options);
        let node = node.start().map_err(Error::Node)?;
        let port = node.open_port();
        for first in (0..ROWS).step_by(OPENED_AT_ONCE as usize) {
            let count = OPENED_AT_ONCE;
            port.ask_within(OpenAccounts { first, count }, PATIENCE)
                .await?;
        }
        Ok(Self { node, syncs })
    }

    pub(crate) async fn stop(&self) {
        self.node.stop().await;
    }

    fn counts(&self) -> Option<Counts> {
        let status = self.node.status();
        let ledger = status
            .into_iter()
            .find(|status| status.module == Ledger::NAME)?;
        Some(Counts {
            commands: ledger.commands,
            commits: ledger.commits,
            syncs: self.syncs.load(Relaxed),
        })
    }
}

/// Adds to a row at random.
#[derive(Clone)]
pub(crate) struct Updates(pub(crate) Ours);

impl Contender for Updates {
    type Caller = (Port, Rng);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        let random = Rng::with_seed(number.into());
        Ok((self.0.node.open_port(), random))
    }

    async fn once((port, random): &mut Self::Caller) -> Result<(), Error> {
        let add = Add {
            account: random.u64(..ROWS),
            amount: 1,
        };
        let balance = port.ask_within(add, PATIENCE).await?;
        balance.map(|_| ()).ok_or(Error::RowLost("Modulith"))
    }

    fn counts(&self) -> Option<Counts> {
        self.0.counts()
    }
}

/// Publishes an event.
#[derive(Clone)]
pub(crate) struct Events(pub(crate) Ours);

impl Contender for Events {
    type Caller = Port;

    async fn caller(&self, _: u16) -> Result<Port, Error> {
        Ok(self.0.node.open_port())
    }

    async fn once(port: &mut Port) -> Result<(), Error> {
        let text = "x".repeat(NOTE_BYTES);
        Ok(port.ask_within(TakeNote { text }, PATIENCE).await?)
    }

    fn counts(&self) -> Option<Counts> {
        self.0.counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_is_committed_synced_and_counted() {
        actix_rt::System::new().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let ours = Ours::start(folder.path(), Durability::Fsync).await.unwrap();
            let before = ours.counts().unwrap();
            let updates = Updates(ours.clone());
            let mut caller = updates.caller(0).await.unwrap();
            Updates::once(&mut caller).await.unwrap();
            let events = Events(ours.clone());
            let mut caller = events.caller(0).await.unwrap();
            Events::once(&mut caller).await.unwrap();
            let after = ours.counts().unwrap();
            assert_eq!(after.commands - before.commands, 2);
            assert_eq!(after.commits - before.commits, 2);
            assert!(after.syncs - before.syncs >= 2);
            ours.stop().await;
        });
    }
}
