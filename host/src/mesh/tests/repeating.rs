//! What is sent again, and what is not.

use std::{collections::HashSet, future::pending};

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn queries_go_on_when_an_instance_dies_with_them_in_its_hands() {
    let mut world = World::new(2, vec![]);
    let [held, count] = counts();
    let counted = held.clone();
    let holds = service(move |_| {
        counted.fetch_add(1, SeqCst);
        pending()
    });
    world.start("money", "money.0", holds);
    world.start("money", "money.1", says("1", &count));
    let mesh = world.mesh();
    let calls: Vec<_> = (0..20)
        .map(|_| tokio::spawn(mesh.call(call(CONVERT))))
        .collect();
    until(|| held.load(SeqCst) + count.load(SeqCst) == 20 && held.load(SeqCst) > 0).await;
    world.kill("money.0");
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap(), Ok(reply("1")));
    }
    assert!(traffic(&mesh, "money").retries > 0);
}

#[tokio::test]
async fn commands_go_on_through_a_restart_and_take_effect_once() {
    let mut world = World::new(1, vec![]);
    // What is in its store: which commands it has seen.
    let store: Arc<Mutex<HashSet<u128>>> = Arc::default();
    let seen = store.clone();
    let dies_before_it_answers = service(move |request: Incoming| {
        seen.lock().unwrap().insert(request.message_id);
        pending()
    });
    world.start("orders", "orders", dies_before_it_answers);
    let mesh = world.mesh();
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(mesh.call(call(PLACE))))
        .collect();
    until(|| store.lock().unwrap().len() == 10).await;
    world.kill("orders");
    let [first, again] = counts();
    let (seen, counted) = (store.clone(), again.clone());
    let remembers = service(move |request: Incoming| {
        if seen.lock().unwrap().insert(request.message_id) {
            first.fetch_add(1, SeqCst);
        }
        counted.fetch_add(1, SeqCst);
        async { reply("done") }
    });
    world.start("orders", "orders", remembers);
    for outcome in join_all(calls).await {
        assert_eq!(outcome.unwrap(), Ok(reply("done")));
    }
    // Each came again under its own id, and none is new.
    assert_eq!(again.load(SeqCst), 10);
    assert_eq!(store.lock().unwrap().len(), 10);
}

#[tokio::test]
async fn what_was_handled_is_not_sent_again() {
    let module = || "currency".to_string();
    for handled in [
        Fault::Panicked { module: module() },
        Fault::Store {
            module: module(),
            reason: "full".to_string(),
        },
        Fault::Late,
    ] {
        let mut world = World::new(2, vec![]);
        let [count] = counts();
        for name in ["money.0", "money.1"] {
            let (counted, handled) = (count.clone(), handled.clone());
            let fails = service(move |_| {
                counted.fetch_add(1, SeqCst);
                let handled = handled.clone();
                async move { fault(handled) }
            });
            world.start("money", name, fails);
        }
        let mesh = world.mesh();
        assert_eq!(ask(&mesh, CONVERT).await, Ok(fault(handled)));
        assert_eq!(count.load(SeqCst), 1);
    }
}

#[tokio::test]
async fn refusals_are_not_sent_again() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    // As the kernel encodes a refusal: an error, of the first kind.
    let refuses = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async { vec![1, 0, 7] }
    });
    world.start("money", "money", refuses);
    let mesh = world.mesh();
    assert_eq!(ask(&mesh, CONVERT).await, Ok(vec![1, 0, 7]));
    assert_eq!(count.load(SeqCst), 1);
}

#[tokio::test]
async fn an_instance_that_has_no_room_sends_its_callers_to_another() {
    let mut world = World::new(2, vec![]);
    let [full, count] = counts();
    let counted = full.clone();
    let is_full = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async {
            fault(Fault::Overloaded {
                module: "currency".to_string(),
                retry_after_ms: 5,
            })
        }
    });
    world.start("money", "money.0", is_full);
    world.start("money", "money.1", says("1", &count));
    let mesh = world.mesh();
    while full.load(SeqCst) == 0 {
        assert_eq!(answered(&mesh, CONVERT).await, "1");
    }
    assert!(traffic(&mesh, "money").retries > 0);
    assert_eq!(traffic(&mesh, "money").ejections, 0);
}

