//! The event log: what is removed from it and when, where a subscription begins, and that the
//! counts of publisher and subscriber add up.

use std::{path::Path, sync::Arc, sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::future::join_all;
use modulith_kernel::{
    Environment, Key, ListenFrom, LogStatus, Manifest, Node, NodeBuilder, Options, Poison,
    storage::{Files, redb},
};
use modulith_testkit::{World, until};

use crate::common::{
    ledger::{Ledger, LedgerSettings, PublishNote},
    post,
    reader::{Reader, ReaderSettings},
    shelf::{ListHeard, Shelf, ShelfSettings},
};

/// For what takes long on a slow machine and never for ever.
const PATIENCE: Duration = Duration::from_secs(60);

const WEEK_AND_A_DAY: Duration = Duration::from_secs(8 * 24 * 3600);

fn log(world: &World) -> LogStatus {
    world.status("ledger").log.expect("the ledger publishes")
}

/// Waits until the publisher knows that its first subscriber has come this far.
async fn known(world: &World, position: u64) {
    until(|| log(world).subscribers[0].position >= Some(position)).await;
}

async fn trim(world: &World) -> u64 {
    let node = world.node().clone();
    node.trim_events("ledger")
        .await
        .expect("the ledger can trim")
}

/// The numbers of the events kept.
fn kept(node: &Node) -> Vec<u64> {
    let events = node.events("ledger", 0, usize::MAX);
    let events = events.expect("the log can be read");
    events.into_iter().map(|event| event.number).collect()
}

/// Every event that was wanted up to the subscriber's place is accounted for, on both sides.
fn check_counts(node: &Node, wanted: &str) {
    let status = node.status();
    let log = status.iter().find_map(|module| module.log.as_ref());
    let log = log.expect("the ledger publishes");
    let trimmed = log.trimmed.get(wanted).copied().unwrap_or_default();
    let events = node.events("ledger", 0, usize::MAX);
    let events = events.expect("the log can be read");
    let subscriptions = status.iter().flat_map(|module| &module.subscriptions);
    for one in subscriptions {
        let counted = one.applied + one.dead + one.skipped + one.dropped;
        let kept = events
            .iter()
            .filter(|event| event.name == wanted && event.number <= one.position);
        assert_eq!(counted, trimmed.count + kept.count() as u64, "{one:?}");
    }
}

#[test]
fn an_event_is_removed_when_it_is_old_and_everybody_has_had_it() {
    let world =
        World::of::<Ledger>(LedgerSettings::default()).with::<Shelf>(ShelfSettings::default());
    world.run(async |world: &World| {
        for amount in 1..=10 {
            world.ask(post(amount)).await.unwrap();
        }
        world.settled().await;
        known(world, 10).await;
        assert_eq!(trim(world).await, 0, "none is old");
        world.clock().advance(WEEK_AND_A_DAY);
        assert_eq!(trim(world).await, 9);
        assert_eq!(kept(&world.node()), [10], "the last holds the number");
        let status = log(world);
        assert_eq!((status.oldest, status.head), (Some(10), 10));
        let trimmed = status.trimmed["Posted"];
        assert_eq!((trimmed.count, trimmed.up_to), (9, 9));
        world.restart().await;
        world.ask(post(11)).await.unwrap();
        world.settled().await;
        assert_eq!(world.status("ledger").events, 11);
        assert_eq!(
            world.ask(ListHeard {}).await,
            Ok((1..=11).collect::<Vec<i64>>())
        );
        check_counts(&world.node(), "Posted");
    });
}

#[test]
fn the_counts_add_up_whatever_becomes_of_an_event() {
    let shelf = ShelfSettings::default();
    let once = Options {
        event_attempts_max: 1,
        ..Options::default()
    };
    let world =
        World::of::<Ledger>(LedgerSettings::default()).with_options::<Shelf>(shelf.clone(), once);
    world.run(async |world: &World| {
        let node = world.node().clone();
        for amount in 1..=6 {
            // Three fail: one will be dropped, one stays for long, one is handled soon after.
            shelf.fault_on.store(amount - amount % 2, SeqCst);
            world.ask(post(amount)).await.unwrap();
            world.ask(PublishNote { bytes: 1 }).await.unwrap();
            world.settled().await;
            check_counts(&node, "Posted");
        }
        let counts = || {
            let one = world.status("shelf").subscriptions.remove(0);
            (one.applied, one.dead, one.skipped, one.dropped)
        };
        assert_eq!(counts(), (3, 3, 0, 0));
        shelf.fault_on.store(0, SeqCst);
        node.drop_dead("shelf", "ledger", 3).await.unwrap();
        check_counts(&node, "Posted");
        node.retry_dead("shelf", "ledger", 11).await.unwrap();
        check_counts(&node, "Posted");
        known(world, 12).await;
        world.clock().advance(WEEK_AND_A_DAY);
        assert_eq!(trim(world).await, 11);
        check_counts(&node, "Posted");
        assert_eq!(counts(), (4, 1, 0, 1));
        // What is among the dead letters does not need the publisher's log.
        node.retry_dead("shelf", "ledger", 7).await.unwrap();
        check_counts(&node, "Posted");
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 3, 5, 6, 4]));
    });
}

