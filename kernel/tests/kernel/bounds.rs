//! Bounds: a full mailbox refuses at once, late work is dropped, and nobody waits for ever.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use modulith_kernel::{Carried, Fault, MAILBOX_MESSAGES_MAX, Outcome, Port, Priority, Stop};
use modulith_testkit::World;

use crate::common::{
    Gate, balance, begin, fault_of, hold,
    ledger::{Hold, Ledger, LedgerSettings, Post},
    post,
    teller::{AskForever, Teller, TellerSettings},
};

/// As good as no time at all.
const SHORT: Duration = Duration::from_millis(1);

#[test]
fn a_full_mailbox_refuses_at_once_and_keeps_what_it_took() {
    const TOO_MANY: usize = MAILBOX_MESSAGES_MAX + 100;
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let port = port.within(Duration::from_secs(60));
        let held = hold(&port, &settings.gate);
        let mut asked: Vec<_> = (0..TOO_MANY)
            .map(|_| Box::pin(port.ask_within(post(1), Duration::from_secs(60))))
            .collect();
        let mut refused = 0;
        asked.retain_mut(|ask| match ask.now_or_never() {
            None => true,
            Some(outcome) => {
                refused += 1;
                let overloaded = fault_of::<Post>(outcome);
                assert_eq!(
                    overloaded,
                    Fault::Overloaded {
                        module: "ledger".to_string(),
                        retry_after_ms: 100,
                    }
                );
                false
            }
        });
        let places = MAILBOX_MESSAGES_MAX - MAILBOX_MESSAGES_MAX / 8;
        assert_eq!(TOO_MANY - refused, places);
        // The last places are kept for what matters more, and the very last for what matters most.
        let [low, high, critical] = [Priority::Low, Priority::High, Priority::Critical]
            .map(|priority| port.carrying(Carried::of(priority)));
        let low = until_refused(&low);
        let high = until_refused(&high);
        let critical = until_refused(&critical);
        refused += 3;
        assert_eq!(low.len(), 0);
        assert_eq!(high.len(), MAILBOX_MESSAGES_MAX / 16);
        assert!(!critical.is_empty());
        drop((high, critical));
        settings.gate.open();
        held.await.unwrap();
        let replies = join_all(asked).await;
        let taken = i64::try_from(places).unwrap();
        assert_eq!(replies.last(), Some(&Ok(taken)));
        assert_eq!(balance(world).await, taken);
        assert_eq!(world.status("ledger").faults, refused as u64);
        assert_eq!(
            world.ask(post(1)).await,
            Ok(taken + 1),
            "there is room again"
        );
    });
}

/// Asks until one is refused; those that were taken.
fn until_refused(port: &Port) -> Vec<impl Future<Output = Outcome<Post>> + use<'_>> {
    let mut taken = Vec::new();
    loop {
        let mut ask = Box::pin(port.ask_within(post(0), Duration::from_secs(60)));
        match (&mut ask).now_or_never() {
            None => taken.push(ask),
            Some(_) => return taken,
        }
    }
}

#[test]
fn a_burst_right_after_the_start_is_not_refused() {
    // actix gives an actor a mailbox of 16 until it has started, on its own thread; a node that
    // had just booted refused the 18th command of its first burst as overload.
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        for _ in 0..10 {
            world.restart().await;
            let port = world.port();
            let replies = join_all((0..100).map(|_| port.ask(post(1)))).await;
            assert!(replies.iter().all(Result::is_ok), "{replies:?}");
        }
    });
}

#[test]
fn whoever_gives_up_gets_a_fault_and_the_late_command_never_touches_the_store() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let held = hold(&port, &settings.gate);
        let late = port.ask_within(post(100), SHORT).await;
        assert_eq!(late, Err(Stop::Fault(Fault::Late)));
        let in_time = begin(&port, post(1));
        settings.gate.open();
        held.await.unwrap();
        assert_eq!(in_time.await, Ok(1));
        let status = world.status("ledger");
        assert_eq!(status.commands, 2, "the late one was not begun");
        assert_eq!((status.events, status.faults), (1, 1));
    });
}

#[test]
fn a_command_whose_asker_is_gone_is_dropped_too() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let held = hold(&port, &settings.gate);
        drop(begin(&port, post(100)));
        let in_time = begin(&port, post(1));
        settings.gate.open();
        held.await.unwrap();
        assert_eq!(in_time.await, Ok(1));
    });
}

#[test]
fn a_command_already_begun_takes_effect_although_its_asker_gave_up() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        // Post and Hold are one batch: the post is done before the gate, committed after it.
        let first = hold(&port, &settings.gate);
        let posted = begin(&port, post(1));
        let second = begin(&port, Hold {});
        settings.gate.let_one_through();
        first.await.unwrap();
        settings.gate.wait_until_entered();
        drop(posted);
        settings.gate.open();
        second.await.unwrap();
        assert_eq!(balance(world).await, 1);
    });
}

#[test]
fn a_query_that_takes_no_end_is_a_fault_at_its_deadline() {
    let world =
        World::of::<Teller>(TellerSettings::default()).with::<Ledger>(LedgerSettings::default());
    world.run(async |world: &World| {
        let port = world.port();
        let late = port.ask_within(AskForever {}, SHORT).await;
        assert_eq!(late, Err(Stop::Fault(Fault::Late)));
        let status = world.status("teller");
        assert_eq!((status.queries, status.faults), (1, 1));
    });
}

#[test]
fn a_port_within_a_limit_never_waits_longer_than_that() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        let held = hold(&port, &settings.gate);
        let hurried = port.within(SHORT);
        let late = hurried.ask_within(post(1), Duration::from_secs(60)).await;
        assert_eq!(late, Err(Stop::Fault(Fault::Late)));
        let late = hurried.within(Duration::from_secs(60)).ask(post(1)).await;
        assert_eq!(late, Err(Stop::Fault(Fault::Late)));
        settings.gate.open();
        held.await.unwrap();
        assert_eq!(balance(world).await, 0);
    });
}

#[test]
fn a_gate_holds_until_it_is_opened() {
    // Guards the other tests: were it open, they would pass for the wrong reason.
    let gate = std::sync::Arc::new(Gate::default());
    gate.close();
    let inside = std::thread::spawn({
        let gate = gate.clone();
        move || gate.pass()
    });
    gate.wait_until_entered();
    assert!(!inside.is_finished());
    gate.open();
    inside.join().unwrap();
}
