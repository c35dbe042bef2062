//! What operators can have done with a module, and what the auditor finds in stores that somebody
//! has tampered with.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod shop;

use std::{fs, path::Path, sync::Arc, time::Duration};

use modulith_kernel::{
    Answered, Audit, Counted, FlowStand, LetterId, Node, Operation, OperationError, Partition,
    RestoreError, Timestamp, restore,
};
use modulith_testkit::until;
use redb::ReadableTable;
use tempfile::TempDir;

use shop::{Sell, Till, Wait, node};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// Runs a shop on a folder, and stops it.
fn run(folder: &Path, scenario: impl AsyncFn(&Arc<Node>)) {
    with(folder, false, scenario);
}

/// Opens a shop's stores, and closes them.
fn at_rest(folder: &Path, scenario: impl AsyncFn(&Arc<Node>)) {
    with(folder, true, scenario);
}

fn with(folder: &Path, rest: bool, scenario: impl AsyncFn(&Arc<Node>)) {
    actix::System::new().block_on(async {
        let node = node(folder, rest);
        scenario(&node).await;
        node.stop().await;
    });
}

/// Sells, and waits until the shelf has dealt with it.
async fn sell(node: &Node, sales: &[&str]) {
    for sale in sales {
        let sale = (*sale).to_string();
        node.open_port().ask(Sell { sale }).await.unwrap();
    }
    let dealt_with = || {
        let status = node.status();
        let head = status.iter().find(|m| m.module == "till").unwrap().events;
        let shelf = status.iter().find(|m| m.module == "shelf").unwrap();
        shelf.subscriptions[0].position == head
    };
    until(dealt_with).await;
}

async fn audit(node: &Node, module: &str) -> Audit {
    let operation = Operation::Audit { deep: true };
    match node.operate(module, operation).await {
        Ok(Answered::Audit(audit)) => *audit,
        other => panic!("{other:?}"),
    }
}

fn violated(audit: &Audit) -> Vec<String> {
    let violated = audit.checks.iter().flat_map(|check| &check.violated);
    violated
        .map(|finding| format!("{}: {}", finding.about, finding.what))
        .collect()
}

/// How many events the shelf has dealt with, and how many there were up to there.
async fn counts(node: &Node) -> (u64, Counted) {
    let followed = audit(node, "shelf").await.subscriptions.remove(0);
    let operation = Operation::CountEvents {
        names: followed.names.clone(),
        up_to: followed.position,
        partition: followed.partition,
    };
    match node.operate("till", operation).await {
        Ok(Answered::Counted(counted)) => (followed.total(), counted),
        other => panic!("{other:?}"),
    }
}

/// Changes the row that `pick` counts to in a table of a store, behind the back of its module;
/// none removes it.
fn tamper(
    folder: &Path,
    module: &str,
    table: &str,
    pick: usize,
    change: impl Fn(Vec<u8>) -> Option<Vec<u8>>,
) {
    let database = redb::Database::open(folder.join(module).join("store.redb")).unwrap();
    let write = database.begin_write().unwrap();
    {
        let name = redb::TableDefinition::<&[u8], &[u8]>::new(table);
        let mut table = write.open_table(name).unwrap();
        let rows = table.iter().unwrap();
        let row = rows.map(Result::unwrap).nth(pick).unwrap();
        let (key, value) = (row.0.value().to_vec(), row.1.value().to_vec());
        drop(row);
        match change(value) {
            Some(value) => drop(table.insert(key.as_slice(), value.as_slice()).unwrap()),
            None => drop(table.remove(key.as_slice()).unwrap()),
        }
    }
    write.commit().unwrap();
}

fn sold(sales: &[&str]) -> TempDir {
    let folder = TempDir::new().unwrap();
    run(folder.path(), async |node| sell(node, sales).await);
    folder
}

#[track_caller]
fn found(folder: &TempDir, module: &str, expected: &[&str]) {
    at_rest(folder.path(), async |node| {
        assert_eq!(violated(&audit(node, module).await), expected);
    });
}

#[test]
fn stores_nobody_has_touched_add_up() {
    let folder = sold(&["a", "b", "bad", "c"]);
    at_rest(folder.path(), async |node| {
        for module in ["till", "shelf"] {
            assert_eq!(violated(&audit(node, module).await), [""; 0]);
        }
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.count, counted.pending), (4, 4, 0));
        let shelf = audit(node, "shelf").await;
        let letters = shelf.checks.iter().find(|check| check.name == "letters");
        assert_eq!(letters.unwrap().notes[0].about, "letter till/3 of shelf");
        assert_eq!(shelf.ledger.accounts["shelved"].entries.len(), 4);
        assert!(shelf.ledger.accounts["shelved"].entries[3].pending);
    });
}