#[test]
fn many_events_are_removed_slice_by_slice() {
    let world =
        World::of::<Ledger>(LedgerSettings::default()).with::<Shelf>(ShelfSettings::default());
    world.run(async |world: &World| {
        let port = world.port();
        join_all((1..=300).map(|amount| port.ask_within(post(amount), PATIENCE))).await;
        world.settled().await;
        known(world, 300).await;
        world.clock().advance(WEEK_AND_A_DAY);
        let before = world.status("ledger").commits;
        assert_eq!(trim(world).await, 299);
        // At least: a check in between may have stored how far the subscriber has come.
        assert!(world.status("ledger").commits >= before + 2);
        check_counts(&world.node(), "Posted");
    });
}

#[test]
fn no_event_is_removed_before_a_subscriber_that_is_stuck_has_had_it() {
    let shelf = ShelfSettings::default();
    let halting = Options {
        poison: Poison::Halt,
        ..Options::default()
    };
    let world = World::of::<Ledger>(LedgerSettings::default())
        .with_options::<Shelf>(shelf.clone(), halting)
        .with::<Reader>(ReaderSettings::default());
    world.run(async |world: &World| {
        shelf.fault_on.store(5, SeqCst);
        for amount in 1..=10 {
            world.ask(post(amount)).await.unwrap();
        }
        until(|| {
            let readers = log(world).subscribers;
            readers[0].position == Some(10) && readers[1].position == Some(4)
        })
        .await;
        world.clock().advance(WEEK_AND_A_DAY);
        assert_eq!(trim(world).await, 4);
        let status = log(world);
        assert_eq!(status.held_by.as_deref(), Some("shelf"));
        let lags: Vec<_> = status.subscribers.iter().map(|one| one.lag).collect();
        assert_eq!(lags, [0, 6]);
        check_counts(&world.node(), "Posted");
        shelf.fault_on.store(0, SeqCst);
        world.settled().await;
        until(|| log(world).subscribers[1].position == Some(10)).await;
        assert_eq!(trim(world).await, 5);
        assert_eq!(log(world).held_by, None);
        assert_eq!(
            world.ask(ListHeard {}).await,
            Ok((1..=10).collect::<Vec<i64>>())
        );
        check_counts(&world.node(), "Posted");
    });
}

#[test]
fn a_subscriber_that_has_never_asked_holds_everything() {
    let world = World::of::<Ledger>(LedgerSettings::default())
        .with::<Shelf>(ShelfSettings::default())
        .with_neighbour::<Reader>();
    world.run(async |world: &World| {
        for amount in [1, 2] {
            world.ask(post(amount)).await.unwrap();
        }
        world.settled().await;
        world.clock().advance(WEEK_AND_A_DAY);
        assert_eq!(trim(world).await, 0);
        let status = log(world);
        assert_eq!(status.held_by.as_deref(), Some("reader"));
        assert_eq!(status.subscribers[0].module, "reader");
        assert_eq!(status.subscribers[0].position, None);
        assert_eq!(status.subscribers[0].lag, 2);
    });
}

#[test]
fn the_oldest_events_go_when_there_are_too_many_bytes() {
    let few = Options {
        events_bytes_max: 5000,
        ..Options::default()
    };
    let world = World::of_options::<Ledger>(LedgerSettings::default(), few);
    world.run(async |world: &World| {
        for _ in 0..10 {
            world.ask(PublishNote { bytes: 1000 }).await.unwrap();
        }
        assert_eq!(trim(world).await, 6);
        assert_eq!(kept(&world.node()), [7, 8, 9, 10]);
        let bytes = log(world).bytes;
        assert!((4000..=5000).contains(&bytes), "{bytes}");
        world.restart().await;
        assert_eq!(log(world).bytes, bytes, "stored, not measured again");
        world.ask(PublishNote { bytes: 1000 }).await.unwrap();
        assert_eq!(trim(world).await, 1);
    });
}

