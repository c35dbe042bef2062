//! Stores: whose they are, which version they have, and who may open them.

use std::{fs, path::Path, sync::Arc};

use modulith_kernel::{
    Answer, Command, Context, Declaration, Environment, Fault, Handle, Module, Node, NodeBuilder,
    NodeError, Outcome, Query, Setup, SetupError, StoreError, Table, Tx, storage::Files,
};
use serde::{Deserialize, Serialize};

use crate::common::{
    alice,
    ledger::{GetBalance, Ledger, LedgerSettings},
    pad::Pad,
    post,
};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "archive", key = number)]
struct File {
    number: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "archive", reply = Vec<(u32, u64)>)]
struct ListFiles {}

/// Of version 1: 32 bits.
const FILES: Table<u32, u32> = Table::new("files");
/// Of version 2: 64 bits, in a table of their own.
const LONG_FILES: Table<u32, u64> = Table::new("long_files");

/// A module as it was released three times; the migration to its third version goes wrong.
struct Archive<const VERSION: u32>;

impl<const VERSION: u32> Module for Archive<VERSION> {
    const NAME: &'static str = "archive";
    const STORE_VERSION: u32 = VERSION;
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<File>().answers::<ListFiles>();
    }

    fn migrate(from: u32, tx: &mut Tx<'_>) -> Result<(), Fault> {
        if from < 2 {
            for (number, value) in tx.range(&FILES, .., usize::MAX)? {
                tx.put(&LONG_FILES, &number, &(u64::from(value) << 32))?;
                tx.remove(&FILES, &number);
            }
        }
        if VERSION == 3 {
            return Err(Fault::Late);
        }
        Ok(())
    }
}

impl<const VERSION: u32> Handle<File> for Archive<VERSION> {
    fn handle(&self, File { number }: File, tx: &mut Tx<'_>) -> Outcome<File> {
        Ok(tx.put(&FILES, &number, &number)?)
    }
}

impl<const VERSION: u32> Answer<ListFiles> for Archive<VERSION> {
    async fn answer(&self, _: ListFiles, context: &Context) -> Outcome<ListFiles> {
        let snapshot = context.snapshot()?;
        let short = snapshot.range(&FILES, .., usize::MAX)?;
        let short = short.into_iter().map(|(number, v)| (number, u64::from(v)));
        let long = snapshot.range(&LONG_FILES, .., usize::MAX)?;
        Ok(short.chain(long).collect())
    }
}

fn start<M: Module>(folder: &Path, settings: M::Settings) -> Result<Arc<Node>, NodeError> {
    let mut node = NodeBuilder::new(Environment::real(folder));
    node.host::<M>(settings);
    node.start()
}

fn start_archive<const VERSION: u32>(folder: &Path) -> Result<Arc<Node>, NodeError> {
    start::<Archive<VERSION>>(folder, ())
}

fn start_ledger(folder: &Path) -> Result<Arc<Node>, NodeError> {
    start::<Ledger>(folder, LedgerSettings::default())
}

fn store_error(started: Result<Arc<Node>, NodeError>) -> StoreError {
    match started {
        Err(NodeError::Store(error)) => error,
        other => panic!("expected an error about the store, found {other:?}"),
    }
}

