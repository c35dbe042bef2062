//! More of everything: modules in a process, partitions of one, connections, rows in a store.
//!
//! Nodes are measured in a process of their own (`benchmark serve`), so that what one takes is not
//! hidden in what another left behind.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use modulith_contract::{Event, Fault};
use modulith_kernel::{
    Declaration, Durability, Environment, Handle, Listen, Module, Node, NodeBuilder,
    Options as ModuleOptions, Outcome, Port, Setup, SetupError, Tx,
};
use serde::{Deserialize, Serialize};

use super::child::Served;
use super::divided;
use super::echo::Add as AddToSum;
use super::options::{Options, ROUNDS, window};
use super::ours::{self, Side};
use super::report::{Heat, OURS, Standing, mib};
use super::turns::{self, Entrant, Field};
use super::wire;
use crate::durable::ledger::{Add, Ledger, OpenAccounts};
use crate::error::Error;
use crate::load::{self, Contender};
use crate::usage::resident_bytes;

/// How many modules a process hosts; the first is compared with, as below.
const MODULES: [u64; 4] = [1, 10, 25, 50];
const QUICK_MODULES: [u64; 2] = [1, 50];

/// Into how many partitions a module is divided.
const PARTITIONS: [u64; 4] = [1, 2, 4, 8];
const QUICK_PARTITIONS: [u64; 2] = [1, 4];

/// How many processes are connected to one.
const CONNECTIONS: [u16; 4] = [1, 10, 100, 1_000];
const QUICK_CONNECTIONS: [u16; 2] = [1, 100];

/// How many rows a store holds.
const ROWS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
const QUICK_ROWS: [u64; 2] = [1_000, 100_000];

/// How many ask at once.
const IN_FLIGHT: u16 = 64;

/// How long a caller waits for a reply.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many rows one command opens.
const OPENED_AT_ONCE: u64 = 1_000;

/// How long the run may have lasted when the last of [`ROWS`] is begun, which takes minutes on a
/// busy machine: a whole run is to stay under a quarter of an hour.
const LAST_ROWS_BEGIN_MAX: Duration = Duration::from_secs(10 * 60);

/// Compares, in a run that began some time ago. Inside an actix system.
pub(crate) async fn compare(
    options: &Options,
    folder: &Path,
    begun: Instant,
    notes: &mut Vec<String>,
) -> Result<Vec<Heat>, Error> {
    let mut heats = Vec::new();
    if options.wants_part_of("scale-modules") {
        let counts: &[u64] = if options.quick {
            &QUICK_MODULES
        } else {
            &MODULES
        };
        heats.extend(modules(options, folder, counts)?);
    }
    if options.wants_part_of("scale-partitions") {
        let counts: &[u64] = if options.quick {
            &QUICK_PARTITIONS
        } else {
            &PARTITIONS
        };
        heats.extend(partitions(options, folder, counts)?);
    }
    if options.wants_part_of("scale-connections") {
        let counts: &[u16] = if options.quick {
            &QUICK_CONNECTIONS
        } else {
            &CONNECTIONS
        };
        heats.extend(connections(options, folder, counts).await?);
    }
    if options.wants_part_of("scale-rows") {
        let mut counts: &[u64] = if options.quick { &QUICK_ROWS } else { &ROWS };
        if let [others @ .., last] = counts
            && begun.elapsed() > LAST_ROWS_BEGIN_MAX
        {
            let minutes = begun.elapsed().as_secs() / 60;
            let note = format!("SKIPPED: a store of {last} rows, after {minutes} minutes");
            eprintln!("{note}");
            notes.push(note);
            counts = others;
        }
        heats.extend(rows(options, folder, counts)?);
    }
    heats.retain(|heat| options.wants(heat.group()));
    Ok(heats)
}

/// What is at each number beside what is at the first.
fn beside_first(figure: &str, unit: &str, in_flight: u16, all: Vec<(u64, Standing)>) -> Vec<Heat> {
    let mut all = all.into_iter();
    let Some((first, base)) = all.next() else {
        return Vec::new();
    };
    let base = base.named(format!("{first}-{unit}"));
    all.map(|(count, standing)| {
        let both = vec![standing.named(OURS), base.clone()];
        Heat::new(format!("scale-{figure}-{count}"), in_flight, both)
    })
    .collect()
}

/// Runs a trial in a process of its own and reads what it says.
fn trial(
    name: &'static str,
    folder: &Path,
    count: u64,
    seconds: f64,
) -> Result<Vec<Standing>, Error> {
    let more = [
        "--count".to_owned(),
        count.to_string(),
        "--seconds".to_owned(),
        seconds.to_string(),
    ];
    let served = Served::start(name, folder, &more)?;
    serde_json::from_str(&served.line).map_err(Error::of("a trial", "say what it saw"))
}