#[test]
fn events_of_no_interest_hold_nobody_up_and_are_not_missed() {
    let world =
        World::of::<Ledger>(LedgerSettings::default()).with::<Shelf>(ShelfSettings::default());
    world.run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        for _ in 0..5 {
            world.ask(PublishNote { bytes: 1 }).await.unwrap();
        }
        world.settled().await;
        known(world, 6).await;
        world.clock().advance(WEEK_AND_A_DAY);
        assert_eq!(trim(world).await, 5);
        // After a restart the subscriber asks from its last event on, which is gone.
        world.restart().await;
        world.ask(post(2)).await.unwrap();
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2]));
        let status = world.status("shelf").subscriptions.remove(0);
        assert_eq!((status.applied, status.skipped), (2, 0));
        check_counts(&world.node(), "Posted");
    });
}

/// A ledger, and what else the test says, in a folder.
fn start(folder: &Path, options: Options, more: impl FnOnce(&mut NodeBuilder)) -> Arc<Node> {
    let mut node = NodeBuilder::new(Environment::real(folder));
    node.host_with::<Ledger>(LedgerSettings::default(), options);
    more(&mut node);
    node.start().expect("the node starts")
}

/// Removes events as soon as everybody has had them.
fn keeping_nothing() -> Options {
    Options {
        events_kept_hours: 0,
        ..Options::default()
    }
}

fn on_a_folder(scenario: impl AsyncFn(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    actix::System::new().block_on(scenario(folder.path()));
}

async fn posts(node: &Node, amounts: &[i64]) {
    for amount in amounts {
        let posted = node.open_port().ask(post(*amount)).await;
        posted.expect("the ledger takes postings");
    }
}

/// Waits until the shelf, hosted second, has dealt with events up to this one.
async fn dealt_with(node: &Node, position: u64) {
    until(|| node.status()[1].subscriptions[0].position >= position).await;
}

#[test]
fn a_new_subscriber_begins_with_the_oldest_event_kept_and_counts_those_before() {
    on_a_folder(async |folder| {
        let alone = start(folder, keeping_nothing(), |_| {});
        posts(&alone, &[1, 2, 3, 4]).await;
        assert_eq!(alone.trim_events("ledger").await, Ok(3));
        alone.stop().await;
        let both = start(folder, Options::default(), |node| {
            node.host::<Shelf>(ShelfSettings::default());
        });
        posts(&both, &[5]).await;
        dealt_with(&both, 5).await;
        let heard = both.open_port().ask(ListHeard {}).await;
        assert_eq!(heard, Ok(vec![4, 5]));
        let status = both.status()[1].subscriptions.remove(0);
        assert_eq!((status.applied, status.skipped), (2, 3));
        check_counts(&both, "Posted");
        both.stop().await;
    });
}

#[test]
fn a_subscription_that_begins_now_passes_over_what_was_before() {
    on_a_folder(async |folder| {
        let alone = start(folder, keeping_nothing(), |_| {});
        posts(&alone, &[1, 2]).await;
        assert_eq!(alone.trim_events("ledger").await, Ok(1));
        alone
            .open_port()
            .ask(PublishNote { bytes: 1 })
            .await
            .unwrap();
        posts(&alone, &[3]).await;
        alone.stop().await;
        let from_now = Options {
            listen_from: ListenFrom::Now,
            ..Options::default()
        };
        for amount in [10, 11] {
            // The second time it is not new any more, and goes on where it was.
            let both = start(folder, Options::default(), |node| {
                node.host_with::<Shelf>(ShelfSettings::default(), from_now.clone());
            });
            dealt_with(&both, 4).await;
            posts(&both, &[amount]).await;
            let head = both.status()[0].events;
            dealt_with(&both, head).await;
            assert_eq!(both.status()[1].subscriptions[0].skipped, 3);
            check_counts(&both, "Posted");
            both.stop().await;
            if amount == 10 {
                let alone = start(folder, Options::default(), |_| {});
                posts(&alone, &[20]).await;
                alone.stop().await;
            }
        }
        let both = start(folder, Options::default(), |node| {
            node.host_with::<Shelf>(ShelfSettings::default(), from_now.clone());
        });
        let heard = both.open_port().ask(ListHeard {}).await;
        assert_eq!(heard, Ok(vec![10, 20, 11]));
        both.stop().await;
    });
}

#[test]
fn a_publisher_remembers_how_far_its_subscribers_came() {
    on_a_folder(async |folder| {
        let both = start(folder, Options::default(), |node| {
            node.host::<Shelf>(ShelfSettings::default());
        });
        posts(&both, &[1, 2]).await;
        let position = |node: &Node| {
            let log = node.status().remove(0).log.unwrap();
            log.subscribers[0].position
        };
        until(|| position(&both) == Some(2)).await;
        assert_eq!(both.trim_events("ledger").await, Ok(0));
        both.stop().await;
        let alone = start(folder, keeping_nothing(), |node| {
            node.neighbour(Manifest::of::<Shelf>());
        });
        assert_eq!(position(&alone), Some(2));
        posts(&alone, &[3, 4]).await;
        assert_eq!(alone.trim_events("ledger").await, Ok(2));
        assert_eq!(kept(&alone), [3, 4]);
        alone.stop().await;
    });
}

#[test]
fn a_slow_subscriber_holds_up_neither_the_publisher_nor_others() {
    let reader = ReaderSettings::default();
    let world = World::of::<Ledger>(LedgerSettings::default())
        .with::<Shelf>(ShelfSettings::default())
        .with::<Reader>(reader.clone());
    world.run(async |world: &World| {
        reader.gate.close();
        let port = world.port();
        let posts = (1..=300).map(|amount| port.ask_within(post(amount), PATIENCE));
        let posted = join_all(posts).await;
        assert!(posted.iter().all(Result::is_ok));
        reader.gate.wait_until_entered();
        until(|| world.status("shelf").subscriptions[0].position == 300).await;
        until(|| log(world).subscribers[1].lag == 0).await;
        let slow = &log(world).subscribers[0];
        assert_eq!((slow.module.as_str(), slow.lag), ("reader", 300));
        reader.gate.open();
        world.settled().await;
        assert_eq!(world.status("reader").subscriptions[0].applied, 300);
    });
}

#[test]
fn an_event_that_nobody_listens_to_is_in_the_status() {
    let world =
        World::of::<Ledger>(LedgerSettings::default()).with::<Shelf>(ShelfSettings::default());
    world.run(async |world: &World| assert_eq!(log(world).unheard, ["Noted"]));
}

#[test]
fn a_log_is_read_as_text() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(7)).await.unwrap();
        world.ask(PublishNote { bytes: 3 }).await.unwrap();
        let node = world.node().clone();
        let events = node.events("ledger", 0, 10).unwrap();
        let lines: Vec<_> = events
            .iter()
            .map(|line| (line.number, line.name.as_str(), line.body.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (1, "Posted", r#"{"account":"alice","amount":7}"#),
                (2, "Noted", r#"{"text":"xxx"}"#)
            ]
        );
        assert_eq!(events[0].cause.len(), 32);
        assert_eq!(node.events("ledger", 0, 1).unwrap(), events[..1]);
        assert_eq!(node.events("ledger", 1, 1).unwrap(), events[1..]);
        assert_eq!(node.events("ledger", 2, 1), Ok(vec![]));
    });
}

