//! A query of one key from a store, through the port, beside the same read from a bare database.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use modulith_contract::{Command, Query};
use modulith_kernel::{
    Answer, Context, Declaration, Environment, Handle, Module, Node, NodeBuilder, Outcome, Port,
    Setup, SetupError, Table, Tx,
};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

use super::options::Options;
use super::ours::same;
use super::report::Heat;
use super::turns::{self, Entrant, Field};
use crate::error::Error;
use crate::load::Contender;

/// How many rows there are to choose from.
const ROWS: u64 = 10_000;

/// How long the text of a row is.
const TEXT_BYTES: usize = 100;

/// How many reads are timed together: one takes little more than looking at the clock.
const READS_PER_CHUNK: u32 = 16;

/// How many ask at once.
const IN_FLIGHT: [u16; 2] = [1, 64];

/// How long a caller waits for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

const PEER: &str = "redb";

/// Compares. Inside an actix system.
pub(crate) async fn compare(options: &Options, folder: &Path) -> Result<Vec<Heat>, Error> {
    let node = start(&folder.join("store"))?;
    let ours = Ours(node.open_port());
    ours.0.ask_within(Fill { rows: ROWS }, PATIENCE).await?;
    let bare = Bare::new(&folder.join("bare.redb")).map_err(Error::of(PEER, "be filled"))?;
    let fields = IN_FLIGHT.into_iter().map(|callers| Field {
        group: "store-query".to_owned(),
        callers,
        chunk: READS_PER_CHUNK,
        entrants: vec![
            Entrant::ours(ours.clone()),
            Entrant::peer(PEER, bare.clone()),
        ],
    });
    let heats = turns::take(fields.collect(), options).await;
    node.stop().await;
    heats
}

fn start(folder: &Path) -> Result<Arc<Node>, Error> {
    let mut builder = NodeBuilder::new(Environment::real(folder));
    builder.host::<Shelf>(());
    builder.start().map_err(Error::Node)
}

fn text() -> String {
    "x".repeat(TEXT_BYTES)
}

/// Writes rows from 0 on. Harmless when repeated: it writes the same.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "shelf")]
struct Fill {
    rows: u64,
}

/// Asks for the text of a row; of one that is not there, nothing.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "shelf", reply = Option<String>)]
struct FindText {
    row: u64,
}

/// Keeps texts.
#[derive(Debug)]
struct Shelf;

/// The texts, by row.
const TEXTS: Table<u64, String> = Table::new("texts");

impl Module for Shelf {
    const NAME: &'static str = "shelf";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<Fill>().answers::<FindText>();
    }
}

impl Handle<Fill> for Shelf {
    fn handle(&self, command: Fill, tx: &mut Tx<'_>) -> Outcome<Fill> {
        for row in 0..command.rows {
            tx.put(&TEXTS, &row, &text())?;
        }
        Ok(())
    }
}

impl Answer<FindText> for Shelf {
    async fn answer(&self, query: FindText, context: &Context) -> Outcome<FindText> {
        Ok(context.snapshot()?.get(&TEXTS, &query.row)?)
    }
}

/// Asks through the port.
#[derive(Clone)]
struct Ours(Port);

impl Contender for Ours {
    type Caller = (Port, Rng, String);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        Ok((self.0.clone(), Rng::with_seed(number.into()), text()))
    }

    async fn once((port, random, text): &mut Self::Caller) -> Result<(), Error> {
        let row = random.u64(..ROWS);
        let found = port.ask_within(FindText { row }, PATIENCE).await?;
        same("Modulith", &found.unwrap_or_default(), text)
    }
}

/// The same rows in a database without anything around it.
#[derive(Clone)]
struct Bare(Arc<Database>);

const BARE_TEXTS: TableDefinition<'_, u64, &str> = TableDefinition::new("texts");

impl Bare {
    fn new(path: &Path) -> Result<Self, redb::Error> {
        let database = Database::create(path)?;
        let write = database.begin_write()?;
        let mut table = write.open_table(BARE_TEXTS)?;
        for row in 0..ROWS {
            table.insert(row, text().as_str())?;
        }
        drop(table);
        write.commit()?;
        Ok(Self(Arc::new(database)))
    }
}

/// A read as whoever uses the database writes it.
fn read(database: &Database, row: u64) -> Result<Option<String>, redb::Error> {
    let table = database.begin_read()?.open_table(BARE_TEXTS)?;
    Ok(table.get(row)?.map(|text| text.value().to_owned()))
}

impl Contender for Bare {
    type Caller = (Arc<Database>, Rng, String);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        Ok((self.0.clone(), Rng::with_seed(number.into()), text()))
    }

    async fn once((database, random, text): &mut Self::Caller) -> Result<(), Error> {
        let found = read(database, random.u64(..ROWS)).map_err(Error::of(PEER, "read"))?;
        same(PEER, &found.unwrap_or_default(), text)
    }
}
