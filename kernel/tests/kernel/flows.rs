//! Flows: journaled, resumed after a crash, undone on failure.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join};
use modulith_kernel::{Fault, FlowLine, FlowStand, Outcome, Retry, Stop, Table, Timestamp};
use modulith_testkit::{DiskFault, World, WorldBuilder, until};

use crate::common::{
    alice, balance, begin, bob,
    ledger::{GetBalance, Ledger, LedgerSettings, Post, PostRefusal, Posted},
    node, post,
    script::{Play, Scene, Script, ScriptSettings, Stage, play},
};

const NOTES: Table<String, u32> = Table::new("notes");

fn world(settings: &ScriptSettings) -> WorldBuilder {
    World::of::<Script>(settings.clone()).with::<Ledger>(LedgerSettings::default())
}

fn to_bob(amount: i64) -> Post {
    Post {
        account: bob(),
        amount,
    }
}

async fn of_bob(world: &World) -> i64 {
    let balance = world.ask(GetBalance { account: bob() }).await;
    balance.expect("a balance can be read")
}

fn flows(world: &World) -> Vec<FlowLine> {
    let flows = world.node().flows("script", 10);
    let flows = flows.expect("its store can be read");
    flows.expect("the script is hosted here")
}

/// The one flow of the script.
fn only_flow(world: &World) -> (String, FlowStand) {
    let flows = flows(world);
    let [flow] = flows.as_slice() else {
        panic!("expected one flow, found {flows:?}");
    };
    (flow.id.clone(), flow.stand.clone())
}

fn is_parked(world: &World) -> bool {
    matches!(only_flow(world).1, FlowStand::Parked(_))
}

fn id(hex: &str) -> u128 {
    u128::from_str_radix(hex, 16).expect("a flow's id is hexadecimal")
}

type Scened<'a> = BoxFuture<'a, Outcome<Play>>;

#[test]
fn after_a_crash_a_flow_goes_on_where_it_was() {
    fn scene(play: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).await?;
            flow.ask(to_bob(7)).await?;
            if stage.add_one() == 1 {
                stage.there.notify_one();
                stage.go_on.notified().await;
            }
            let noted = flow.commit("note", |tx| {
                let count = tx.get(&NOTES, &"n".to_string())?.unwrap_or(0) + 1;
                tx.put(&NOTES, &"n".to_string(), &count)?;
                Ok::<_, Stop<PostRefusal>>(count)
            });
            let noted = noted.await?;
            // A crash takes the secret of what was sent, and nothing else.
            let secret = play.secret.reveal().map_or("gone", String::as_str);
            Ok(format!("{} {noted} {secret}", play.part))
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        drop(asked);
        // Written down before the commands; their answers are with the ledger.
        world.crash();
        let again = world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(again, Ok("hero 1 gone".to_string()));
        assert_eq!((balance(world).await, of_bob(world).await), (5, 7));
        world.crash();
        let again = world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(again, Ok("hero 1 gone".to_string()));
        assert_eq!((balance(world).await, of_bob(world).await), (5, 7));
        until(|| only_flow(world).1 == FlowStand::Ended("done".to_string())).await;
    });
}

#[test]
fn what_was_drawn_and_read_is_the_same_after_a_crash() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            let (now, random) = (flow.now(), flow.random_u128());
            let read = flow.ask(GetBalance { account: alice() }).await;
            let read = read.map_err(Stop::into_fault)?;
            flow.ask(to_bob(1)).await?;
            if stage.add_one() == 1 {
                stage.there.notify_one();
                stage.go_on.notified().await;
            }
            Ok(format!("{now} {random} {read}"))
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        world.ask(post(5)).await.unwrap();
        let noon = world.clock().now_text();
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        drop(asked);
        world.clock().advance(Duration::from_secs(60));
        world.crash();
        world.ask(post(100)).await.unwrap();
        let told = world.port().idempotent("once").ask(play("hero")).await;
        let told = told.unwrap();
        assert!(told.starts_with(&noon) && told.ends_with(" 5"), "{told}");
        let again = world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(again, Ok(told));
    });
}

