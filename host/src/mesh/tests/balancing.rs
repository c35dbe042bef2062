//! Which instance is asked.

use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn a_slow_but_living_instance_gets_far_fewer_calls() {
    let mut world = World::new(3, vec![]);
    let [fast, slow] = counts();
    world.start("money", "money.0", says("0", &fast));
    world.start("money", "money.1", says("1", &fast));
    let counted = slow.clone();
    let crawls = service(move |_| {
        counted.fetch_add(1, SeqCst);
        async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            reply("2")
        }
    });
    world.start("money", "money.2", crawls);
    let mesh = world.mesh();
    let one_after_the_other = async || {
        for _ in 0..100 {
            ask(&mesh, CONVERT).await.unwrap();
        }
    };
    join_all((0..5).map(|_| one_after_the_other())).await;
    let (fast, slow) = (fast.load(SeqCst), slow.load(SeqCst));
    assert_eq!(fast + slow, 500);
    // Evenly it would get a third.
    assert!(
        slow > 0 && slow * 10 < fast,
        "{slow} of 500 went to the slow one"
    );
}

#[tokio::test]
async fn an_instance_that_dies_is_left_alone_and_found_again_when_it_returns() {
    let mut world = World::new(2, vec![]);
    let [zero, one, again] = counts();
    world.start("money", "money.0", says("0", &zero));
    world.start("money", "money.1", says("1", &one));
    let mesh = world.mesh();
    while zero.load(SeqCst) == 0 || one.load(SeqCst) == 0 {
        ask(&mesh, CONVERT).await.unwrap();
    }
    world.kill("money.1");
    let is_out = || traffic(&mesh, "money").instances[1].is_ejected;
    let fails = async {
        while !is_out() {
            // Many at once: one at a time, the slow failures alone would keep calls away from it.
            for outcome in join_all((0..8).map(|_| ask(&mesh, CONVERT))).await {
                assert_eq!(outcome, Ok(reply("0")));
            }
        }
    };
    tokio::time::timeout(PATIENCE, fails).await.unwrap();
    assert_eq!(traffic(&mesh, "money").ejections, 1);
    world.start("money", "money.1", says("again", &again));
    let returns = async {
        while answered(&mesh, CONVERT).await != "again" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, returns).await.unwrap();
    assert!(!is_out());
}

#[tokio::test]
async fn instances_come_and_go_without_a_failed_call() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    for name in ["a", "b", "c"] {
        world.start("money", name, says(name, &count));
    }
    let mesh = world.mesh();
    let rounds = [
        vec!["a"],
        vec!["a", "b"],
        vec!["b", "c"],
        vec!["c"],
        vec!["a", "c"],
    ];
    let know = |names: &[&str]| {
        let instances: Vec<_> = names.iter().map(|name| instance(name)).collect();
        mesh.know("money", &instances);
    };
    know(&["a"]);
    let changes = async {
        for names in rounds.iter().cycle().take(40) {
            know(names);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        know(&["b"]);
    };
    let calls = async {
        for _ in 0..400 {
            let asked = join_all((0..4).map(|_| ask(&mesh, CONVERT))).await;
            for outcome in asked {
                outcome.unwrap();
            }
        }
    };
    tokio::join!(changes, calls);
    assert_eq!(answered(&mesh, CONVERT).await, "b");
    assert_eq!(traffic(&mesh, "money").instances.len(), 1);
}

#[tokio::test]
async fn an_instance_that_leaves_answers_what_it_was_asked_before() {
    let mut world = World::new(1, vec![]);
    let (release, released) = tokio::sync::watch::channel(false);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let waits = service(move |_| {
        counted.fetch_add(1, SeqCst);
        let mut released = released.clone();
        async move {
            released.wait_for(|it| *it).await.unwrap();
            reply("a")
        }
    });
    let [count] = counts();
    world.start("money", "a", waits);
    world.start("money", "b", says("b", &count));
    let mesh = world.mesh();
    mesh.know("money", &[instance("a")]);
    let before = mesh.call(call(CONVERT));
    let before = tokio::spawn(before);
    until(|| asked.load(SeqCst) == 1).await;
    mesh.know("money", &[instance("b")]);
    assert_eq!(answered(&mesh, CONVERT).await, "b");
    release.send(true).unwrap();
    assert_eq!(before.await.unwrap(), Ok(reply("a")));
}

#[tokio::test]
async fn an_empty_list_takes_nobody_away() {
    let mut world = World::new(1, vec![]);
    let [count] = counts();
    world.start("money", "money", says("here", &count));
    let mesh = world.mesh();
    mesh.know("money", &[]);
    assert_eq!(answered(&mesh, CONVERT).await, "here");
}

#[tokio::test]
async fn each_partition_is_asked_of_the_instance_that_has_it() {
    let mut world = World::new(1, vec![]);
    world.config.processes[3].replicas = 2;
    let [count] = counts();
    world.start("orders", "orders.0", says("0", &count));
    world.start("orders", "orders.1", says("1", &count));
    let mesh = world.mesh();
    for partition in 0..6 {
        let call = Call {
            partition,
            ..call(PLACE)
        };
        let expected = (partition % 2).to_string();
        assert_eq!(mesh.call(call).await, Ok(reply(&expected)));
    }
}

#[tokio::test]
async fn an_instance_with_stores_that_is_away_is_waited_for() {
    let mut world = World::new(1, vec![]);
    world.config.processes[3].replicas = 2;
    let [count] = counts();
    let of = |number: u16| Instance {
        name: format!("orders.{number}").into(),
        replica: Some(number),
        replicas: 2,
    };
    world.start("orders", "orders.0", says("0", &count));
    world.start("orders", "orders.1", says("1", &count));
    let mesh = world.mesh();
    let second = || Call {
        partition: 1,
        ..call(PLACE)
    };
    assert_eq!(mesh.call(second()).await, Ok(reply("1")));
    world.kill("orders.1");
    mesh.know("orders", &[of(0)]);
    let waiting = tokio::spawn(mesh.call(second()));
    world.start("orders", "orders.1", says("1", &count));
    mesh.know("orders", &[of(0), of(1)]);
    assert_eq!(waiting.await.unwrap(), Ok(reply("1")));
}
