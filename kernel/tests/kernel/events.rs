//! Events: each is handled once, in order, whoever was down or stumbled meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures_util::future::join_all;
use modulith_kernel::{Environment, FEED_BYTES_MAX, Node, NodeBuilder, Options};
use modulith_testkit::{World, WorldBuilder, until};

use crate::common::{
    alice,
    ledger::{Crash, Ledger, LedgerSettings, PublishNote},
    post,
    shelf::{ListHeard, Shelf, ShelfSettings},
};

/// A shelf that tries on for as long as a test may look: `letters` has those that give up.
fn world(shelf: &ShelfSettings) -> WorldBuilder {
    let patient = Options {
        event_attempts_max: u32::MAX,
        ..Options::default()
    };
    World::of::<Ledger>(LedgerSettings::default()).with_options::<Shelf>(shelf.clone(), patient)
}

/// For what takes long on a slow machine and never for ever.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn events_arrive_in_order_and_once() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.begun.store(0, SeqCst);
        let port = world.port();
        join_all((1..=600).map(|amount| port.ask(post(amount)))).await;
        world.settled().await;
        assert_eq!(
            world.ask(ListHeard {}).await,
            Ok((1..=600).collect::<Vec<i64>>())
        );
        assert_eq!(shelf.begun.load(SeqCst), 600);
        assert_eq!(world.status("shelf").subscriptions[0].position, 600);
    });
}

#[test]
fn the_place_in_the_log_survives_a_restart() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.begun.store(0, SeqCst);
        world.ask(post(1)).await.unwrap();
        world.settled().await;
        world.restart().await;
        world.settled().await;
        world.ask(post(2)).await.unwrap();
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2]));
        assert_eq!(shelf.begun.load(SeqCst), 2, "none was handled again");
    });
}

#[test]
fn a_subscriber_that_was_down_catches_up() {
    // A ledger alone, then both on the same stores.
    let folder = tempfile::tempdir().unwrap();
    let start = |with_shelf: bool| -> Arc<Node> {
        let mut node = NodeBuilder::new(Environment::real(folder.path()));
        node.host::<Ledger>(LedgerSettings::default());
        if with_shelf {
            node.host::<Shelf>(ShelfSettings::default());
        }
        node.start().unwrap()
    };
    actix::System::new().block_on(async {
        let alone = start(false);
        for amount in [1, 2, 3] {
            alone.open_port().ask(post(amount)).await.unwrap();
        }
        alone.stop().await;
        let both = start(true);
        let port = both.open_port();
        port.ask(post(4)).await.unwrap();
        until(|| both.status()[1].subscriptions[0].position == 4).await;
        assert_eq!(port.ask(ListHeard {}).await, Ok(vec![1, 2, 3, 4]));
        both.stop().await;
    });
}

#[test]
fn an_event_whose_handler_faults_is_tried_again_and_those_after_it_wait() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.fault_on.store(2, SeqCst);
        for amount in [1, 2, 3] {
            world.ask(post(amount)).await.unwrap();
        }
        until(|| world.status("shelf").subscriptions[0].attempts >= 2).await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1]));
        let subscription = &world.status("shelf").subscriptions[0];
        assert_eq!(
            subscription.stuck.as_deref(),
            Some("no reply before the deadline")
        );
        shelf.fault_on.store(0, SeqCst);
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2, 3]));
        until(|| world.status("shelf").subscriptions[0].stuck.is_none()).await;
    });
}

#[test]
fn an_event_whose_handler_panics_is_tried_again_and_those_after_it_wait() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.panic_on.store(2, SeqCst);
        for amount in [1, 2, 3] {
            world.ask(post(amount)).await.unwrap();
        }
        until(|| world.status("shelf").panics >= 2).await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1]));
        shelf.panic_on.store(0, SeqCst);
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2, 3]));
    });
}

#[test]
fn an_event_that_was_stuck_is_tried_again_after_a_restart() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.fault_on.store(2, SeqCst);
        for amount in [1, 2, 3] {
            world.ask(post(amount)).await.unwrap();
        }
        until(|| world.status("shelf").subscriptions[0].attempts >= 1).await;
        shelf.fault_on.store(0, SeqCst);
        world.restart().await;
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1, 2, 3]));
    });
}

#[test]
fn a_command_that_panicked_told_nobody_anything() {
    world(&ShelfSettings::default()).run(async |world: &World| {
        _ = world.ask(Crash { account: alice() }).await;
        world.ask(post(1)).await.unwrap();
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1]));
    });
}

