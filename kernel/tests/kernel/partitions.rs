//! Divided modules: what holds for one partition holds for many, key by key.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{path::Path, sync::atomic::Ordering::SeqCst, time::Duration};

use futures_util::{StreamExt, future::join_all};
use modulith_kernel::{
    Answered, Audit, Counted, Environment, Fault, GIVE_UP_PANICS, Key, ListenFrom, NodeBuilder,
    NodeError, Operation, OperationError, Options, Partition, Poison, Stop, StoreError,
    graph::GraphError, partition_of, storage::Files,
};
use modulith_testkit::{World, WorldBuilder, until};

use crate::common::{
    ledger::{Ledger, LedgerSettings},
    node,
    purse::{
        AwaitPayment, Census, CountHeard, CountOwners, Errand, FindPayer, ListGot, ListOwners,
        ListPaid, Pay, Purse, Sigh, StreamPaid, SumPaid, Tear, Till, TillSettings, Unpaid, owner,
    },
};

/// Enough for each of three partitions to have some.
const NAMES: [&str; 8] = ["ann", "ben", "cleo", "dora", "ed", "fay", "gus", "hal"];

/// For what takes long on a slow machine and never for ever.
const PATIENCE: Duration = Duration::from_secs(60);

const WEEK_AND_A_DAY: Duration = Duration::from_secs(8 * 24 * 3600);

fn divided(partitions: u16) -> Options {
    Options {
        partitions,
        ..Options::default()
    }
}

fn world(purses: u16, tills: u16, till: &TillSettings) -> WorldBuilder {
    World::of_options::<Purse>((), divided(purses))
        .with_options::<Till>(till.clone(), divided(tills))
        .with_options::<Errand>((), divided(purses))
}

/// Runs a scenario with every module whole, with every module divided, and with each division on
/// one side of the events only.
fn in_every_division(scenario: impl AsyncFn(&World)) {
    for (purses, tills) in [(1, 1), (3, 3), (3, 1), (1, 3), (2, 5)] {
        println!("division: {purses} purses, {tills} tills");
        world(purses, tills, &TillSettings::default()).run(&scenario);
    }
}

fn pay(from: &str, to: &str, amount: i64) -> Pay {
    Pay {
        from: owner(from),
        to: owner(to),
        amount,
    }
}

/// Which of so many partitions a name belongs to.
pub(crate) fn home_of(name: &str, partitions: u16) -> u16 {
    let mut key = Vec::new();
    owner(name).write(&mut key);
    partition_of(&key, partitions.into()) as u16
}

/// A name for a partition.
pub(crate) fn name_in(partition: u16, partitions: u16) -> &'static str {
    let mut names = NAMES.into_iter();
    let found = names.find(|name| home_of(name, partitions) == partition);
    found.expect("every partition has a name")
}

async fn paid(world: &World, from: &str) -> Vec<i64> {
    let from = owner(from);
    world.ask(ListPaid { from }).await.unwrap()
}

async fn got(world: &World, to: &str) -> Vec<(String, i64)> {
    let to = owner(to);
    world.ask(ListGot { to }).await.unwrap()
}

async fn audit(world: &World, module: &str) -> Audit {
    let operation = Operation::Audit { deep: false };
    match node(world).operate(module, operation).await {
        Ok(Answered::Audit(audit)) => *audit,
        other => panic!("{other:?}"),
    }
}

/// The books of every subscription of a divided module: what it has dealt with, and what its
/// publisher counts.
async fn followed(world: &World, names: &[String]) -> Vec<(modulith_kernel::Followed, Counted)> {
    let mut all = Vec::new();
    for name in names {
        for followed in audit(world, name).await.subscriptions {
            let operation = Operation::CountEvents {
                names: followed.names.clone(),
                up_to: followed.position,
                partition: followed.partition,
            };
            let counted = node(world).operate(&followed.publisher, operation).await;
            match counted {
                Ok(Answered::Counted(counted)) => all.push((followed, counted)),
                other => panic!("{other:?}"),
            }
        }
    }
    all
}

/// Every event was dealt with once, by the partition it is for. Returns how many there were.
async fn check_books(world: &World, tills: u16) -> u64 {
    let names: Vec<_> = Partition::all(tills).map(|one| one.name("till")).collect();
    let mut sum = 0;
    for (followed, counted) in followed(world, &names).await {
        assert_eq!(followed.total(), counted.count, "{followed:?} {counted:?}");
        assert_eq!(followed.applied, counted.own, "{followed:?} {counted:?}");
        sum += followed.applied;
    }
    sum
}

