//! A module divided into partitions, for `scale`: durable commands with keys spread evenly.

use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use modulith_contract::Command;
use modulith_kernel::{
    Declaration, Environment, Handle, Module, NodeBuilder, Options as ModuleOptions, Outcome, Port,
    Setup, SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::load::Contender;

/// How many keys there are.
const KEYS: u64 = 100_000;

/// How long a caller waits for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

const COUNTS: Table<u64, u64> = Table::new("counts");

/// Counts one more under a key. Sent twice, it counts twice.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "counter", key = key, reply = u64)]
struct Count {
    key: u64,
}

struct Counter;

impl Module for Counter {
    const NAME: &'static str = "counter";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<Count>();
    }
}

impl Handle<Count> for Counter {
    fn handle(&self, count: Count, tx: &mut Tx<'_>) -> Outcome<Count> {
        let counted = tx.get(&COUNTS, &count.key)?.unwrap_or_default() + 1;
        tx.put(&COUNTS, &count.key, &counted)?;
        Ok(counted)
    }
}

/// Counts under keys at random.
#[derive(Clone)]
pub(super) struct Counts(Port);

impl Contender for Counts {
    type Caller = (Port, Rng);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        Ok((self.0.clone(), Rng::with_seed(number.into())))
    }

    async fn once((port, random): &mut Self::Caller) -> Result<(), Error> {
        let key = random.u64(..KEYS);
        port.ask_within(Count { key }, PATIENCE).await?;
        Ok(())
    }
}

/// Starts a node with the module in that many partitions, and says how long that took.
pub(super) async fn start(
    folder: &Path,
    partitions: u16,
) -> Result<(std::sync::Arc<modulith_kernel::Node>, Counts, Duration), Error> {
    let begun = Instant::now();
    let mut builder = NodeBuilder::new(Environment::real(folder));
    let options = ModuleOptions {
        partitions,
        ..ModuleOptions::default()
    };
    builder.host_with::<Counter>((), options);
    let node = builder.start().map_err(Error::Node)?;
    let counts = Counts(node.open_port());
    Counts::once(&mut counts.caller(0).await?).await?;
    Ok((node, counts, begun.elapsed()))
}