#[test]
fn a_failing_flow_takes_back_what_it_did_the_last_first() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).undo(post(-5)).await?;
            let noted = flow.commit("note", |tx| {
                tx.put(&NOTES, &"n".to_string(), &1)?;
                Ok::<_, Stop<PostRefusal>>(())
            });
            let unnote = |tx: &mut modulith_kernel::Tx<'_>| {
                tx.remove(&NOTES, &"n".to_string());
                Ok(())
            };
            noted.undo(unnote).await?;
            // Takes from what the first step gave, so the order of the undo shows.
            flow.ask(post(-5)).undo(post(5)).await?;
            flow.ask(to_bob(-1)).undo(to_bob(1)).await?;
            Ok("not reached".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let overdrawn = PostRefusal::Overdrawn { balance: 0 };
        assert_eq!(
            world.ask(play("villain")).await,
            Err(Stop::Refused(overdrawn))
        );
        assert_eq!((balance(world).await, of_bob(world).await), (0, 0));
        let words = "refused: there is only 0 in the account".to_string();
        until(|| only_flow(world).1 == FlowStand::Ended(words.clone())).await;
        let (flow, _) = only_flow(world);
        let (_, parts) = world.node().flow("script", id(&flow)).unwrap().unwrap();
        let undone: Vec<_> = parts.iter().filter(|part| part.kind == "undo").collect();
        assert_eq!(undone.len(), 3, "{parts:?}");
    });
}

#[test]
fn an_undo_begun_is_finished_after_a_crash() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).undo(post(-5)).await?;
            flow.ask(to_bob(7)).undo(to_bob(-7)).await?;
            stage.there.notify_one();
            stage.go_on.notified().await;
            Ok("not reached".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        let flow = id(&only_flow(world).0);
        // Alice's money is gone meanwhile: giving it back has to wait for more.
        world.ask(post(-5)).await.unwrap();
        node(world).cancel_flow("script", flow).await.unwrap();
        until(|| matches!(only_flow(world).1, FlowStand::Parked(_))).await;
        drop(asked);
        world.crash();
        assert_eq!((balance(world).await, of_bob(world).await), (0, 0));
        world.ask(post(5)).await.unwrap();
        node(world).retry_flow("script", flow).await.unwrap();
        settings.stage.go_on.notify_one();
        until(|| matches!(only_flow(world).1, FlowStand::Ended(_))).await;
        assert_eq!((balance(world).await, of_bob(world).await), (0, 0));
        let told = world.port().idempotent("once").ask(play("hero")).await;
        assert!(
            matches!(told, Err(Stop::Fault(Fault::Cancelled { .. }))),
            "{told:?}"
        );
    });
}

#[test]
fn a_step_whose_fault_hides_its_effect_is_taken_back() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            let step = flow.ask(post(5)).undo(post(-5)).retry(Retry::never());
            step.within(Duration::from_millis(50)).await?;
            Ok("not reached".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    let ledger = LedgerSettings::default();
    let gate = ledger.gate.clone();
    World::of::<Script>(settings.clone())
        .with::<Ledger>(ledger)
        .run(async |world: &World| {
            let port = world.port();
            let held = crate::common::hold(&port, &gate);
            // Waits in the ledger's mailbox until it is late, and is then not handled at all, or
            // is: the flow cannot know.
            let asked = begin(&port, play("hero"));
            tokio::time::sleep(Duration::from_millis(100)).await;
            world_gives_change(world, &gate);
            held.await.unwrap();
            let told = asked.await;
            assert!(matches!(told, Err(Stop::Refused(_) | Stop::Fault(_))));
            assert_eq!(balance(world).await, 0);
        });

    fn world_gives_change(_: &World, gate: &crate::common::Gate) {
        gate.open();
    }
}

