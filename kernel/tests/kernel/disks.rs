//! Disks that fail: commands end in a typed fault, queries go on with what is durable, and when
//! the disk works again so does the module, with everything it ever acknowledged.

use modulith_kernel::{Fault, Stop, storage::Part};
use modulith_testkit::{DiskFault, World};

use crate::common::{
    balance, fault,
    ledger::{Ledger, LedgerSettings, PublishNote},
    post,
    shelf::{ListHeard, Shelf, ShelfSettings},
};

fn is_store_fault(fault: &Fault) -> bool {
    matches!(fault, Fault::Store { module, .. } if module == "ledger")
}

/// Asks until the disk's recovery is noticed.
async fn ask_until_it_works(world: &World, amount: i64) -> i64 {
    loop {
        match world.ask(post(amount)).await {
            Ok(balance) => return balance,
            Err(Stop::Fault(fault)) if is_store_fault(&fault) => tokio::task::yield_now().await,
            Err(other) => panic!("only the store may fail here: {other}"),
        }
    }
}

#[test]
fn a_disk_that_takes_no_writes_costs_nothing_that_was_acknowledged() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        for round in 0..3 {
            let before = ask_until_it_works(world, 1).await;
            world.disk().set_fault(DiskFault::Writes);
            for _ in 0..3 {
                let failed = fault(world, post(1000)).await;
                assert!(is_store_fault(&failed), "{failed}");
                assert_eq!(balance(world).await, before, "round {round}");
                // Refusals need the disk too: what they are based on is read in a batch.
            }
            world.disk().set_fault(DiskFault::None);
        }
        assert_eq!(ask_until_it_works(world, 1).await, 4);
        world.restart().await;
        assert_eq!(balance(world).await, 4);
        assert_eq!(world.status("ledger").events, 4);
    });
}

#[test]
fn a_disk_that_does_not_sync_costs_nothing_that_was_acknowledged() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        world.disk().set_fault(DiskFault::Syncs);
        for _ in 0..3 {
            let failed = fault(world, post(1000)).await;
            assert!(is_store_fault(&failed), "{failed}");
            assert_eq!(balance(world).await, 1);
        }
        world.disk().set_fault(DiskFault::None);
        // Whether a command whose sync failed took effect is not known: its bytes were written.
        let after = ask_until_it_works(world, 1).await;
        assert!([2, 1002].contains(&after), "{after}");
        world.restart().await;
        assert_eq!(balance(world).await, after);
        let events = world.status("ledger").events;
        assert_eq!(events, if after == 2 { 2 } else { 3 });
    });
}

#[test]
fn a_failing_disk_is_reported_and_does_not_stop_the_module() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        world.disk().set_fault(DiskFault::Writes);
        for _ in 0..100 {
            fault(world, post(1)).await;
        }
        let status = world.status("ledger");
        assert_eq!((status.stopped, status.panics), (None, 0));
        assert_eq!((status.faults, status.commits), (100, 1));
        world.disk().set_fault(DiskFault::None);
        assert_eq!(ask_until_it_works(world, 1).await, 2);
    });
}

#[test]
fn a_crash_costs_nothing_that_was_acknowledged() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        for round in 1..=5 {
            assert_eq!(world.ask(post(1)).await, Ok(round));
            // Nothing is written on the way out: the next start finds it in the journal.
            world.crash();
            assert_eq!(balance(world).await, round);
            assert_eq!(world.status("ledger").events, u64::try_from(round).unwrap());
        }
    });
}

#[test]
fn a_commit_is_one_sync_of_the_journal_and_a_stop_one_checkpoint() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        let before = world.disk().syncs(Part::Journal);
        for _ in 0..10 {
            world.ask(post(1)).await.unwrap();
        }
        assert_eq!(world.disk().syncs(Part::Journal) - before, 10);
        let database = world.disk().syncs(Part::Database);
        world.restart().await;
        assert!(world.disk().syncs(Part::Database) > database);
    });
}

#[test]
fn a_disk_that_is_full_or_read_only_is_told_apart_from_a_module_that_stopped() {
    for (broken, word) in [
        (DiskFault::Full, "no storage space"),
        (DiskFault::ReadOnly, "read-only"),
    ] {
        World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
            let before = ask_until_it_works(world, 1).await;
            world.disk().set_fault(broken);
            // A full disk does not hinder what finds room in the files as they are; a note of a
            // megabyte does not.
            let failed = fault(world, PublishNote { bytes: 3 << 20 }).await;
            assert!(is_store_fault(&failed), "{failed}");
            assert!(failed.to_string().contains(word), "{failed}");
            assert_eq!(balance(world).await, before);
            let failed = fault(world, post(1)).await;
            assert!(is_store_fault(&failed), "{failed}");
            world.disk().set_fault(DiskFault::None);
            assert_eq!(ask_until_it_works(world, 1).await, before + 1);
            world.crash();
            assert_eq!(balance(world).await, before + 1);
        });
    }
}