#[test]
fn events_of_no_interest_are_passed_over() {
    let shelf = ShelfSettings::default();
    world(&shelf).run(async |world: &World| {
        shelf.begun.store(0, SeqCst);
        let note = PublishNote { bytes: 3 };
        for _ in 0..300 {
            world.ask(note.clone()).await.unwrap();
        }
        world.ask(post(1)).await.unwrap();
        world.ask(note.clone()).await.unwrap();
        world.settled().await;
        assert_eq!(world.ask(ListHeard {}).await, Ok(vec![1]));
        assert_eq!(world.status("shelf").subscriptions[0].position, 302);
        world.restart().await;
        world.settled().await;
        assert_eq!(shelf.begun.load(SeqCst), 1);
    });
}

#[test]
fn events_go_through_in_pages_and_one_may_be_larger_than_a_page() {
    let ledger = World::of::<Ledger>(LedgerSettings::default()).with::<Busy>(());
    ledger.run(async |world: &World| {
        let page = u32::try_from(FEED_BYTES_MAX).unwrap();
        let sizes = [page / 2, page / 2, page / 2, page + 1, 1];
        for bytes in sizes {
            let note = PublishNote { bytes };
            world.port().ask_within(note, PATIENCE).await.unwrap();
        }
        world.settled().await;
        let bytes = sizes.iter().sum();
        assert_eq!(world.ask(GetBytesHeard {}).await, Ok(bytes));
    });
}

/// The actor and what follows events share a thread: a mailbox that is never empty must not keep
/// the events from being fetched.
#[test]
fn events_are_handled_while_commands_never_stop_coming() {
    let settings = LedgerSettings::default();
    World::of::<Busy>(())
        .with::<Ledger>(settings)
        .run(async |world: &World| {
            let port = world.port();
            let enough = AtomicBool::new(false);
            let askers = join_all((0..1000).map(|_| async {
                while !enough.load(SeqCst) {
                    port.ask_within(Work {}, PATIENCE).await.unwrap();
                }
            }));
            let heard = async {
                world.ask(post(1)).await.unwrap();
                world.settled().await;
                enough.store(true, SeqCst);
            };
            futures_util::future::join(askers, heard).await;
        });
}

use busy::{Busy, GetBytesHeard, Work};

mod busy {
    //! A module that handles commands and listens.

    use modulith_kernel::{
        Answer, Command, Context, Declaration, Fault, Handle, Listen, Module, Outcome, Query,
        Setup, SetupError, Table, Tx,
    };
    use serde::{Deserialize, Serialize};

    use crate::common::ledger::{Noted, Posted};

    const HEARD: Table<(), u32> = Table::new("heard");
    const WORKED: Table<(), u32> = Table::new("worked");

    #[derive(Debug, Clone, Serialize, Deserialize, Command)]
    #[command(module = "busy")]
    pub(crate) struct Work {}

    #[derive(Debug, Clone, Serialize, Deserialize, Query)]
    #[query(module = "busy", reply = u32)]
    pub(crate) struct GetBytesHeard {}

    pub(crate) struct Busy;

    impl Module for Busy {
        const NAME: &'static str = "busy";
        type Settings = ();

        fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
            Ok(Self)
        }

        fn declare(declaration: &mut Declaration<Self>) {
            declaration
                .handles::<Work>()
                .answers::<GetBytesHeard>()
                .listens::<Posted>()
                .listens::<Noted>();
        }
    }

    impl Handle<Work> for Busy {
        fn handle(&self, _: Work, tx: &mut Tx<'_>) -> Outcome<Work> {
            let worked = tx.get(&WORKED, &())?.unwrap_or(0) + 1;
            Ok(tx.put(&WORKED, &(), &worked)?)
        }
    }

    impl Listen<Posted> for Busy {
        fn listen(&self, _: Posted, _: &mut Tx<'_>) -> Result<(), Fault> {
            Ok(())
        }
    }

    impl Listen<Noted> for Busy {
        fn listen(&self, event: Noted, tx: &mut Tx<'_>) -> Result<(), Fault> {
            let heard = tx.get(&HEARD, &())?.unwrap_or(0) + event.text.len() as u32;
            tx.put(&HEARD, &(), &heard)
        }
    }

    impl Answer<GetBytesHeard> for Busy {
        async fn answer(&self, _: GetBytesHeard, context: &Context) -> Outcome<GetBytesHeard> {
            Ok(context.snapshot()?.get(&HEARD, &())?.unwrap_or(0))
        }
    }
}