fn say(standings: &[Standing]) -> Result<String, Error> {
    serde_json::to_string(standings).map_err(Error::of("a trial", "say what it saw"))
}

/// Measures as often as everybody else is, on a node that took this long to start.
async fn measure<C: Contender>(
    contender: C,
    callers: u16,
    seconds: f64,
    start: Duration,
) -> Result<Standing, Error> {
    let mut turns = Vec::with_capacity(ROUNDS.into());
    for _ in 0..ROUNDS {
        let figures = load::run(contender.clone(), window(seconds, callers, 1)).await?;
        turns.push(Standing::new(OURS, None, &figures));
    }
    Ok(Standing {
        start_ms: Some(start.as_secs_f64() * 1e3),
        peak_mib: resident_bytes(std::process::id()).map(mib),
        ..Standing::median(&turns)
    })
}

// Modules.

fn modules(options: &Options, folder: &Path, counts: &[u64]) -> Result<Vec<Heat>, Error> {
    let mut all = Vec::new();
    for &count in counts {
        eprintln!("{count} modules in a process");
        let folder = folder.join(format!("modules-{count}"));
        for standing in trial("modules", &folder, count, options.seconds())? {
            all.push((count, standing));
        }
    }
    Ok(beside_first("modules", "module", IN_FLIGHT, all))
}

/// Measures a node of that many modules with stores, of which one is asked.
pub(crate) async fn try_modules(folder: &Path, count: u64, seconds: f64) -> Result<String, Error> {
    let begun = Instant::now();
    let mut builder = NodeBuilder::new(Environment::real(folder));
    builder.host_with::<Spoken>((), relaxed());
    host_listeners(&mut builder, count.saturating_sub(1));
    let node = builder.start().map_err(Error::Node)?;
    let commands = Commands(node.open_port());
    Commands::once(&mut commands.0.clone()).await?;
    let standing = measure(commands, IN_FLIGHT, seconds, begun.elapsed()).await?;
    node.stop().await;
    say(&[standing])
}

// Partitions.

fn partitions(options: &Options, folder: &Path, counts: &[u64]) -> Result<Vec<Heat>, Error> {
    let mut all = Vec::new();
    for &count in counts {
        eprintln!("a module in {count} partitions");
        let folder = folder.join(format!("partitions-{count}"));
        for standing in trial("partitions", &folder, count, options.seconds())? {
            all.push((count, standing));
        }
    }
    Ok(beside_first("partitions", "partition", IN_FLIGHT, all))
}

/// Measures durable commands to a module in that many partitions.
pub(crate) async fn try_partitions(
    folder: &Path,
    count: u64,
    seconds: f64,
) -> Result<String, Error> {
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    let (node, counts, start) = divided::start(folder, count).await?;
    let standing = measure(counts, IN_FLIGHT, seconds, start).await?;
    node.stop().await;
    say(&[standing])
}

fn relaxed() -> ModuleOptions {
    ModuleOptions {
        durability: Durability::Relaxed,
        ..ModuleOptions::default()
    }
}

/// Something that others could hear of.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "tally")]
struct Announced;

/// The tally, which others listen to.
struct Spoken;

impl Module for Spoken {
    const NAME: &'static str = "tally";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<AddToSum>().publishes::<Announced>();
    }
}

impl Handle<AddToSum> for Spoken {
    fn handle(&self, command: AddToSum, tx: &mut Tx<'_>) -> Outcome<AddToSum> {
        super::echo::add_to_sum(command, tx)
    }
}

/// A module with a store, a thread and a subscription, of which there can be many.
struct Listener<const NUMBER: usize>;

impl<const NUMBER: usize> Module for Listener<NUMBER> {
    const NAME: &'static str = NAMES[NUMBER];
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.listens::<Announced>();
    }
}

impl<const NUMBER: usize> Listen<Announced> for Listener<NUMBER> {
    fn listen(&self, _: Announced, _: &mut Tx<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// Names the listeners, and hosts the first of them: types are made when this is compiled.
macro_rules! listeners {
    ($($number:literal)*) => {
        const NAMES: &[&str] = &[$(concat!("listener", stringify!($number))),*];

        fn host_listeners(node: &mut NodeBuilder, count: u64) {
            $(if $number < count {
                node.host::<Listener<$number>>(());
            })*
        }
    };
}

listeners! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24
    25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48
}

/// Asks the tally.
#[derive(Clone)]
struct Commands(Port);

impl Contender for Commands {
    type Caller = Port;

    async fn caller(&self, _: u16) -> Result<Port, Error> {
        Ok(self.0.clone())
    }