#[test]
fn names_are_in_every_partition() {
    for partitions in [2, 3, 5] {
        for partition in 0..partitions {
            name_in(partition, partitions);
        }
    }
}

#[test]
fn commands_of_one_key_are_handled_in_order_and_once() {
    in_every_division(async |world: &World| {
        let port = world.port();
        let amounts = 1..=50;
        let pays = amounts.flat_map(|amount| NAMES.map(|name| pay(name, "ann", amount)));
        let counts = join_all(pays.map(|pay| port.ask(pay))).await;
        assert!(counts.iter().all(Result::is_ok));
        for name in NAMES {
            assert_eq!(paid(world, name).await, (1..=50).collect::<Vec<_>>());
        }
        let again = port.idempotent("rent");
        let first = again.ask(pay("ben", "ann", 7)).await.unwrap();
        assert_eq!(again.ask(pay("ben", "ann", 7)).await, Ok(first));
        world.restart().await;
        let again = world.port().idempotent("rent");
        assert_eq!(again.ask(pay("ben", "ann", 7)).await, Ok(first));
        assert_eq!(paid(world, "ben").await.len(), 51);
    });
}

#[test]
fn a_stream_is_made_by_the_partition_of_its_key() {
    in_every_division(async |world: &World| {
        let port = world.port();
        for (amount, name) in (1..).zip(NAMES) {
            port.ask(pay(name, "ann", amount)).await.unwrap();
            port.ask(pay(name, "ann", -1)).await.unwrap();
        }
        for (amount, name) in (1..).zip(NAMES) {
            let from = owner(name);
            let streamed: Vec<_> = port.stream(StreamPaid { from }).collect().await;
            assert_eq!(streamed, [Ok(amount), Ok(-1)], "{name}");
            for errand in NAMES {
                let (name, from) = (owner(errand), owner(name));
                assert_eq!(world.ask(SumPaid { name, from }).await, Ok(amount - 1));
            }
        }
    });
}

#[test]
fn every_event_is_handled_once_by_the_partition_of_its_key_in_order_of_its_source() {
    for (purses, tills) in [(1, 1), (3, 3), (3, 1), (1, 3), (2, 5)] {
        let till = TillSettings::default();
        world(purses, tills, &till).run(async |world: &World| {
            till.begun.store(0, SeqCst);
            let port = world.port();
            let pays = (1..=40).flat_map(|n| NAMES.map(|from| pay(from, NAMES[n % 8], n as i64)));
            join_all(pays.map(|pay| port.ask(pay))).await;
            world.settled().await;
            assert_eq!(till.begun.load(SeqCst), 320);
            for (place, to) in NAMES.iter().enumerate() {
                let got = got(world, to).await;
                for from in NAMES {
                    // One payer is one partition of the publisher: his payments are in order.
                    let of_one = got.iter().filter(|(payer, _)| payer == from);
                    let amounts: Vec<_> = of_one.map(|(_, amount)| *amount).collect();
                    let expected = (1..=40).filter(|n| n % 8 == place as i64);
                    assert_eq!(amounts, expected.collect::<Vec<_>>(), "{from} to {to}");
                }
            }
            world.restart().await;
            world.settled().await;
            assert_eq!(till.begun.load(SeqCst), 320, "none was handled again");
        });
    }
}

#[test]
fn an_event_without_a_key_is_for_the_first_partition() {
    world(3, 3, &TillSettings::default()).run(async |world: &World| {
        for name in NAMES {
            world.ask(Sigh { from: owner(name) }).await.unwrap();
        }
        world.settled().await;
        let heard = world.ask(CountHeard {}).await.unwrap();
        assert_eq!(heard, [(0, 8), (0, 0), (0, 0)]);
    });
}

#[test]
fn the_counts_add_up_across_partitions_and_after_a_crash() {
    world(2, 3, &TillSettings::default()).run(async |world: &World| {
        for amount in 1..=5 {
            for name in NAMES {
                world.ask(pay(name, name, amount)).await.unwrap();
            }
        }
        world.settled().await;
        world.crash();
        world.ask(pay("ann", "ben", 6)).await.unwrap();
        world.settled().await;
        // Events behind the last that is for a partition are counted later, and are for others.
        assert_eq!(check_books(world, 3).await, 41);
    });
}