#[tokio::test]
async fn a_module_that_stops_is_asked_again_when_it_is_back() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    let stops = service(move |_| {
        let is_first = counted.fetch_add(1, SeqCst) == 0;
        async move {
            match is_first {
                true => fault(Fault::Stopped {
                    module: "orders".to_string(),
                    reason: "its process is shutting down".to_string(),
                }),
                false => reply("back"),
            }
        }
    });
    world.start("orders", "orders", stops);
    let mesh = world.mesh();
    assert_eq!(answered(&mesh, PLACE).await, "back");
}

#[tokio::test]
async fn nothing_is_sent_more_often_than_the_policy_says() {
    for retries in [0, 1, 4] {
        let rules = Rules {
            retries: Some(retries),
            ..Rules::default()
        };
        let mut world = World::new(1, vec![("currency", rules)]);
        let [count] = counts();
        let counted = count.clone();
        let stops = service(move |_| {
            counted.fetch_add(1, SeqCst);
            async {
                fault(Fault::Stopped {
                    module: "currency".to_string(),
                    reason: "it failed too often".to_string(),
                })
            }
        });
        world.start("money", "money", stops);
        let mesh = world.mesh();
        assert!(modulith_kernel::fault_in(&ask(&mesh, CONVERT).await.unwrap()).is_some());
        assert_eq!(count.load(SeqCst), usize::from(retries) + 1);
    }
}

#[tokio::test]
async fn a_repetition_that_would_be_late_is_not_sent() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    let is_full = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async {
            fault(Fault::Overloaded {
                module: "currency".to_string(),
                retry_after_ms: 60_000,
            })
        }
    });
    world.start("money", "money", is_full);
    let mesh = world.mesh();
    let outcome = ask(&mesh, CONVERT).await.unwrap();
    assert!(modulith_kernel::fault_in(&outcome).is_some());
    assert_eq!(count.load(SeqCst), 1);
}

#[tokio::test]
async fn a_budget_keeps_retries_from_becoming_a_storm() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    let stops = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async {
            fault(Fault::Stopped {
                module: "currency".to_string(),
                reason: "it failed too often".to_string(),
            })
        }
    });
    world.start("money", "money", stops);
    let mesh = world.mesh();
    let begun = Instant::now();
    for _ in 0..20 {
        join_all((0..50).map(|_| ask(&mesh, CONVERT))).await;
    }
    // A fifth of them, and ten for each second that began.
    let free = 10 * (begun.elapsed().as_secs() + 2);
    let traffic = traffic(&mesh, "money");
    assert!(traffic.retries <= 1000 / 5 + free, "{traffic:?}");
    assert!(traffic.retries_refused > 0, "{traffic:?}");
    assert_eq!(count.load(SeqCst) as u64, 1000 + traffic.retries);
}

#[tokio::test]
async fn a_long_body_is_sent_once() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    let stops = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async {
            fault(Fault::Stopped {
                module: "currency".to_string(),
                reason: "it failed too often".to_string(),
            })
        }
    });
    world.start("money", "money", stops);
    let mesh = world.mesh();
    let long = Call {
        body: vec![0; (256 << 10) + 1],
        ..call(CONVERT)
    };
    mesh.call(long).await.unwrap();
    assert_eq!(count.load(SeqCst), 1);
}

/// A command whose first sending broke off may have taken effect, whatever becomes of the second.
#[tokio::test]
async fn a_second_sending_that_took_no_effect_says_nothing_of_the_first() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    let counted = count.clone();
    let stopped = || Fault::Stopped {
        module: "orders".to_string(),
        reason: "its process is shutting down".to_string(),
    };
    let stops_then_is_full = service(move |_| {
        let is_first = counted.fetch_add(1, SeqCst) == 0;
        async move {
            fault(match is_first {
                true => stopped(),
                false => Fault::Overloaded {
                    module: "orders".to_string(),
                    retry_after_ms: 60_000,
                },
            })
        }
    });
    world.start("orders", "orders", stops_then_is_full);
    let mesh = world.mesh();
    assert_eq!(ask(&mesh, PLACE).await, Ok(fault(stopped())));
    assert_eq!(count.load(SeqCst), 2);
}
