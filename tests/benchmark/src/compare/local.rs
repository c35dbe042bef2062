//! Asking within a process: the port beside a direct call and three actor libraries.
//!
//! A query is answered by the same function for everybody, on the callers' thread. A command adds
//! to a sum; ours is a transaction of a store, without waiting for the disk, the others' is a
//! variable.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use modulith_kernel::{Durability, Environment, Node, NodeBuilder, Options as ModuleOptions, Port};

use super::actors::{Actix, Commands, Kameo, Library, Queries, Ractor};
use super::echo::{Add, Echo, Repeat, Tally, add, repeat};
use super::options::Options;
use super::ours::same;
use super::report::Heat;
use super::turns::{self, Entrant, Field};
use crate::error::Error;
use crate::load::Contender;

/// How many ask at once.
const IN_FLIGHT: [u16; 4] = [1, 16, 64, 256];

/// How long the text of a query is.
const TEXT_BYTES: usize = 64;

/// How many queries are timed together: one takes about as long as looking at the clock.
const QUERIES_PER_CHUNK: u32 = 64;

/// How long a caller waits for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// Compares. Inside an actix system.
pub(crate) async fn compare(options: &Options, folder: &Path) -> Result<Vec<Heat>, Error> {
    let node = start(&folder.join("local"))?;
    let mut fields = Vec::new();
    for callers in IN_FLIGHT {
        fields.push(Field {
            group: "local-query".to_owned(),
            callers,
            chunk: QUERIES_PER_CHUNK,
            entrants: vec![
                Entrant::ours(OurQueries::new(&node)),
                Entrant::peer("direct", DirectQueries::new()),
                queries::<Actix>(),
                queries::<Ractor>(),
                queries::<Kameo>(),
            ],
        });
    }
    let (actix, ractor, kameo) = (
        Commands::<Actix>::start().await?,
        Commands::<Ractor>::start().await?,
        Commands::<Kameo>::start().await?,
    );
    for callers in IN_FLIGHT {
        fields.push(Field {
            group: "local-command".to_owned(),
            callers,
            chunk: 1,
            entrants: vec![
                Entrant::ours(OurCommands(node.open_port())),
                Entrant::peer("direct", DirectCommands::default()),
                Entrant::peer(Actix::WHO, actix.clone()),
                Entrant::peer(Ractor::WHO, ractor.clone()),
                Entrant::peer(Kameo::WHO, kameo.clone()),
            ],
        });
    }
    fields.retain(|field| options.wants(&field.group));
    let heats = turns::take(fields, options).await;
    node.stop().await;
    heats
}

fn start(folder: &Path) -> Result<Arc<Node>, Error> {
    let mut builder = NodeBuilder::new(Environment::real(folder));
    let relaxed = ModuleOptions {
        durability: Durability::Relaxed,
        ..ModuleOptions::default()
    };
    builder.host::<Echo>(()).host_with::<Tally>((), relaxed);
    builder.start().map_err(Error::Node)
}

fn queries<L: Library>() -> Entrant {
    Entrant::peer(L::WHO, Queries::<L>::new(TEXT_BYTES))
}

/// Asks through the port.
#[derive(Clone)]
struct OurQueries {
    port: Port,
    text: Arc<str>,
}

impl OurQueries {
    fn new(node: &Node) -> Self {
        Self {
            port: node.open_port(),
            text: "x".repeat(TEXT_BYTES).into(),
        }
    }
}

impl Contender for OurQueries {
    type Caller = (Port, Arc<str>);

    async fn caller(&self, _: u16) -> Result<Self::Caller, Error> {
        Ok((self.port.clone(), self.text.clone()))
    }

    async fn once((port, text): &mut Self::Caller) -> Result<(), Error> {
        let query = Repeat {
            text: text.as_ref().to_owned(),
        };
        let reply = port.ask_within(query, PATIENCE).await?;
        same("Modulith", &reply, text)
    }
}

/// Calls the function that everybody's handler calls.
#[derive(Clone)]
struct DirectQueries(Arc<str>);

impl DirectQueries {
    fn new() -> Self {
        Self("x".repeat(TEXT_BYTES).into())
    }
}

impl Contender for DirectQueries {
    type Caller = Arc<str>;

    async fn caller(&self, _: u16) -> Result<Arc<str>, Error> {
        Ok(self.0.clone())
    }

    async fn once(text: &mut Arc<str>) -> Result<(), Error> {
        // Seen through, there would be nothing left to measure.
        let sent = std::hint::black_box(text.as_ref().to_owned());
        let reply = std::hint::black_box(repeat(sent));
        same("a direct call", &reply, text)
    }
}

/// Asks for a change through the port.
#[derive(Clone)]
struct OurCommands(Port);

impl Contender for OurCommands {
    type Caller = Port;

    async fn caller(&self, _: u16) -> Result<Port, Error> {
        Ok(self.0.clone())
    }

    async fn once(port: &mut Port) -> Result<(), Error> {
        let sum = port.ask_within(Add { amount: 1 }, PATIENCE).await;
        Ok(sum.map(drop)?)
    }
}

/// Changes a variable that the callers share.
#[derive(Clone, Default)]
struct DirectCommands(Arc<Mutex<u64>>);

impl Contender for DirectCommands {
    type Caller = Arc<Mutex<u64>>;

    async fn caller(&self, _: u16) -> Result<Self::Caller, Error> {
        Ok(self.0.clone())
    }

    async fn once(sum: &mut Self::Caller) -> Result<(), Error> {
        let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = std::hint::black_box(add(*sum, 1));
        Ok(())
    }
}
