//! Networks that lose, delay and reorder, and ones that are cut and healed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use modulith_quic::{Call, Endpoint, Incoming};

use crate::{
    link::{Link, Weather},
    support::{PATIENCE, World, call, echo, place, service},
};

/// `shop`, which calls over the link, `orders`, which serves, and what keeps both alive.
struct Far {
    shop: Arc<Endpoint>,
    _orders: Arc<Endpoint>,
    link: Link,
    _world: World,
}

impl Far {
    async fn new(weather: Weather) -> Self {
        let world = World::new();
        let (shop, orders) = world.pair(echo());
        let link = Link::to(orders.address().unwrap(), weather).await;
        world.name("orders", link.address);
        Self {
            shop,
            _orders: orders,
            link,
            _world: world,
        }
    }

    /// Calls with this many in flight, each with its own body, some of them bulk bodies.
    async fn all_come_back(&self, calls: usize, in_flight: usize) {
        let room = Arc::new(tokio::sync::Semaphore::new(in_flight));
        let mut asked = tokio::task::JoinSet::new();
        for number in 0..calls {
            let (shop, room) = (self.shop.clone(), room.clone());
            asked.spawn(async move {
                let _place = room.acquire().await.unwrap();
                let bytes = if number % 50 == 49 { 100_000 } else { 100 };
                let body = number.to_le_bytes().repeat(bytes / 8);
                assert_eq!(call(&shop, body.clone()).await, Ok(body), "{number}");
            });
        }
        while let Some(done) = asked.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn every_reply_arrives_where_one_in_a_hundred_packets_is_lost() {
    let far = Far::new(Weather {
        loss: 0.01,
        ..Weather::default()
    });
    far.await.all_come_back(2_000, 64).await;
}

#[tokio::test]
async fn every_reply_arrives_over_a_way_of_50_ms() {
    let far = Far::new(Weather {
        delay: Duration::from_millis(50),
        ..Weather::default()
    });
    far.await.all_come_back(500, 64).await;
}

#[tokio::test]
async fn every_reply_arrives_where_packets_overtake_each_other_and_some_are_lost() {
    let far = Far::new(Weather {
        loss: 0.01,
        delay: Duration::from_millis(5),
        overtaken: 0.2,
    });
    far.await.all_come_back(1_000, 64).await;
}

#[tokio::test]
async fn a_network_cut_for_ten_seconds_costs_the_calls_of_that_time_and_no_more() {
    let far = Far::new(Weather::default()).await;
    far.all_come_back(10, 10).await;
    far.link.cut(true);
    let cut = Instant::now();
    let soon = |limit| Call {
        deadline: Instant::now() + limit,
        ..place("")
    };
    // At first nobody knows.
    let first = far.shop.call("orders", soon(Duration::from_millis(200)));
    assert_eq!(first.await, Err(Fault::Late));
    // Then the silence is long enough to know, and those that wait are told.
    let waiting = far.shop.call("orders", soon(PATIENCE)).await;
    assert!(
        matches!(waiting, Err(Fault::Unreachable { .. })),
        "{waiting:?}"
    );
    tokio::time::sleep_until((cut + Duration::from_secs(10)).into()).await;
    far.link.cut(false);
    let healed = async {
        while call(&far.shop, *b"").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, healed).await.unwrap();
    far.all_come_back(100, 10).await;
}

#[tokio::test]
async fn what_was_held_up_longer_than_its_caller_waits_is_not_begun() {
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = begun.clone();
    let world = World::new();
    let (shop, orders) = world.pair(service(move |request: Incoming| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { request.body }
    }));
    let link = Link::to(orders.address().unwrap(), Weather::default()).await;
    world.name("orders", link.address);
    for _ in 0..5 {
        call(&shop, *b"").await.unwrap();
    }
    link.hold(Duration::from_millis(400));
    let deadline = Instant::now() + Duration::from_millis(100);
    let late = shop.call(
        "orders",
        Call {
            deadline,
            ..place("")
        },
    );
    assert_eq!(late.await, Err(Fault::Late));
    link.hold(Duration::ZERO);
    // All of it has arrived by then, the request and its cancellation.
    tokio::time::sleep(Duration::from_millis(800)).await;
    call(&shop, *b"").await.unwrap();
    assert_eq!(begun.load(Ordering::SeqCst), 6);
}
