//! What the configuration, and orders while it runs, make of calls.

use std::future::pending;

use modulith_mesh::{Injection, Mirror};

use super::*;
use crate::mesh::FaultOrder;

fn split(money: u32, next: u32) -> Rules {
    Rules {
        split: Some(vec![
            ("money".to_string(), money),
            ("money-next".to_string(), next),
        ]),
        ..Rules::default()
    }
}

/// Both versions of `currency`, and how often each was asked.
fn versions(rules: Rules) -> (World, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let mut world = World::new(1, vec![("currency", rules)]);
    let [now, next] = counts();
    world.start("money", "money", says("now", &now));
    world.start("money-next", "money-next", says("next", &next));
    (world, now, next)
}

#[tokio::test]
async fn a_share_goes_to_the_next_version() {
    let (world, now, next) = versions(split(75, 25));
    let mesh = world.mesh();
    for _ in 0..1000 {
        ask(&mesh, CONVERT).await.unwrap();
    }
    let (now, next) = (now.load(SeqCst), next.load(SeqCst));
    assert_eq!(now + next, 1000);
    assert!((150..350).contains(&next), "{next} of 1000");
}

#[tokio::test]
async fn a_tag_leads_to_the_next_version() {
    let rules = Rules {
        split_tag: Some(vec![("next".to_string(), "money-next".to_string())]),
        ..split(1, 0)
    };
    let (world, ..) = versions(rules);
    let mesh = world.mesh();
    let tagged = |tag: &str| Call {
        carried: Carried::default().tagged(tag),
        ..call(CONVERT)
    };
    for _ in 0..20 {
        assert_eq!(mesh.call(tagged("next")).await, Ok(reply("next")));
        assert_eq!(mesh.call(tagged("other")).await, Ok(reply("now")));
        assert_eq!(ask(&mesh, CONVERT).await, Ok(reply("now")));
    }
}

#[tokio::test]
async fn copies_carry_low_priority_and_nobody_waits_for_them() {
    let rules = Rules {
        mirror: Some(Mirror {
            process: "money-next".to_string(),
            percent: 100,
        }),
        ..split(1, 0)
    };
    let mut world = World::new(1, vec![("currency", rules)]);
    let [now] = counts();
    world.start("money", "money", says("now", &now));
    let priorities: Arc<Mutex<Vec<u8>>> = Arc::default();
    let noted = priorities.clone();
    let hangs = service(move |request: Incoming| {
        noted.lock().unwrap().push(request.priority);
        pending()
    });
    world.start("money-next", "money-next", hangs);
    let mesh = world.mesh();
    for _ in 0..200 {
        assert_eq!(answered(&mesh, CONVERT).await, "now");
    }
    // It hangs, so that no more than 64 are ever under way.
    until(|| priorities.lock().unwrap().len() == 64).await;
    assert!(priorities.lock().unwrap().iter().all(|it| *it == 3));
    assert_eq!(traffic(&mesh, "money-next").mirrored, 64);
}

#[tokio::test]
async fn a_query_that_takes_long_is_asked_of_another_and_the_first_is_cancelled() {
    let rules = Rules {
        hedge_after: Some(Duration::from_millis(20)),
        ..Rules::default()
    };
    let mut world = World::new(2, vec![("currency", rules)]);
    /// Tells when it is dropped.
    struct Told(Arc<AtomicUsize>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let [asked, dropped, count] = counts();
    let (counted, tells) = (asked.clone(), dropped.clone());
    let hangs = service(move |_| {
        counted.fetch_add(1, SeqCst);
        let told = Told(tells.clone());
        async move {
            let _told = told;
            pending().await
        }
    });
    world.start("money", "money.0", hangs);
    world.start("money", "money.1", says("1", &count));
    let mesh = world.mesh();
    while asked.load(SeqCst) < 3 {
        assert_eq!(answered(&mesh, CONVERT).await, "1");
    }
    until(|| dropped.load(SeqCst) == asked.load(SeqCst)).await;
    assert!(traffic(&mesh, "money").hedges >= 3);
}

#[tokio::test]
async fn a_timeout_goes_before_what_the_caller_would_wait() {
    let rules = Rules {
        timeout: Some(Duration::from_millis(50)),
        ..Rules::default()
    };
    let mut world = World::new(1, vec![("currency", rules)]);
    world.start("money", "money", service(|_| pending()));
    let mesh = world.mesh();
    assert_eq!(ask(&mesh, CONVERT).await, Err(Fault::Late));
}

#[tokio::test]
async fn faults_of_the_configuration_are_put_in() {
    let rules = Rules {
        fault: Some(Injection {
            abort_percent: 100,
            ..Injection::default()
        }),
        ..Rules::default()
    };
    let mut world = World::new(1, vec![("currency.Convert", rules)]);
    let [count] = counts();
    world.start("money", "money", says("now", &count));
    let mesh = world.mesh();
    let Err(Fault::Unreachable { module, reason }) = ask(&mesh, CONVERT).await else {
        panic!("expected an injected fault");
    };
    assert_eq!(module, "currency");
    assert!(reason.contains("on purpose"), "{reason}");
    assert_eq!(count.load(SeqCst), 0);
    assert_eq!(traffic(&mesh, "money").faults_injected, 1);
}

#[tokio::test]
async fn faults_come_and_go_by_order_while_it_runs() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    world.start("money", "money", says("now", &count));
    let mesh = world.mesh();
    let put = |about: &str, delay_ms, abort_percent, for_ms| {
        mesh.order(FaultOrder::Put {
            about: about.to_string(),
            delay_ms,
            delay_percent: 100,
            abort_percent,
            for_ms,
        })
    };
    assert_eq!(answered(&mesh, CONVERT).await, "now");
    put("currency", 0, 100, 60_000).unwrap();
    assert!(ask(&mesh, CONVERT).await.is_err());
    // What is said of the message goes before what is said of its module.
    put(CONVERT, 0, 0, 60_000).unwrap();
    assert_eq!(answered(&mesh, CONVERT).await, "now");
    put(CONVERT, 0, 100, 60_000).unwrap();
    mesh.order(FaultOrder::TakeAway).unwrap();
    assert_eq!(answered(&mesh, CONVERT).await, "now");
    // Nobody takes it away: it ends by itself.
    put("currency", 0, 100, 30).unwrap();
    let ends = async { while ask(&mesh, CONVERT).await.is_err() {} };
    tokio::time::timeout(PATIENCE, ends).await.unwrap();
    put("currency", 60_000, 0, 60_000).unwrap();
    let hurried = Call {
        deadline: Instant::now() + Duration::from_millis(20),
        ..call(CONVERT)
    };
    assert_eq!(mesh.call(hurried).await, Err(Fault::Late));
}

#[tokio::test]
async fn orders_that_make_no_sense_are_refused() {
    let mesh = Mesh::new(&World::new(1, vec![]).config, &manifests());
    let put = |about: &str, delay_ms, delay_percent, for_ms| {
        let order = FaultOrder::Put {
            about: about.to_string(),
            delay_ms,
            delay_percent,
            abort_percent: 0,
            for_ms,
        };
        mesh.order(order).unwrap_err()
    };
    assert!(put("currrency", 1, 1, 1).contains("no module or message"));
    assert!(put("currency", 1, 101, 1).contains("100 percent"));
    assert!(put("currency", u64::MAX, 1, 1).contains("expected at most"));
    assert!(put("currency", 1, 1, u64::MAX).contains("expected at most"));
}