#[test]
fn what_is_removed_was_dealt_with_by_all_partitions() {
    world(2, 3, &TillSettings::default()).run(async |world: &World| {
        for amount in 1..=20 {
            for name in NAMES {
                world.ask(pay(name, "ann", amount)).await.unwrap();
            }
        }
        world.settled().await;
        world.clock().advance(WEEK_AND_A_DAY);
        // Two of the three handle nothing: they say that they have come along all the same.
        let node = node(world);
        for name in ["purse/0", "purse/1"] {
            let first = async || node.events(name, 0, 1).unwrap()[0].number;
            while first().await == 1 {
                node.trim_events(name).await.unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        world.restart().await;
        world.ask(pay("ben", "cleo", 1)).await.unwrap();
        world.settled().await;
        let status = world.node().status();
        let subscriptions = status.iter().flat_map(|module| &module.subscriptions);
        assert!(subscriptions.clone().count() >= 6);
        assert!(subscriptions.clone().all(|one| one.skipped == 0));
        let applied: u64 = status
            .iter()
            .filter(|module| module.module.starts_with("till/"))
            .flat_map(|module| &module.subscriptions)
            .map(|one| one.applied)
            .sum();
        assert_eq!(applied, 161);
    });
}

#[test]
fn a_partition_that_stumbles_holds_up_no_other() {
    let till = TillSettings::default();
    let halting = Options {
        poison: Poison::Halt,
        ..divided(3)
    };
    let (held, free) = (name_in(0, 3), name_in(1, 3));
    World::of_options::<Purse>((), divided(3))
        .with_options::<Till>(till.clone(), halting)
        .run(async |world: &World| {
            till.fault_on.store(13, SeqCst);
            let from = name_in(2, 3);
            for amount in [13, 14] {
                world.ask(pay(from, held, amount)).await.unwrap();
                world.ask(pay(from, free, amount + 10)).await.unwrap();
            }
            until(|| world.status("till/1").subscriptions[2].position == 4).await;
            assert_eq!(
                got(world, free).await,
                [(from.to_string(), 23), (from.to_string(), 24)]
            );
            assert_eq!(got(world, held).await, []);
            till.fault_on.store(0, SeqCst);
            world.settled().await;
            assert_eq!(got(world, held).await.len(), 2);
        });
}

#[test]
fn a_letter_is_of_one_partition_and_can_be_handled_there() {
    let till = TillSettings::default();
    let hasty = Options {
        event_attempts_max: 1,
        ..divided(3)
    };
    World::of_options::<Purse>((), divided(2))
        .with_options::<Till>(till.clone(), hasty)
        .run(async |world: &World| {
            till.fault_on.store(13, SeqCst);
            let (from, to) = (name_in(1, 2), name_in(2, 3));
            world.ask(pay(from, to, 13)).await.unwrap();
            world.settled().await;
            let node = node(world);
            for other in ["till/0", "till/1"] {
                assert_eq!(node.dead_letters(other).unwrap(), []);
            }
            let letters = node.dead_letters("till/2").unwrap();
            assert_eq!((&*letters[0].publisher, letters[0].number), ("purse/1", 1));
            till.fault_on.store(0, SeqCst);
            node.retry_dead("till/2", "purse/1", 1).await.unwrap();
            assert_eq!(got(world, to).await, [(from.to_string(), 13)]);
            check_books(world, 3).await;
        });
}

#[test]
fn a_flow_waits_for_an_event_of_whatever_partition() {
    in_every_division(async |world: &World| {
        // Each errand is in one partition, and what it waits for is for another.
        let errands = [
            ("ann", "ben"),
            ("ben", "cleo"),
            ("cleo", "dora"),
            ("ed", "fay"),
        ];
        for (place, (name, to)) in errands.into_iter().enumerate() {
            let port = world.port();
            let (name, to) = (owner(name), owner(to));
            let errand = AwaitPayment {
                name,
                to: to.clone(),
            };
            let awaited = port.ask_within(errand, PATIENCE);
            let pays = async {
                until(|| waits(world) > place).await;
                let from = owner("hal");
                let amount = 5 + place as i64;
                world.ask(Pay { from, to, amount }).await.unwrap();
            };
            let (outcome, ()) = futures_util::future::join(awaited, pays).await;
            assert_eq!(outcome, Ok(Some(5 + place as i64)));
        }
    });
}

/// How many flows wait for an event, or have waited for one.
fn waits(world: &World) -> usize {
    let node = node(world);
    let status = node.status().into_iter();
    let errands = status.filter(|one| one.module.starts_with("errand"));
    let waits = errands.flat_map(|errand| {
        let flows = node.flows(&errand.module, 20).unwrap().unwrap();
        let ids = flows.iter().map(|line| u128::from_str_radix(&line.id, 16));
        let flows = ids.map(|id| node.flow(&errand.module, id.unwrap()).unwrap());
        flows.flatten().collect::<Vec<_>>()
    });
    waits
        .filter(|(_, steps)| steps.iter().any(|step| step.kind == "expect"))
        .count()
}

#[test]
fn a_query_that_fans_out_gathers_what_all_partitions_reply() {
    in_every_division(async |world: &World| {
        for (place, name) in NAMES.iter().enumerate() {
            world.ask(pay(name, "ann", place as i64)).await.unwrap();
        }
        assert_eq!(world.ask(ListOwners {}).await.unwrap(), NAMES);
        let census = Census {
            owners: 8,
            missing: 0,
        };
        assert_eq!(world.ask(CountOwners {}).await, Ok(census));
        // A refusal says that there is nothing here.
        let amount = 3;
        assert_eq!(world.ask(FindPayer { amount }).await.unwrap(), "dora");
        let amount = 99;
        assert_eq!(
            world.ask(FindPayer { amount }).await,
            Err(Stop::Refused(Unpaid::Nobody { amount }))
        );
    });
}

/// Has a partition of the purses panic until it is stopped.
async fn stop_partition(world: &World, partition: u16, partitions: u16) {
    let from = owner(name_in(partition, partitions));
    for _ in 0..GIVE_UP_PANICS {
        _ = world.ask(Tear { from: from.clone() }).await;
    }
    let name = Partition::new(partition, partitions).unwrap().name("purse");
    assert!(world.status(&name).stopped.is_some());
}

#[test]
fn a_stopped_partition_fails_what_asks_all_and_is_missing_from_what_asks_some() {
    world(3, 1, &TillSettings::default()).run(async |world: &World| {
        for (place, name) in NAMES.iter().enumerate() {
            world.ask(pay(name, "ann", place as i64)).await.unwrap();
        }
        stop_partition(world, 1, 3).await;
        let stopped = world.ask(ListOwners {}).await;
        assert!(
            matches!(&stopped, Err(Stop::Fault(Fault::Stopped { module, .. })) if module == "purse/1"),
            "{stopped:?}"
        );
        let gone = NAMES.iter().filter(|name| home_of(name, 3) == 1).count();
        let census = Census {
            owners: 8 - gone as u32,
            missing: 1,
        };
        assert_eq!(world.ask(CountOwners {}).await, Ok(census));
        // The others go on.
        let other = name_in(2, 3);
        assert_eq!(world.ask(pay(other, "ann", 50)).await, Ok(2));
        // What is found is found; what is not might be in the one that is missing.
        assert_eq!(world.ask(FindPayer { amount: 50 }).await.unwrap(), other);
        let nowhere = world.ask(FindPayer { amount: 99 }).await;
        assert!(matches!(nowhere, Err(Stop::Fault(_))), "{nowhere:?}");
        // With none left there is nothing to gather.
        stop_partition(world, 0, 3).await;
        stop_partition(world, 2, 3).await;
        let all_gone = world.ask(CountOwners {}).await;
        assert!(
            matches!(&all_gone, Err(Stop::Fault(Fault::Stopped { module, .. })) if module == "purse/0"),
            "{all_gone:?}"
        );
    });
}

#[test]
fn a_new_subscription_can_begin_with_what_comes() {
    let late = Options {
        listen_from: ListenFrom::Now,
        ..divided(3)
    };
    let folder = tempfile::tempdir().unwrap();
    let start = |with_till: bool| {
        let mut node = NodeBuilder::new(Environment::real(folder.path()));
        node.host_with::<Purse>((), divided(2));
        if with_till {
            node.host_with::<Till>(TillSettings::default(), late.clone());
        }
        node.start().unwrap()
    };
    actix::System::new().block_on(async {
        let alone = start(false);
        for name in NAMES {
            alone.open_port().ask(pay(name, name, 1)).await.unwrap();
        }
        alone.stop().await;
        let both = start(true);
        let at_heads = || {
            let status = both.status();
            let heads = |name: &str| status.iter().find(|m| m.module == name).unwrap().events;
            let mut subscriptions = status.iter().flat_map(|module| &module.subscriptions);
            subscriptions.all(|one| one.position == heads(&one.publisher))
        };
        until(at_heads).await;
        let port = both.open_port();
        let heard = port.ask(CountHeard {}).await.unwrap();
        assert_eq!(heard, [(0, 0); 3]);
        port.ask(pay("ann", "ben", 2)).await.unwrap();
        until(at_heads).await;
        let heard = port.ask(CountHeard {}).await.unwrap();
        assert_eq!(heard.iter().map(|(paid, _)| paid).sum::<u32>(), 1);
        let skipped: u64 = both
            .status()
            .iter()
            .flat_map(|module| module.subscriptions.clone())
            .map(|one| one.skipped)
            .sum();
        assert_eq!(skipped, 8, "each by the partition it was for");
        both.stop().await;
    });
}

fn start(folder: &Path, partitions: u16) -> Result<(), NodeError> {
    actix::System::new().block_on(async {
        let mut node = NodeBuilder::new(Environment::real(folder));
        node.host_with::<Purse>((), divided(partitions));
        let node = node.start()?;
        let port = node.open_port();
        for name in NAMES {
            port.ask(pay(name, name, 1)).await.unwrap();
        }
        node.stop().await;
        Ok(())
    })
}

#[test]
fn each_partition_has_files_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 1).unwrap();
    assert!(folder.path().join("purse/store.redb").exists());
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 3).unwrap();
    let files = Files::below(folder.path());
    for partition in ["0", "1", "2"] {
        let file = folder
            .path()
            .join("purse")
            .join(partition)
            .join("store.redb");
        assert!(file.exists());
        assert_eq!(file, files.path(&format!("purse/{partition}")));
    }
    assert!(!folder.path().join("purse/store.redb").exists());
}