/// Stores of the first format had a cursor that was the position alone.
#[test]
fn a_place_in_the_log_from_a_store_of_format_1_still_holds() {
    use redb::{Database, TableDefinition};

    on_a_folder(async |folder| {
        let shelf = ShelfSettings::default();
        let both = |folder| {
            start(folder, Options::default(), |node| {
                node.host::<Shelf>(shelf.clone());
            })
        };
        let node = both(folder);
        posts(&node, &[1, 2, 3]).await;
        dealt_with(&node, 3).await;
        node.stop().await;
        drop(node);

        let database = Database::open(Files::below(folder).path("shelf")).unwrap();
        let write = database.begin_write().unwrap();
        {
            let about = TableDefinition::<&str, &[u8]>::new("modulith.about");
            let mut about = write.open_table(about).unwrap();
            about
                .insert("format", 1_u32.to_le_bytes().as_slice())
                .unwrap();
            let cursors = TableDefinition::<&[u8], &[u8]>::new("modulith.cursors");
            let mut key = Vec::new();
            "ledger".to_string().write(&mut key);
            let mut cursors = write.open_table(cursors).unwrap();
            cursors.insert(key.as_slice(), [3_u8].as_slice()).unwrap();
        }
        write.commit().unwrap();
        drop(database);

        let begun = shelf.begun.load(SeqCst);
        for amount in [4, 5] {
            let node = both(folder);
            posts(&node, &[amount]).await;
            let head = node.status()[0].events;
            dealt_with(&node, head).await;
            node.stop().await;
        }
        assert_eq!(
            shelf.begun.load(SeqCst),
            begun + 2,
            "none was handled again"
        );
    });
}