#[test]
fn a_module_that_is_down_is_waited_for() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            let balance = flow.ask(post(5)).await?;
            Ok(balance.to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        world.disk().set_fault(DiskFault::ReadOnly);
        let port = world.port();
        let asked = begin(&port, play("hero"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        world.disk().set_fault(DiskFault::None);
        let told = asked.await;
        // The store is tried each second; the flow does not give up, its caller may.
        if told.is_err() {
            assert_eq!(told, Err(Stop::Fault(Fault::Late)));
        }
        while balance(world).await != 5 {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn a_flow_sleeps_through_a_restart() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            stage.there.notify_one();
            flow.sleep(Duration::from_secs(3 * 24 * 3600)).await;
            flow.ask(post(5)).await?;
            Ok("slept".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().within(Duration::from_secs(60));
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        until(|| flows(world).len() == 1).await;
        drop(asked);
        world.clock().advance(Duration::from_secs(24 * 3600));
        world.crash();
        settings.stage.there.notified().await;
        world.clock().advance(Duration::from_secs(24 * 3600));
        tokio::task::yield_now().await;
        assert_eq!(only_flow(world).1, FlowStand::Running);
        assert_eq!(balance(world).await, 0);
        world.clock().advance(Duration::from_secs(24 * 3600));
        until(|| only_flow(world).1 == FlowStand::Ended("done".to_string())).await;
        assert_eq!(balance(world).await, 5);
    });
}

#[test]
fn a_flow_waits_for_an_event_and_hears_it_once() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            let posted = flow.expect::<Posted>(&bob()).await;
            stage.there.notify_one();
            let day = Duration::from_secs(24 * 3600);
            let first = posted.within(day).await.map(|posted| posted.amount);
            stage.there.notify_one();
            let second = flow.wait_for::<Posted>(&bob(), day).await;
            Ok(format!(
                "{first:?} {:?}",
                second.map(|posted| posted.amount)
            ))
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        drop(asked);
        world.ask(post(1)).await.unwrap(); // Alice's is not what it waits for.
        world.crash();
        world.ask(to_bob(7)).await.unwrap();
        until(|| world.status("script").subscriptions[0].applied >= 2).await;
        world.crash();
        // Nothing more comes: the second wait is in vain when its day is over.
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        let parts = || {
            let flow = id(&only_flow(world).0);
            world.node().flow("script", flow).unwrap().unwrap().1.len()
        };
        until(|| parts() == 4).await;
        world.clock().advance(Duration::from_secs(24 * 3600));
        assert_eq!(asked.await, Ok("Some(7) None".to_string()));
    });
}

#[test]
fn steps_side_by_side_are_known_again() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            let (one, two) = (flow.branch(), flow.branch());
            let one = async {
                let first = one.ask(post(1)).await?;
                Ok::<_, Stop<PostRefusal>>(first + one.ask(post(2)).await?)
            };
            let two = async { two.ask(to_bob(10)).await };
            let (one, two) = join(one, two).await;
            let (three, four) = join(
                flow.ask(post(4)).into_future(),
                flow.ask(to_bob(20)).into_future(),
            )
            .await;
            if stage.add_one() == 1 {
                stage.there.notify_one();
                stage.go_on.notified().await;
            }
            Ok(format!("{} {} {} {}", one?, two?, three?, four?))
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        let asked = begin(&port, play("hero"));
        settings.stage.there.notified().await;
        drop(asked);
        world.crash();
        let told = world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(told, Ok("4 10 7 30".to_string()));
        assert_eq!((balance(world).await, of_bob(world).await), (7, 30));
    });
}

