//! Isolation: a panic is the fault of one message; a module that keeps panicking is stopped, and
//! its neighbours go on.

use std::sync::atomic::Ordering::SeqCst;

use futures_util::future::join_all;
use modulith_kernel::{Fault, GIVE_UP_PANICS, Options};
use modulith_testkit::World;

use crate::common::{
    alice, balance, begin, fault, fault_of, hold,
    ledger::{Crash, GetCrash, GetIncarnation, Ledger, LedgerSettings},
    pad::{Pad, Read, Window},
    post,
    shelf::{ListHeard, Shelf, ShelfSettings},
};

fn panicked() -> Fault {
    Fault::Panicked {
        module: "ledger".to_string(),
    }
}

#[test]
fn a_panic_fails_one_message_and_the_module_lives_on_made_anew() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        let before = world.ask(GetIncarnation {}).await.unwrap();
        assert_eq!(fault(world, Crash { account: alice() }).await, panicked());
        assert_eq!(world.ask(post(1)).await, Ok(2));
        assert_eq!(world.ask(GetIncarnation {}).await, Ok(before + 1));
        let status = world.status("ledger");
        assert_eq!((status.panics, status.events), (1, 2));
        assert_eq!(status.stopped, None);
    });
}

#[test]
fn the_message_after_a_panic_already_meets_the_module_made_anew() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let made = settings.made.load(SeqCst);
        let held = hold(&port, &settings.gate);
        let crashes: Vec<_> = (0..3)
            .map(|_| begin(&port, Crash { account: alice() }))
            .collect();
        settings.gate.open();
        held.await.unwrap();
        join_all(crashes).await;
        assert_eq!(settings.made.load(SeqCst), made + 3, "one for each panic");
    });
}

#[test]
fn too_many_panics_stop_the_module_and_its_neighbours_go_on() {
    let world = World::of::<Ledger>(LedgerSettings::default()).with::<Pad>(());
    world.run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        for _ in 0..GIVE_UP_PANICS {
            assert_eq!(fault(world, Crash { account: alice() }).await, panicked());
        }
        let stopped = fault(world, post(1)).await;
        assert_eq!(
            stopped,
            Fault::Stopped {
                module: "ledger".to_string(),
                reason: "it panicked 32 times within a minute".to_string(),
            }
        );
        assert_eq!(fault(world, GetIncarnation {}).await, stopped);
        let reason = world.status("ledger").stopped;
        assert_eq!(
            reason.as_deref(),
            Some("it panicked 32 times within a minute")
        );
        let read = Window {
            from: 0,
            to: 9,
            limit: 9,
        };
        assert_eq!(world.ask(Read { read }).await, Ok(vec![]));
        world.restart().await;
        assert_eq!(balance(world).await, 1);
        assert_eq!(world.ask(post(1)).await, Ok(2));
    });
}

#[test]
fn what_waits_behind_the_last_panic_is_told_that_the_module_stopped() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let held = hold(&port, &settings.gate);
        let crashes: Vec<_> = (0..GIVE_UP_PANICS)
            .map(|_| begin(&port, Crash { account: alice() }))
            .collect();
        let behind = begin(&port, post(1));
        settings.gate.open();
        held.await.unwrap();
        for crash in crashes {
            assert_eq!(fault_of::<Crash>(crash.await), panicked());
        }
        let behind = fault_of::<crate::common::ledger::Post>(behind.await);
        assert!(matches!(behind, Fault::Stopped { .. }), "{behind}");
        world.restart().await;
        assert_eq!(balance(world).await, 0);
    });
}

#[test]
fn a_panic_in_a_query_is_a_fault() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        for _ in 0..GIVE_UP_PANICS {
            assert_eq!(fault(world, GetCrash {}).await, panicked());
        }
        assert_eq!(world.ask(post(1)).await, Ok(1));
        let status = world.status("ledger");
        assert_eq!(status.panics, GIVE_UP_PANICS as u64);
        assert_eq!(status.faults, GIVE_UP_PANICS as u64);
    });
}

#[test]
fn a_listener_that_panics_is_made_anew_and_never_stops_its_module() {
    let shelf = ShelfSettings::default();
    let patient = Options {
        event_attempts_max: u32::MAX,
        ..Options::default()
    };
    World::of::<Ledger>(LedgerSettings::default())
        .with_options::<Shelf>(shelf.clone(), patient)
        .run(async |world: &World| {
            let made = shelf.made.load(SeqCst);
            shelf.panic_on.store(1, SeqCst);
            world.ask(post(1)).await.unwrap();
            while world.status("shelf").panics < 3 {
                tokio::task::yield_now().await;
            }
            assert!(shelf.made.load(SeqCst) >= made + 2);
            assert_eq!(world.status("shelf").stopped, None);
            assert_eq!(world.ask(ListHeard {}).await, Ok(vec![]));
            shelf.panic_on.store(0, SeqCst);
            world.settled().await;
            assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1]));
        });
}
