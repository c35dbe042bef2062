//! Durable updates a second through the port, at 1, 16, 64 and 256 callers; how far the store's
//! files grow meanwhile; and the longest wait of a command, which is that for a checkpoint.
//!
//! `cargo run --release -p modulith-kernel --example commit_rate -- FOLDER [SECONDS]`

use std::{
    path::Path,
    time::{Duration, Instant},
};

use modulith_kernel::{
    Command, Declaration, Environment, Handle, Module, NodeBuilder, Outcome, Port, Setup,
    SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

const KEYS: u64 = 100_000;

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "shelf")]
struct Set {
    key: u64,
    value: u64,
}

/// Fills the store, a thousand keys each.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "shelf")]
struct Fill {
    from: u64,
}

const VALUES: Table<u64, [u64; 4]> = Table::new("values");

struct Shelf;

impl Module for Shelf {
    const NAME: &'static str = "shelf";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<Set>().handles::<Fill>();
    }
}

impl Handle<Set> for Shelf {
    fn handle(&self, Set { key, value }: Set, tx: &mut Tx<'_>) -> Outcome<Set> {
        Ok(tx.put(&VALUES, &key, &[value; 4])?)
    }
}

impl Handle<Fill> for Shelf {
    fn handle(&self, Fill { from }: Fill, tx: &mut Tx<'_>) -> Outcome<Fill> {
        for key in from..from + 1000 {
            tx.put(&VALUES, &key, &[0; 4])?;
        }
        Ok(())
    }
}

/// Updates from one caller until the end; how many there were, and how long the longest took.
async fn call(port: Port, mut key: u64, end: Instant) -> (u64, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    loop {
        let begun = Instant::now();
        if begun >= end {
            return (count, longest);
        }
        // Jumps about, through every key in turn.
        key = (key + 61_803) % KEYS;
        let set = port.ask(Set { key, value: count }).await;
        set.expect("the disk works");
        count += 1;
        longest = longest.max(begun.elapsed());
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder.join("shelf")).expect("the store has a folder");
    let bytes = files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |m| m.len()));
    bytes.sum()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("the first argument is a folder");
    let seconds = arguments.next().map_or(10, |s| s.parse().expect("seconds"));
    let folder = Path::new(&folder);
    actix::System::new().block_on(async {
        let mut node = NodeBuilder::new(Environment::real(folder));
        node.host::<Shelf>(());
        let begun = Instant::now();
        let node = node.start().expect("the node starts");
        println!("started in {:?}", begun.elapsed());
        let port = node.open_port();
        for from in (0..KEYS).step_by(1000) {
            port.ask(Fill { from }).await.expect("the disk works");
        }
        for callers in [1, 16, 64, 256] {
            let before = bytes_below(folder);
            let end = Instant::now() + Duration::from_secs(seconds);
            let calls = (0..callers).map(|n| actix::spawn(call(port.clone(), n * 389, end)));
            let (mut count, mut longest) = (0, Duration::ZERO);
            for ended in futures_util::future::join_all(calls).await {
                let (calls, wait) = ended.expect("no caller panics");
                count += calls;
                longest = longest.max(wait);
            }
            println!(
                "{callers:4} callers: {:7} updates/s, longest wait {longest:?}, files {} -> {} KiB",
                count / seconds,
                before >> 10,
                bytes_below(folder) >> 10,
            );
        }
        let begun = Instant::now();
        node.stop().await;
        println!("stopped in {:?}", begun.elapsed());
    });
}
