//! One commit: what a command changes, tells and replies is durable together, or not at all.

use futures_util::future::join_all;
use modulith_kernel::{Fault, Stop};
use modulith_testkit::World;

use crate::common::{
    alice, balance, begin, fault, hold,
    ledger::{
        Crash, GetBalance, Ledger, LedgerSettings, Post, PostRefusal, PublishNote,
        PublishUndeclared,
    },
    post,
    shelf::{ListHeard, Shelf},
};

#[test]
fn a_commands_change_event_and_reply_are_one_commit() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        assert_eq!(world.ask(post(5)).await, Ok(5));
        let status = world.status("ledger");
        assert_eq!((status.commits, status.events), (1, 1));
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn a_refusal_leaves_neither_change_nor_event_nor_commit() {
    let ledger = World::of::<Ledger>(LedgerSettings::default());
    ledger.run(async |world: &World| {
        world.ask(post(5)).await.unwrap();
        let refused = world.ask(post(-6)).await;
        assert_eq!(
            refused,
            Err(Stop::Refused(PostRefusal::Overdrawn { balance: 5 }))
        );
        assert_eq!(balance(world).await, 5);
        let status = world.status("ledger");
        assert_eq!((status.events, status.refusals, status.faults), (1, 1, 0));
        assert_eq!(status.commits, 1, "nothing was committed for the refusal");
    });
}

#[test]
fn publishing_what_is_not_declared_is_denied_and_leaves_nothing() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        let denied = fault(world, PublishUndeclared { account: alice() }).await;
        assert_eq!(
            denied,
            Fault::Denied {
                caller: "ledger".to_string(),
                message: "ledger.Undeclared".to_string(),
            }
        );
        assert_eq!(balance(world).await, 0);
        assert_eq!(world.status("ledger").events, 0);
    });
}

#[test]
fn an_event_too_large_to_be_sent_is_refused_when_it_is_published() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        let bytes = u32::try_from(modulith_kernel::codec::ENCODED_BYTES_MAX).unwrap() - 20;
        let refused = fault(world, PublishNote { bytes }).await;
        assert!(matches!(refused, Fault::TooLarge { .. }), "{refused}");
        assert_eq!(world.status("ledger").events, 0);
    });
}

#[test]
fn commands_sent_together_share_commits_and_each_sees_those_before_it() {
    const COMMANDS: i64 = 500;
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        let port = world.port();
        let replies = join_all((0..COMMANDS).map(|_| port.ask(post(1)))).await;
        let replies: Vec<_> = replies.into_iter().map(Result::unwrap).collect();
        assert_eq!(replies, (1..=COMMANDS).collect::<Vec<_>>());
        let status = world.status("ledger");
        assert_eq!(status.commands, 500);
        assert_eq!(status.events, 500);
        // Usually three; how many the actor finds waiting when it wakes is up to the scheduler.
        assert!(status.commits <= 50, "{} commits", status.commits);
    });
}

#[test]
fn refusals_and_panics_in_a_batch_take_nothing_else_along() {
    let settings = LedgerSettings::default();
    let ledger = World::of::<Ledger>(settings.clone()).with::<Shelf>(Default::default());
    ledger.run(async |world: &World| {
        let port = world.port();
        let held = hold(&port, &settings.gate);
        let first = begin(&port, post(1));
        let refused = begin(&port, post(-100));
        let crashed = begin(&port, Crash { account: alice() });
        let last = begin(&port, post(2));
        settings.gate.open();
        held.await.unwrap();
        assert_eq!(first.await, Ok(1));
        assert!(matches!(refused.await, Err(Stop::Refused(_))));
        assert!(matches!(
            crashed.await,
            Err(Stop::Fault(Fault::Panicked { .. }))
        ));
        assert_eq!(last.await, Ok(3));
        assert_eq!(world.status("ledger").commits, 1, "the four were one batch");
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2]));
    });
}

#[test]
fn a_query_never_sees_what_is_not_committed() {
    let settings = LedgerSettings::default();
    World::of::<Ledger>(settings.clone()).run(async |world: &World| {
        let port = world.port();
        world.ask(post(1)).await.unwrap();
        // Two batches: the second, with the post and the one that stands in the gate, is begun
        // only when the first has ended; so the post is done and not committed while it stands.
        let first = hold(&port, &settings.gate);
        let posted = begin(&port, post(10));
        let second = begin(&port, crate::common::ledger::Hold {});
        settings.gate.let_one_through();
        first.await.unwrap();
        settings.gate.wait_until_entered();
        assert_eq!(balance(world).await, 1);
        assert_eq!(world.status("ledger").events, 1);
        settings.gate.open();
        assert_eq!(posted.await, Ok(11));
        second.await.unwrap();
        assert_eq!(balance(world).await, 11);
    });
}

#[test]
fn state_survives_a_restart() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(7)).await.unwrap();
        let account = crate::common::bob();
        world
            .ask(Post {
                account: account.clone(),
                amount: 3,
            })
            .await
            .unwrap();
        world.restart().await;
        assert_eq!(balance(world).await, 7);
        assert_eq!(world.ask(GetBalance { account }).await, Ok(3));
        assert_eq!(world.status("ledger").events, 2);
        assert_eq!(world.ask(post(1)).await, Ok(8));
        assert_eq!(world.status("ledger").events, 3);
    });
}