#[test]
fn an_event_that_is_gone_is_told_by_its_number() {
    let folder = sold(&["a", "b", "c"]);
    tamper(folder.path(), "till", "modulith.events", 1, |_| None);
    found(&folder, "till", &["event till/2: missing from the log"]);
    at_rest(folder.path(), async |node| {
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.count), (3, 2));
    });
}

#[test]
fn an_event_counted_twice_is_one_more_than_there_were() {
    let folder = sold(&["a", "b", "c"]);
    // Position, applied, and the other counts, a byte each as long as they are small.
    tamper(folder.path(), "shelf", "modulith.cursors", 0, |mut row| {
        row[1] += 1;
        Some(row)
    });
    at_rest(folder.path(), async |node| {
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.count), (4, 3));
    });
}

#[test]
fn a_dead_letter_that_is_gone_is_missed() {
    let folder = sold(&["bad"]);
    tamper(folder.path(), "shelf", "modulith.dead", 0, |_| None);
    found(
        &folder,
        "shelf",
        &["letters of till in shelf: 1 counted, 0 there"],
    );
}

#[test]
fn a_flow_of_which_only_a_part_is_left_is_told_by_its_id() {
    let folder = TempDir::new().unwrap();
    let flow = std::cell::RefCell::new(String::new());
    run(folder.path(), async |node| {
        flow.replace(begin(node).await);
    });
    let flow = flow.into_inner();
    found(&folder, "till", &[]);
    tamper(folder.path(), "till", "modulith.flows", 0, |_| None);
    let what = format!("flow {flow} of till: has steps, and is not there");
    found(&folder, "till", &[&what]);
}

/// Begins a flow that waits for long. Gives its id.
async fn begin(node: &Arc<Node>) -> String {
    let port = node.open_port();
    actix::spawn(async move { port.ask(Wait {}).await });
    let listed = || node.flows("till", 1).unwrap().unwrap().pop();
    until(|| listed().is_some()).await;
    listed().unwrap().id
}

#[test]
fn a_flow_is_found_by_the_first_digits_of_its_id_and_cancelled() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), async |node| {
        let id = begin(node).await;
        let digits = id[..6].to_uppercase();
        let shown = node
            .operate(
                "till",
                Operation::ShowFlow {
                    flow: digits.clone(),
                },
            )
            .await;
        let Ok(Answered::Flow { flow, .. }) = shown else {
            panic!("{shown:?}");
        };
        assert_eq!((&flow.id, flow.stand), (&id, FlowStand::Running));
        assert_eq!(violated(&audit_running(node, "till").await), [""; 0]);
        let retry = node
            .operate(
                "till",
                Operation::RetryFlow {
                    flow: digits.clone(),
                },
            )
            .await;
        assert!(matches!(retry, Err(OperationError::Cannot(_))), "{retry:?}");
        let done = node
            .operate("till", Operation::CancelFlow { flow: digits })
            .await;
        assert_eq!(done, Ok(Answered::Done(id)));
        let ended = || node.flows("till", 1).unwrap().unwrap().remove(0).ended_at;
        until(|| ended().is_some()).await;
        for wrong in ["", "xyz", "+1", "00000000000000000000000000000000f"] {
            let flow = wrong.to_string();
            let shown = node.operate("till", Operation::ShowFlow { flow }).await;
            let refused = matches!(shown, Err(OperationError::NotThere(_)));
            assert!(refused, "{wrong:?}: {shown:?}");
        }
    });
}

async fn audit_running(node: &Node, module: &str) -> Audit {
    let operation = Operation::Audit { deep: false };
    match node.operate(module, operation).await {
        Ok(Answered::Audit(audit)) => *audit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_flow_cancelled_at_rest_ends_when_its_module_runs_again() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), async |node| _ = begin(node).await);
    at_rest(folder.path(), async |node| {
        let flow = node.flows("till", 1).unwrap().unwrap().remove(0).id;
        let done = node.operate("till", Operation::CancelFlow { flow }).await;
        assert!(done.is_ok(), "{done:?}");
    });
    run(folder.path(), async |node| {
        let ended = || node.flows("till", 1).unwrap().unwrap().remove(0).ended_at;
        until(|| ended().is_some()).await;
    });
}

#[test]
fn nothing_goes_on_at_rest() {
    let folder = TempDir::new().unwrap();
    run(folder.path(), async |node| {
        sell(node, &["a"]).await;
        node.leave();
        let sale = "b".to_string();
        node.open_port().ask(Sell { sale }).await.unwrap();
    });
    at_rest(folder.path(), async |node| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.count, counted.pending), (1, 1, 1));
    });
}