#[test]
fn what_is_in_the_journal_when_the_database_fails_takes_effect_with_the_recovery() {
    World::of::<Ledger>(LedgerSettings::default()).run(async |world: &World| {
        world.ask(post(1)).await.unwrap();
        let before = world.status("ledger").events;
        world.disk().set_fault(DiskFault::DatabaseWrites);
        // Small enough for the journal, too large for the database as long as its file is.
        let mut noted = 0;
        while world.ask(PublishNote { bytes: 900_000 }).await.is_ok() {
            noted += 1;
        }
        assert_eq!(world.status("ledger").events, before + noted);
        world.disk().set_fault(DiskFault::None);
        ask_until_it_works(world, 1).await;
        let events = world.status("ledger").events - before - noted;
        // The post, and the note if it was the database that refused it and not a checkpoint.
        assert!([1, 2].contains(&events), "{events}");
        world.crash();
        assert_eq!(world.status("ledger").events, before + noted + events);
    });
}

#[test]
fn a_snapshot_taken_before_the_disk_failed_does_not_hinder_the_recovery() {
    // A query that is still reading must not keep the store's file locked.
    let settings = slow::SlowSettings::default();
    World::of::<slow::Slow>(settings.clone()).run(async |world: &World| {
        world.ask(slow::Count {}).await.unwrap();
        let port = world.port();
        let reading = crate::common::begin(&port, slow::GetSlowly {});
        world.disk().set_fault(DiskFault::Writes);
        world.ask(slow::Count {}).await.unwrap_err();
        world.disk().set_fault(DiskFault::None);
        let mut counted = world.ask(slow::Count {}).await;
        while counted.is_err() {
            tokio::task::yield_now().await;
            counted = world.ask(slow::Count {}).await;
        }
        assert_eq!(counted, Ok(2));
        settings.go_on.notify_one();
        // It reads on from its snapshot, or is told that the store is gone; never another state.
        match reading.await {
            Ok(count) => assert_eq!(count, 1),
            Err(stop) => assert!(matches!(stop.into_fault(), Fault::Store { .. })),
        }
    });
}

#[test]
fn events_wait_for_the_subscribers_disk_and_arrive_once() {
    let shelf = ShelfSettings::default();
    let world = World::of::<Ledger>(LedgerSettings::default()).with::<Shelf>(shelf);
    world.run(async |world: &World| {
        for amount in 1..=50 {
            world.ask(post(amount)).await.unwrap();
        }
        world.disk().set_fault(DiskFault::Writes);
        // Whatever the shelf has handled by now, the rest has to wait.
        fault(world, post(1000)).await;
        world.disk().set_fault(DiskFault::None);
        ask_until_it_works(world, 51).await;
        world.settled().await;
        assert_eq!(
            world.ask(ListHeard {}).await,
            Ok((1..=51).collect::<Vec<i64>>())
        );
    });
}

mod slow {
    //! A module whose query stops between opening its snapshot and reading it.

    use std::sync::Arc;

    use modulith_kernel::{
        Answer, Command, Context, Declaration, Handle, Module, Outcome, Query, Setup, SetupError,
        Table, Tx,
    };
    use serde::{Deserialize, Serialize};
    use tokio::sync::Notify;

    #[derive(Debug, Clone, Serialize, Deserialize, Command)]
    #[command(module = "slow", reply = u32)]
    pub(crate) struct Count {}

    #[derive(Debug, Clone, Serialize, Deserialize, Query)]
    #[query(module = "slow", reply = u32)]
    pub(crate) struct GetSlowly {}

    const COUNT: Table<(), u32> = Table::new("count");

    #[derive(Debug, Clone, Default)]
    pub(crate) struct SlowSettings {
        pub(crate) go_on: Arc<Notify>,
    }

    pub(crate) struct Slow(SlowSettings);

    impl Module for Slow {
        const NAME: &'static str = "slow";
        type Settings = SlowSettings;

        fn new(settings: &SlowSettings, _: &Setup) -> Result<Self, SetupError> {
            Ok(Self(settings.clone()))
        }

        fn declare(declaration: &mut Declaration<Self>) {
            declaration.handles::<Count>().answers::<GetSlowly>();
        }
    }

    impl Handle<Count> for Slow {
        fn handle(&self, _: Count, tx: &mut Tx<'_>) -> Outcome<Count> {
            let count = tx.get(&COUNT, &())?.unwrap_or(0) + 1;
            tx.put(&COUNT, &(), &count)?;
            Ok(count)
        }
    }

    impl Answer<GetSlowly> for Slow {
        async fn answer(&self, _: GetSlowly, context: &Context) -> Outcome<GetSlowly> {
            let snapshot = context.snapshot()?;
            self.0.go_on.notified().await;
            Ok(snapshot.get(&COUNT, &())?.unwrap_or(0))
        }
    }
}
