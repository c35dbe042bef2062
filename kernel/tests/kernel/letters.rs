//! Events that cannot be handled: how often they are tried, and what becomes of them.

use std::sync::atomic::Ordering::SeqCst;

use modulith_kernel::{DeadLetter, DeadLetterError, Fault, Options, Poison, SubscriptionStatus};
use modulith_testkit::{DiskFault, World, WorldBuilder, until};

use crate::common::{
    ledger::{Ledger, LedgerSettings},
    post,
    reader::{Reader, ReaderSettings},
    shelf::{ListHeard, Shelf, ShelfSettings},
};

/// Few, so that the pauses between take little time.
const ATTEMPTS: u32 = 3;

fn parking() -> Options {
    Options {
        event_attempts_max: ATTEMPTS,
        ..Options::default()
    }
}

fn world(shelf: &ShelfSettings, options: Options) -> WorldBuilder {
    World::of::<Ledger>(LedgerSettings::default()).with_options::<Shelf>(shelf.clone(), options)
}

fn subscription(world: &World, module: &str) -> SubscriptionStatus {
    world.status(module).subscriptions.remove(0)
}

fn letters(world: &World) -> Vec<DeadLetter> {
    let letters = world.node().dead_letters("shelf");
    letters.expect("the letters can be read")
}

/// Three postings, of which the shelf cannot handle the second.
async fn one_letter(world: &World, shelf: &ShelfSettings) {
    shelf.fault_on.store(2, SeqCst);
    for amount in [1, 2, 3] {
        let posted = world.ask(post(amount)).await;
        posted.expect("the ledger takes postings");
    }
    world.settled().await;
}

/// What was heard, and the counts: applied, dead, dropped.
async fn check(world: &World, heard: &[i64], counts: (u64, u64, u64)) {
    assert_eq!(world.ask(ListHeard {}).await, Ok(heard.to_vec()));
    let shelf = subscription(world, "shelf");
    assert_eq!((shelf.applied, shelf.dead, shelf.dropped), counts);
    assert_eq!(letters(world).len() as u64, counts.1);
}