#[test]
fn a_dead_letter_can_be_dealt_with_at_rest() {
    let folder = sold(&["bad", "good"]);
    at_rest(folder.path(), async |node| {
        let letter = LetterId {
            publisher: "till".to_string(),
            number: 1,
        };
        let retried = node
            .operate("shelf", Operation::RetryDead(letter.clone()))
            .await;
        assert!(
            matches!(retried, Err(OperationError::Failed(_))),
            "{retried:?}"
        );
        let dropped = node
            .operate("shelf", Operation::DropDead(letter.clone()))
            .await;
        assert_eq!(dropped, Ok(Answered::Done("till/1".to_string())));
        let shown = node.operate("shelf", Operation::ShowDead(letter)).await;
        assert!(
            matches!(shown, Err(OperationError::NotThere(_))),
            "{shown:?}"
        );
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.count), (2, 2));
    });
}

/// A backup with two sales in it, of a till that has three.
fn backed_up() -> (TempDir, std::path::PathBuf) {
    let folder = sold(&["a", "b"]);
    let file = folder.path().join("till.backup");
    run(folder.path(), async |node| {
        let operation = Operation::BackUp { file: file.clone() };
        let made = node.operate("till", operation.clone()).await;
        assert!(matches!(made, Ok(Answered::BackedUp(_))), "{made:?}");
        let again = node.operate("till", operation).await;
        assert!(matches!(again, Err(OperationError::Failed(_))), "{again:?}");
        sell(node, &["c"]).await;
        let compacted = node.operate("till", Operation::Compact).await;
        assert!(compacted.is_ok(), "{compacted:?}");
    });
    assert!(!folder.path().join("till.backup.partial").exists());
    (folder, file)
}

fn put_back(folder: &TempDir, module: &str, file: &Path) -> Result<(), RestoreError> {
    restore(
        folder.path(),
        module,
        Partition::WHOLE,
        Till::VERSION,
        file,
        NOW,
    )
    .map(|_| ())
}

fn events(folder: &TempDir) -> usize {
    let count = std::cell::Cell::new(0);
    at_rest(folder.path(), async |node| {
        count.set(node.events("till", 0, 10).unwrap().len());
    });
    count.get()
}

#[test]
fn a_backup_made_while_the_module_runs_can_be_put_back() {
    let (folder, file) = backed_up();
    assert_eq!(events(&folder), 3);
    put_back(&folder, "till", &file).unwrap();
    assert_eq!(events(&folder), 2);
    found(&folder, "till", &[]);
    // The shelf has come further than this till: part of the log is lost.
    at_rest(folder.path(), async |node| {
        let (total, counted) = counts(node).await;
        assert_eq!((total, counted.head), (3, 2));
    });
    // And what was there is still there.
    let kept = fs::read_dir(folder.path().join("till")).unwrap();
    let kept = kept.map(|entry| entry.unwrap().path());
    let kept: Vec<_> = kept
        .filter(|path| {
            path.to_string_lossy()
                .contains("store.redb.before-restore-")
        })
        .collect();
    let [kept] = kept.as_slice() else {
        panic!("{kept:?}");
    };
    fs::rename(kept, folder.path().join("till/store.redb")).unwrap();
    assert_eq!(events(&folder), 3);
}

#[test]
fn a_backup_that_was_altered_is_refused_and_changes_nothing() {
    let (folder, file) = backed_up();
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let refused = put_back(&folder, "till", &file);
    assert!(
        matches!(refused, Err(RestoreError::Altered { .. })),
        "{refused:?}"
    );
    fs::remove_file(folder.path().join("till.backup.sha256")).unwrap();
    let refused = put_back(&folder, "till", &file);
    assert!(
        matches!(refused, Err(RestoreError::NoChecksum(_))),
        "{refused:?}"
    );
    assert_eq!(events(&folder), 3);
    assert!(!folder.path().join("till/store.redb.restoring").exists());
}

#[test]
fn a_backup_goes_back_where_it_came_from_and_nowhere_else() {
    let (folder, file) = backed_up();
    let refused = put_back(&folder, "shelf", &file);
    assert!(
        matches!(refused, Err(RestoreError::Misplaced { .. })),
        "{refused:?}"
    );
    let refused = restore(folder.path(), "till", Partition::WHOLE, 0, &file, NOW);
    assert!(
        matches!(refused, Err(RestoreError::Newer { .. })),
        "{refused:?}"
    );
    run(folder.path(), async |_| {
        let refused = put_back(&folder, "till", &file);
        assert!(
            matches!(refused, Err(RestoreError::InUse(_))),
            "{refused:?}"
        );
    });
    assert_eq!(events(&folder), 3);
}