    async fn once(port: &mut Port) -> Result<(), Error> {
        let sum = port.ask_within(AddToSum { amount: 1 }, PATIENCE).await;
        Ok(sum.map(drop)?)
    }
}

// Connections.

async fn connections(options: &Options, folder: &Path, counts: &[u16]) -> Result<Vec<Heat>, Error> {
    let folder = folder.join("connections");
    std::fs::create_dir(&folder).map_err(Error::io("make a folder for certificates"))?;
    let mut all = Vec::new();
    for &count in counts {
        eprintln!("{count} connections");
        // A server for each, so that memory of one is not seen in the next.
        let served = Served::start("modulith", &folder, &[])?;
        let begun = Instant::now();
        let sides = connect(&folder, &served, count).await?;
        let start = begun.elapsed();
        let field = Field {
            group: "scale-connections".to_owned(),
            callers: IN_FLIGHT,
            chunk: 1,
            entrants: vec![Entrant::ours(ours::Asks::new(
                &sides,
                64,
                served.processes(),
            ))],
        };
        for heat in turns::take(vec![field], options).await? {
            for standing in heat.standings() {
                let mut standing = standing.clone();
                standing.start_ms = Some(start.as_secs_f64() * 1e3);
                all.push((count.into(), standing));
            }
        }
        sides.iter().for_each(|side| side.close());
    }
    Ok(beside_first("connections", "connection", IN_FLIGHT, all))
}

/// Connects that many processes, as far as the server is concerned, one after the other.
async fn connect(folder: &Path, served: &Served, count: u16) -> Result<Vec<Arc<Side>>, Error> {
    let server = wire::address(served)?;
    let mut sides = Vec::with_capacity(count.into());
    for number in 0..count {
        let name = format!("{}-{number}", ours::CLIENT);
        let side = Arc::new(Side::ask(folder, &name, server, Duration::ZERO)?);
        let asks = ours::Asks::new(std::slice::from_ref(&side), 1, served.processes());
        ours::Asks::once(&mut asks.caller(0).await?).await?;
        sides.push(side);
    }
    Ok(sides)
}

// Rows.

fn rows(options: &Options, folder: &Path, counts: &[u64]) -> Result<Vec<Heat>, Error> {
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    for &count in counts {
        eprintln!("{count} rows in a store");
        let folder = folder.join(format!("rows-{count}"));
        trial("fill", &folder, count, options.seconds())?;
        let standings = trial("rows", &folder, count, options.seconds())?;
        let mut standings = standings.into_iter().map(|standing| (count, standing));
        alone.extend(standings.next());
        together.extend(standings.next());
        // Ten million rows are a gigabyte that nobody needs any more.
        _ = std::fs::remove_dir_all(&folder);
    }
    let mut heats = beside_first("rows", "rows", 1, alone);
    heats.extend(beside_first("rows", "rows", IN_FLIGHT, together));
    Ok(heats)
}

fn start_ledger(folder: &Path, options: ModuleOptions) -> Result<Arc<Node>, Error> {
    let mut builder = NodeBuilder::new(Environment::real(folder));
    builder.host_with::<Ledger>((), options);
    builder.start().map_err(Error::Node)
}

/// Fills a store with that many rows, and leaves it behind.
pub(crate) async fn fill(folder: &Path, count: u64) -> Result<String, Error> {
    let node = start_ledger(folder, relaxed())?;
    let port = node.open_port();
    for first in (0..count).step_by(OPENED_AT_ONCE as usize) {
        let count = OPENED_AT_ONCE.min(count - first);
        port.ask_within(OpenAccounts { first, count }, PATIENCE)
            .await?;
    }
    node.stop().await;
    say(&[])
}

/// Measures a node on a filled store: alone, then many at once.
pub(crate) async fn try_rows(folder: &Path, count: u64, seconds: f64) -> Result<String, Error> {
    let begun = Instant::now();
    let node = start_ledger(folder, ModuleOptions::default())?;
    let updates = Updates {
        port: node.open_port(),
        rows: count,
    };
    Updates::once(&mut updates.caller(0).await?).await?;
    let start = begun.elapsed();
    let alone = measure(updates.clone(), 1, seconds, start).await?;
    let together = measure(updates, IN_FLIGHT, seconds, start).await?;
    node.stop().await;
    say(&[alone, together])
}

/// Adds to a row at random.
#[derive(Clone)]
struct Updates {
    port: Port,
    rows: u64,
}

impl Contender for Updates {
    type Caller = (Port, Rng, u64);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        Ok((self.port.clone(), Rng::with_seed(number.into()), self.rows))
    }

    async fn once((port, random, rows): &mut Self::Caller) -> Result<(), Error> {
        let add = Add {
            account: random.u64(..*rows),
            amount: 1,
        };
        let balance = port.ask_within(add, PATIENCE).await?;
        balance.map(|_| ()).ok_or(Error::RowLost("Modulith"))
    }
}