#[test]
fn an_event_that_keeps_failing_is_parked_and_those_behind_it_go_on() {
    let shelf = ShelfSettings::default();
    world(&shelf, parking()).run(async |world: &World| {
        shelf.begun.store(0, SeqCst);
        one_letter(world, &shelf).await;
        check(world, &[1, 3], (2, 1, 0)).await;
        let tries = shelf.begun.load(SeqCst);
        assert_eq!(tries, 2 + ATTEMPTS, "the third waited for the second");
        let letter = letters(world).remove(0);
        assert_eq!((letter.publisher.as_str(), letter.number), ("ledger", 2));
        assert_eq!(letter.name, "Posted");
        assert_eq!(letter.body, r#"{"account":"alice","amount":2}"#);
        assert_eq!(letter.error, "no reply before the deadline");
        assert_eq!(letter.attempts, ATTEMPTS);
        assert_eq!(letter.first_failed, letter.at, "the clock stands still");
        until(|| subscription(world, "shelf").stuck.is_none()).await;
    });
}

#[test]
fn an_event_whose_handler_panics_is_parked_too() {
    let shelf = ShelfSettings::default();
    world(&shelf, parking()).run(async |world: &World| {
        shelf.panic_on.store(2, SeqCst);
        one_letter(world, &shelf).await;
        shelf.fault_on.store(0, SeqCst);
        check(world, &[1, 3], (2, 1, 0)).await;
        let retried = world.node().clone();
        let failed = retried.retry_dead("shelf", "ledger", 2).await;
        assert!(matches!(
            failed,
            Err(DeadLetterError::Failed(Fault::Panicked { .. }))
        ));
        assert_eq!(world.status("shelf").stopped, None);
        shelf.panic_on.store(0, SeqCst);
    });
}

#[test]
fn a_subscription_that_halts_tries_on_and_parks_nothing() {
    let shelf = ShelfSettings::default();
    let halting = Options {
        poison: Poison::Halt,
        event_attempts_max: 1,
        ..Options::default()
    };
    world(&shelf, halting).run(async |world: &World| {
        shelf.fault_on.store(2, SeqCst);
        for amount in [1, 2, 3] {
            world.ask(post(amount)).await.unwrap();
        }
        until(|| subscription(world, "shelf").attempts >= 5).await;
        assert!(subscription(world, "shelf").stuck.is_some());
        check(world, &[1], (1, 0, 0)).await;
        shelf.fault_on.store(0, SeqCst);
        world.settled().await;
        check(world, &[1, 2, 3], (3, 0, 0)).await;
    });
}

#[test]
fn a_dead_letter_tried_again_when_the_cause_is_gone_is_handled_once() {
    let shelf = ShelfSettings::default();
    world(&shelf, parking()).run(async |world: &World| {
        one_letter(world, &shelf).await;
        let node = world.node().clone();
        let failed = node.retry_dead("shelf", "ledger", 2).await;
        assert!(matches!(failed, Err(DeadLetterError::Failed(Fault::Late))));
        check(world, &[1, 3], (2, 1, 0)).await;
        assert_eq!(letters(world)[0].attempts, ATTEMPTS + 1);
        shelf.fault_on.store(0, SeqCst);
        // Twice at once: one finds it gone.
        let (first, second) = futures_util::future::join(
            node.retry_dead("shelf", "ledger", 2),
            node.retry_dead("shelf", "ledger", 2),
        )
        .await;
        first.unwrap();
        assert_eq!(
            second.unwrap_err().to_string(),
            "module shelf has no dead letter 2 of ledger"
        );
        check(world, &[1, 3, 2], (3, 0, 0)).await;
    });
}

#[test]
fn a_dropped_letter_is_never_handled_and_counted() {
    let shelf = ShelfSettings::default();
    world(&shelf, parking()).run(async |world: &World| {
        one_letter(world, &shelf).await;
        shelf.fault_on.store(0, SeqCst);
        let node = world.node().clone();
        node.drop_dead("shelf", "ledger", 2).await.unwrap();
        check(world, &[1, 3], (2, 0, 1)).await;
        let again = node.drop_dead("shelf", "ledger", 2).await;
        assert!(matches!(again, Err(DeadLetterError::NotThere { .. })));
    });
}

#[test]
fn a_dead_letter_survives_a_restart_and_a_crash() {
    let shelf = ShelfSettings::default();
    world(&shelf, parking()).run(async |world: &World| {
        one_letter(world, &shelf).await;
        let before = letters(world);
        world.restart().await;
        assert_eq!(letters(world), before);
        world.crash();
        world.settled().await;
        check(world, &[1, 3], (2, 1, 0)).await;
        assert_eq!(letters(world), before);
    });
}

#[test]
fn a_module_that_is_not_here_has_no_letters_to_look_at() {
    world(&ShelfSettings::default(), parking()).run(async |world: &World| {
        let unknown = world.node().dead_letters("attic").unwrap_err();
        assert!(matches!(unknown, Fault::Unreachable { .. }));
        assert_eq!(world.node().dead_letters("ledger"), Ok(vec![]));
    });
}

#[test]
fn faults_of_the_subscribers_own_store_or_mailbox_park_nothing() {
    let reader = ReaderSettings::default();
    let once = Options {
        event_attempts_max: 1,
        ..Options::default()
    };
    let world = World::of::<Ledger>(LedgerSettings::default());
    let world = world.with_options::<Reader>(reader.clone(), once);
    world.run(async |world: &World| {
        let of = |module: &str| {
            let (module, reason) = (module.to_string(), "the test says so".to_string());
            let (other, retry_after_ms) = (module.clone(), 1);
            [
                Fault::Store {
                    module: module.clone(),
                    reason: reason.clone(),
                },
                Fault::Stopped { module, reason },
                Fault::Overloaded {
                    module: other,
                    retry_after_ms,
                },
            ]
        };
        for (amount, fault) in (1..).zip(of("reader")) {
            let begun = reader.begun.load(SeqCst);
            reader.set_fault(Some(fault));
            world.ask(post(amount)).await.unwrap();
            until(|| reader.begun.load(SeqCst) >= begun + 3).await;
            reader.set_fault(None);
            world.settled().await;
        }
        let status = subscription(world, "reader");
        assert_eq!((status.applied, status.dead), (3, 0));
        // Another module's faults are the handler's own doing.
        reader.set_fault(of("attic").into_iter().next());
        world.ask(post(4)).await.unwrap();
        world.settled().await;
        assert_eq!(subscription(world, "reader").dead, 1);
        reader.set_fault(None);
    });
}

#[test]
fn a_commit_that_fails_on_the_subscribers_disk_parks_nothing() {
    let reader = ReaderSettings::default();
    let once = Options {
        event_attempts_max: 1,
        ..Options::default()
    };
    let world = World::of::<Ledger>(LedgerSettings::default());
    let world = world.with_options::<Reader>(reader.clone(), once);
    world.run(async |world: &World| {
        reader.gate.close();
        world.ask(post(1)).await.unwrap();
        reader.gate.wait_until_entered();
        world.disk().set_fault(DiskFault::Writes);
        reader.gate.open();
        until(|| subscription(world, "reader").attempts >= 4).await;
        world.disk().set_fault(DiskFault::None);
        world.settled().await;
        let status = subscription(world, "reader");
        assert_eq!((status.applied, status.dead), (1, 0));
    });
}
