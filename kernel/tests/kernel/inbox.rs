//! Commands that come again take effect once, and are told the same.

use std::time::Duration;

use modulith_kernel::{Fault, Options, Stop};
use modulith_testkit::World;

use crate::common::{
    alice, balance,
    ledger::{Ledger, LedgerSettings, Post, PostRefusal},
    node, post,
};

fn world() -> modulith_testkit::WorldBuilder {
    World::of::<Ledger>(LedgerSettings::default())
}

#[test]
fn a_command_under_one_key_takes_effect_once() {
    world().run(async |world: &World| {
        let port = world.port().idempotent("payday");
        assert_eq!(port.ask(post(5)).await, Ok(5));
        assert_eq!(world.ask(post(1)).await, Ok(6));
        assert_eq!(port.ask(post(5)).await, Ok(5));
        assert_eq!(balance(world).await, 6);
        // Under another key it is another command.
        let port = world.port().idempotent("bonus");
        assert_eq!(port.ask(post(5)).await, Ok(11));
    });
}

#[test]
fn side_by_side_they_take_effect_once_too() {
    world().run(async |world: &World| {
        let port = world.port().idempotent("payday");
        let same = (0..50).map(|_| port.ask(post(5)));
        let ended = futures_util::future::join_all(same).await;
        assert!(ended.iter().all(|outcome| *outcome == Ok(5)), "{ended:?}");
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn the_first_reply_outlives_a_crash() {
    world().run(async |world: &World| {
        let key = "payday";
        assert_eq!(world.port().idempotent(key).ask(post(5)).await, Ok(5));
        world.crash();
        assert_eq!(world.port().idempotent(key).ask(post(5)).await, Ok(5));
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn a_refusal_is_repeated_even_when_it_would_be_granted_by_now() {
    world().run(async |world: &World| {
        let port = world.port().idempotent("rent");
        let overdrawn = Err(Stop::Refused(PostRefusal::Overdrawn { balance: 0 }));
        assert_eq!(port.ask(post(-5)).await, overdrawn);
        world.ask(post(10)).await.unwrap();
        assert_eq!(port.ask(post(-5)).await, overdrawn);
        assert_eq!(balance(world).await, 10);
    });
}

#[test]
fn a_key_used_for_another_body_is_refused() {
    world().run(async |world: &World| {
        let port = world.port().idempotent("payday");
        port.ask(post(5)).await.unwrap();
        let reused = Fault::KeyReused {
            message: "ledger.Post".to_string(),
        };
        assert_eq!(port.ask(post(6)).await, Err(Stop::Fault(reused)));
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn a_fault_is_not_an_outcome_and_the_command_is_tried_again() {
    world().run(async |world: &World| {
        let port = world.port().idempotent("payday");
        world
            .disk()
            .set_fault(modulith_testkit::DiskFault::ReadOnly);
        assert!(matches!(
            port.ask(post(5)).await,
            Err(Stop::Fault(Fault::Store { .. }))
        ));
        world.disk().set_fault(modulith_testkit::DiskFault::None);
        assert_eq!(port.ask(post(5)).await, Ok(5));
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn replies_are_kept_for_their_time_and_not_longer() {
    let options = Options {
        replies_kept_hours: 1,
        ..Options::default()
    };
    World::of_options::<Ledger>(LedgerSettings::default(), options).run(async |world: &World| {
        let port = world.port().idempotent("payday");
        port.ask(post(5)).await.unwrap();
        world.clock().advance(Duration::from_secs(3599));
        assert_eq!(node(world).sweep("ledger").await, Ok(0));
        assert_eq!(port.ask(post(5)).await, Ok(5));
        world.clock().advance(Duration::from_secs(2));
        assert_eq!(node(world).sweep("ledger").await, Ok(1));
        assert_eq!(port.ask(post(5)).await, Ok(10));
    });
}

#[test]
fn the_number_of_replies_is_bounded_and_the_oldest_go_first() {
    let options = Options {
        replies_max: 10,
        ..Options::default()
    };
    World::of_options::<Ledger>(LedgerSettings::default(), options).run(async |world: &World| {
        for key in 0..25 {
            let port = world.port().idempotent(&key.to_string());
            port.ask(post(1)).await.unwrap();
            world.clock().advance(Duration::from_millis(1));
        }
        assert_eq!(node(world).sweep("ledger").await, Ok(15));
        let ask = async |key: &str| world.port().idempotent(key).ask(post(1)).await;
        assert_eq!(ask("24").await, Ok(25));
        assert_eq!(ask("15").await, Ok(16));
        assert_eq!(ask("14").await, Ok(26));
    });
}

#[test]
fn what_cannot_come_again_is_not_kept() {
    let post = Post {
        account: alice(),
        amount: 1,
    };
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post.clone()).await.unwrap();
        world.clock().advance(Duration::from_secs(10_000 * 3600));
        assert_eq!(node(world).sweep("ledger").await, Ok(0));
    });
}