/// Runs a scenario on a folder of its own, in an actix system.
fn on_a_folder(scenario: impl AsyncFn(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    actix::System::new().block_on(scenario(folder.path()));
}

/// A folder with an archive of version 1 that holds one file.
async fn first_archive(folder: &Path) {
    let node = start_archive::<1>(folder).expect("an empty folder is a good one");
    let filed = node.open_port().ask(File { number: 7 }).await;
    filed.expect("the archive takes files");
    node.stop().await;
}

#[test]
fn an_older_store_is_migrated_once() {
    on_a_folder(async |folder| {
        first_archive(folder).await;
        for _ in 0..2 {
            let node = start_archive::<2>(folder).unwrap();
            let files = node.open_port().ask(ListFiles {}).await;
            assert_eq!(files, Ok(vec![(7, 7 << 32)]));
            node.stop().await;
        }
    });
}

#[test]
fn a_newer_store_is_refused_by_name() {
    on_a_folder(async |folder| {
        start_archive::<2>(folder).unwrap().stop().await;
        let error = store_error(start_archive::<1>(folder));
        assert_eq!(
            error.to_string(),
            "the store of module archive has version 2, newer than 1, the last this program \
             knows; run the newer program, or restore a backup made with this one"
        );
        start_archive::<2>(folder).unwrap().stop().await;
    });
}

#[test]
fn a_failed_migration_leaves_the_store_as_it_was() {
    on_a_folder(async |folder| {
        first_archive(folder).await;
        let error = store_error(start_archive::<3>(folder));
        assert_eq!(
            error.to_string(),
            "the store of module archive cannot be brought from version 1 to 3"
        );
        assert!(matches!(
            error,
            StoreError::Migration {
                source: Fault::Late,
                ..
            }
        ));
        let node = start_archive::<1>(folder).unwrap();
        assert_eq!(node.open_port().ask(ListFiles {}).await, Ok(vec![(7, 7)]));
        node.stop().await;
    });
}

#[test]
fn another_modules_store_is_refused() {
    on_a_folder(async |folder| {
        first_archive(folder).await;
        let files = Files::below(folder);
        let misplaced = files.path("ledger");
        fs::create_dir_all(misplaced.parent().unwrap()).unwrap();
        fs::copy(files.path("archive"), misplaced).unwrap();
        let error = store_error(start_ledger(folder));
        assert_eq!(
            error.to_string(),
            "this is the store of module archive, not of ledger"
        );
    });
}

#[test]
fn a_store_in_use_is_refused_until_its_node_stops() {
    on_a_folder(async |folder| {
        let node = start_ledger(folder).unwrap();
        let port = node.open_port();
        port.ask(post(1)).await.unwrap();
        assert!(matches!(
            store_error(start_ledger(folder)),
            StoreError::InUse { module } if module == "ledger"
        ));
        assert_eq!(port.ask(post(1)).await, Ok(2), "the first goes on");
        node.stop().await;
        let stopped = port.ask(post(1)).await.unwrap_err();
        assert!(
            stopped.to_string().contains("is stopped"),
            "the old port says so: {stopped}"
        );
        let second = start_ledger(folder).unwrap();
        let account = alice();
        let balance = second.open_port().ask(GetBalance { account }).await;
        assert_eq!(balance, Ok(2));
        second.stop().await;
    });
}

#[test]
fn a_file_that_is_not_a_store_is_refused_and_left_alone() {
    on_a_folder(async |folder| {
        let path = Files::below(folder).path("ledger");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = "a letter to the management, longer than any header of a store".repeat(99);
        fs::write(&path, &text).unwrap();
        let error = store_error(start_ledger(folder));
        assert!(matches!(error, StoreError::Broken { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    });
}

#[test]
fn a_node_that_does_not_start_leaves_no_store_open() {
    on_a_folder(async |folder| {
        start_archive::<2>(folder).unwrap().stop().await;
        let mut node = NodeBuilder::new(Environment::real(folder));
        node.host::<Ledger>(LedgerSettings::default())
            .host::<Pad>(())
            .host::<Archive<1>>(());
        store_error(node.start());
        start_ledger(folder).unwrap().stop().await;
        start::<Pad>(folder, ()).unwrap().stop().await;
    });
}

#[test]
fn a_node_may_be_stopped_twice_and_with_work_in_hand() {
    on_a_folder(async |folder| {
        for round in 1..=20 {
            let node = start_ledger(folder).unwrap();
            let port = node.open_port();
            let posted = crate::common::begin(&port, post(1));
            node.stop().await;
            node.stop().await;
            assert_eq!(posted.await, Ok(round), "what waited was committed");
        }
    });
}