#[test]
fn a_flow_may_reply_before_its_end() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).await?;
            flow.reply::<Play>("early".to_string()).await?;
            stage.go_on.notified().await;
            flow.ask(to_bob(5)).await?;
            Ok("late".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let ask = async || world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(ask().await, Ok("early".to_string()));
        until(|| flows(world).len() == 1).await;
        world.crash();
        assert_eq!(ask().await, Ok("early".to_string()));
        settings.stage.go_on.notify_one();
        until(|| only_flow(world).1 == FlowStand::Ended("done".to_string())).await;
        assert_eq!(ask().await, Ok("early".to_string()));
        assert_eq!((balance(world).await, of_bob(world).await), (5, 5));
    });
}

#[test]
fn what_was_told_stands_whatever_becomes_of_the_flow() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).undo(post(-5)).await?;
            flow.reply::<Play>("told".to_string()).await?;
            flow.ask(to_bob(5)).undo(to_bob(-5)).await?;
            stage.go_on.notified().await;
            Ok("not reached".to_string())
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        assert_eq!(port.ask(play("hero")).await, Ok("told".to_string()));
        while of_bob(world).await == 0 {
            tokio::task::yield_now().await;
        }
        world.crash();
        let flow = id(&only_flow(world).0);
        node(world).cancel_flow("script", flow).await.unwrap();
        until(|| matches!(only_flow(world).1, FlowStand::Ended(_))).await;
        assert_eq!((balance(world).await, of_bob(world).await), (5, 0));
        let port = world.port().idempotent("once");
        assert_eq!(port.ask(play("hero")).await, Ok("told".to_string()));
    });
}

/// A scene that stops after its first step, and what others it can be rewritten to.
fn first_half(_: Play, flow: &modulith_kernel::Flow, stage: Arc<Stage>) -> Scened<'_> {
    Box::pin(async move {
        flow.ask(post(5)).undo(post(-5)).await?;
        let done = flow.commit("note", |tx| {
            tx.put(&NOTES, &"n".to_string(), &1)?;
            Ok::<_, Stop<PostRefusal>>(())
        });
        done.await?;
        stage.there.notify_one();
        stage.go_on.notified().await;
        Ok("done".to_string())
    })
}

fn other_amount(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
    Box::pin(async move {
        flow.ask(post(6)).await?;
        Ok("done".to_string())
    })
}

fn other_step(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
    Box::pin(async move {
        flow.sleep(Duration::ZERO).await;
        Ok("done".to_string())
    })
}

fn fewer_steps(_: Play, _: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
    Box::pin(async move { Ok("done".to_string()) })
}

#[test]
fn a_journal_that_does_not_fit_the_code_parks_the_flow() {
    let rewritten: [(Scene, &str); 3] = [
        (
            other_amount,
            "step 1 of the journal is ask ledger.Post, where the code takes ask ledger.Post with \
             other contents",
        ),
        (
            other_step,
            "step 1 of the journal is ask ledger.Post, where the code takes sleep ",
        ),
        (
            fewer_steps,
            "step 1 of the journal is ask ledger.Post, which the code does not take",
        ),
    ];
    for (scene, reason) in rewritten {
        let settings = ScriptSettings::of(first_half);
        world(&settings).run(async |world: &World| {
            settings.stage.clear();
            settings.rewrite(first_half);
            let port = world.port().idempotent("once");
            let asked = begin(&port, play("hero"));
            settings.stage.there.notified().await;
            drop(asked);
            settings.rewrite(scene);
            world.crash();
            until(|| is_parked(world)).await;
            let (flow, stand) = only_flow(world);
            assert_eq!(stand, FlowStand::Parked(reason.to_string()));
            let told = world.port().idempotent("once").ask(play("hero")).await;
            let parked = Fault::Parked {
                flow: flow.clone(),
                reason: reason.to_string(),
            };
            assert_eq!(told, Err(Stop::Fault(parked)));
            assert_eq!(balance(world).await, 5);
            // With the right code again, an operator has it go on, or take back what it did.
            settings.rewrite(first_half);
            node(world).retry_flow("script", id(&flow)).await.unwrap();
            settings.stage.there.notified().await;
            node(world).cancel_flow("script", id(&flow)).await.unwrap();
            until(|| matches!(only_flow(world).1, FlowStand::Ended(_))).await;
            assert_eq!(balance(world).await, 0);
        });
    }
}

