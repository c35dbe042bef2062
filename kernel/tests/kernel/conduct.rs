//! Conducted commands: steps at other modules, and a commit of their own. What becomes of them in a
//! crash is tried out in `flows`.

use std::sync::Arc;

use modulith_kernel::{Fault, Stop};
use modulith_testkit::{World, WorldBuilder};
use tokio::sync::Notify;

use crate::common::{
    alice, balance, begin, bob, fault,
    ledger::{GetBalance, Ledger, LedgerSettings, PostRefusal},
    post,
    teller::{CountTransfers, CrashBetween, RefuseInCommit, Teller, TellerSettings, Transfer},
};

fn world(teller: &TellerSettings) -> WorldBuilder {
    World::of::<Teller>(teller.clone()).with::<Ledger>(LedgerSettings::default())
}

fn transfer(amount: i64) -> Transfer {
    Transfer {
        from: alice(),
        to: bob(),
        amount,
    }
}

async fn of_bob(world: &World) -> i64 {
    let account = bob();
    let balance = world.ask(GetBalance { account }).await;
    balance.expect("a balance can be read")
}

#[test]
fn a_conducted_command_asks_others_and_commits_its_own_part() {
    world(&TellerSettings::default()).run(async |world: &World| {
        world.ask(post(10)).await.unwrap();
        assert_eq!(world.ask(transfer(4)).await, Ok(1));
        assert_eq!(world.ask(transfer(4)).await, Ok(2));
        assert_eq!((balance(world).await, of_bob(world).await), (2, 8));
        world.restart().await;
        assert_eq!(world.ask(CountTransfers {}).await, Ok(2));
    });
}

#[test]
fn a_refusal_on_the_way_is_passed_on() {
    world(&TellerSettings::default()).run(async |world: &World| {
        assert_eq!(
            world.ask(transfer(4)).await,
            Err(Stop::Refused(PostRefusal::Overdrawn { balance: 0 }))
        );
        assert_eq!(world.ask(CountTransfers {}).await, Ok(0));
        assert_eq!(world.status("teller").refusals, 1);
    });
}

#[test]
fn a_commit_that_refuses_leaves_nothing() {
    world(&TellerSettings::default()).run(async |world: &World| {
        assert!(matches!(
            world.ask(RefuseInCommit {}).await,
            Err(Stop::Refused(_))
        ));
        assert_eq!(world.ask(CountTransfers {}).await, Ok(0));
    });
}

#[test]
fn a_panic_between_the_steps_is_a_fault_of_that_command() {
    world(&TellerSettings::default()).run(async |world: &World| {
        let panicked = fault(world, CrashBetween {}).await;
        assert_eq!(
            panicked,
            Fault::Panicked {
                module: "teller".to_string()
            }
        );
        // What it had done was taken back.
        assert_eq!(balance(world).await, 0);
        world.ask(post(1)).await.unwrap();
        assert_eq!(world.ask(transfer(1)).await, Ok(1));
        assert_eq!(world.status("teller").panics, 1);
    });
}

#[test]
fn a_conducted_command_goes_on_when_its_asker_gives_up() {
    let settings = TellerSettings {
        go_on: Some(Arc::new(Notify::new())),
        ..TellerSettings::default()
    };
    let go_on = settings.go_on.clone().unwrap();
    world(&settings).run(async |world: &World| {
        world.ask(post(10)).await.unwrap();
        let port = world.port();
        let asked = begin(&port, transfer(4));
        settings.taken.notified().await;
        drop(asked);
        go_on.notify_one();
        settings.done.notified().await;
        assert_eq!((balance(world).await, of_bob(world).await), (6, 4));
        assert_eq!(world.ask(CountTransfers {}).await, Ok(1));
    });
}