#[test]
fn stores_of_another_number_of_partitions_are_refused() {
    for (before, after, said) in [
        (
            1,
            4,
            "the store of module purse is not divided, and partition 0 of 4 is set; the number of \
             partitions is fixed when the stores are created: set partitions = 1",
        ),
        (
            4,
            1,
            "the store of module purse is partition 0 of 4, and one that is not divided is set; \
             the number of partitions is fixed when the stores are created: set partitions = 4",
        ),
        (
            4,
            2,
            "the store of module purse is partition 0 of 4, and partition 0 of 2 is set; the \
             number of partitions is fixed when the stores are created: set partitions = 4",
        ),
        (
            2,
            4,
            "the store of module purse is partition 0 of 2, and partition 0 of 4 is set; the \
             number of partitions is fixed when the stores are created: set partitions = 2",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        start(folder.path(), before).unwrap();
        let error = start(folder.path(), after).unwrap_err();
        assert!(
            matches!(error, NodeError::Store(StoreError::Divided { .. })),
            "{error:?}"
        );
        assert_eq!(error.to_string(), said);
        // Nothing was made beside what is there, and with the right number it goes on.
        start(folder.path(), before).unwrap();
    }
}

#[test]
fn what_has_no_key_cannot_be_divided() {
    let error = World::of_options::<Ledger>(LedgerSettings::default(), divided(2)).start_error();
    assert!(
        matches!(
            &error,
            NodeError::Graph(GraphError::Keyless {
                module: "ledger",
                ..
            })
        ),
        "{error:?}"
    );
    for partitions in [0, 257] {
        let error = World::of_options::<Purse>((), divided(partitions)).start_error();
        let NodeError::Graph(GraphError::PartitionCount { found, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(found, partitions);
    }
}

#[test]
fn tools_at_rest_find_the_stores_of_partitions() {
    let folder = tempfile::tempdir().unwrap();
    start(folder.path(), 3).unwrap();
    // One of them is lost: a tool that looks does not make another.
    std::fs::remove_dir_all(folder.path().join("purse/1")).unwrap();
    actix::System::new().block_on(async {
        let mut node = NodeBuilder::new(Environment::real(folder.path()));
        node.at_rest();
        node.host_with::<Purse>((), divided(3));
        let node = node.start().unwrap();
        let events: usize = ["purse/0", "purse/2"]
            .map(|name| node.events(name, 0, 100).unwrap().len())
            .into_iter()
            .sum();
        let lost = NAMES.iter().filter(|name| home_of(name, 3) == 1).count();
        assert_eq!(events, 8 - lost);
        let info = node.operate("purse/2", Operation::StoreInfo).await;
        assert!(matches!(info, Ok(Answered::StoreInfo(info)) if info.module == "purse/2"));
        assert!(matches!(
            node.events("purse/1", 0, 1),
            Err(Fault::Unreachable { .. })
        ));
        let which = node.operate("purse", Operation::StoreInfo).await;
        assert_eq!(
            which,
            Err(OperationError::Cannot(
                "purse has not one store but 3, one for each of its partitions: name purse/0 to \
                 purse/2"
                    .to_string()
            ))
        );
        node.stop().await;
    });
    assert!(!folder.path().join("purse/1").exists());
}

/// The figures were computed elsewhere, from the definition of the hash.
#[test]
fn a_key_is_in_the_partition_where_it_always_was() {
    let homes = NAMES.map(|name| home_of(name, 4));
    assert_eq!(homes, [0, 2, 2, 1, 0, 3, 2, 2]);
}