#[test]
fn a_flow_of_a_version_no_longer_known_is_parked() {
    let settings = ScriptSettings::of(first_half);
    let folder = tempfile::tempdir().unwrap();
    let run = |version: u32| {
        let settings = settings.clone();
        let environment = modulith_kernel::Environment::real(folder.path());
        actix::System::new().block_on(async move {
            let mut node = modulith_kernel::NodeBuilder::new(environment);
            match version {
                1 => node.host::<Script<1>>(settings.clone()),
                _ => node.host::<Script<2>>(settings.clone()),
            };
            node.host::<Ledger>(LedgerSettings::default());
            let node = node.start().unwrap();
            if version == 1 {
                let port = node.open_port();
                let asked = begin(&port, play("hero"));
                settings.stage.there.notified().await;
                drop(asked);
            } else {
                let parked = || {
                    let flows = node.flows("script", 10).unwrap().unwrap();
                    matches!(&flows[0].stand, FlowStand::Parked(reason) if *reason
                        == "it was started by version 1 of the code, and this is version 2 which \
                            goes on with 2 and later")
                };
                until(parked).await;
            }
            node.halt();
        });
    };
    run(1);
    run(2);
}

#[test]
fn a_refused_flow_that_did_nothing_is_only_kept_when_it_may_be_asked_again() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.now();
            Err(PostRefusal::Overdrawn { balance: 0 }.into())
        })
    }
    let settings = ScriptSettings::of(scene);
    // Only where nothing is encoded: what comes over a network may come again.
    let world = world(&settings);
    world.run(async |world: &World| {
        let kept = || flows(world).len();
        _ = world.ask(play("hero")).await;
        assert_eq!(kept(), 0);
        _ = world.port().idempotent("once").ask(play("hero")).await;
        assert_eq!(kept(), 1);
    });
}

#[test]
fn ended_flows_are_kept_for_their_time() {
    fn scene(_: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move { Ok(flow.ask(post(5)).await?.to_string()) })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        let port = world.port().idempotent("once");
        assert_eq!(port.ask(play("hero")).await, Ok("5".to_string()));
        until(|| only_flow(world).1 == FlowStand::Ended("done".to_string())).await;
        world.clock().advance(Duration::from_secs(168 * 3600 + 1));
        assert_eq!(node(world).sweep("ledger").await, Ok(1));
        assert_eq!(node(world).sweep("script").await, Ok(1));
        assert_eq!(port.ask(play("hero")).await, Ok("10".to_string()));
    });
}

#[test]
fn what_is_secret_is_in_no_file() {
    fn scene(play: Play, flow: &modulith_kernel::Flow, _: Arc<Stage>) -> Scened<'_> {
        Box::pin(async move {
            flow.ask(post(5)).await?;
            assert_eq!(play.secret.reveal().map(String::as_str), Some("hush"));
            Ok(play.part)
        })
    }
    let settings = ScriptSettings::of(scene);
    world(&settings).run(async |world: &World| {
        settings.stage.clear();
        world.ask(play("hero-in-the-open")).await.unwrap();
        let mut found = false;
        for file in walk(world.folder()) {
            let bytes = std::fs::read(&file).unwrap();
            let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
            assert!(!holds(b"hush"), "{file:?}");
            found |= holds(b"hero-in-the-open");
        }
        assert!(found, "the command itself is in the journal");
    });
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the folder can be read") {
        let path = entry.expect("the folder can be read").path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path),
        }
    }
    files
}

trait NowText {
    fn now_text(&self) -> String;
}

impl NowText for modulith_testkit::FakeClock {
    fn now_text(&self) -> String {
        let now: Timestamp = modulith_kernel::Clock::now(self);
        now.to_string()
    }
}
