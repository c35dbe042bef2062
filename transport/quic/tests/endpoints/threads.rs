//! Connections on the threads that call, and on several network threads.

use std::{num::NonZeroUsize, sync::Arc, thread, time::Duration};

use modulith_quic::{Endpoint, Options, PeerState, StartError};

use crate::support::{Outcome, PATIENCE, World, call, echo, place, unreachable};

/// Runs something on a thread with a runtime and connections of its own.
pub(crate) fn attached<T: Send + 'static>(
    endpoint: &Arc<Endpoint>,
    run: impl AsyncFnOnce(Arc<Endpoint>) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let endpoint = Arc::clone(endpoint);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            endpoint.attach().unwrap();
            run(endpoint).await
        })
    })
}

fn connections(endpoint: &Endpoint) -> usize {
    let peers = endpoint.peers();
    let is_up = |state: &PeerState| matches!(state, PeerState::Connected { .. });
    peers.iter().filter(|peer| is_up(&peer.state)).count()
}

async fn calls(endpoint: &Endpoint, count: u32) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for number in 0..count {
        outcomes.push(call(endpoint, number.to_le_bytes()).await);
    }
    outcomes
}

fn echoed(count: u32) -> Vec<Outcome> {
    (0..count).map(|it| Ok(it.to_le_bytes().to_vec())).collect()
}

#[tokio::test]
async fn a_thread_that_attached_itself_has_connections_of_its_own() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    assert_eq!(calls(&shop, 3).await, echoed(3));
    let (tell, told) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let worker = attached(&shop, async |shop| {
        let outcomes = calls(&shop, 100).await;
        // A second time changes nothing.
        shop.attach().unwrap();
        let more = calls(&shop, 100).await;
        tell.send(()).unwrap();
        ended.await.unwrap();
        let after = calls(&shop, 3).await;
        (outcomes, more, after)
    });
    told.await.unwrap();
    assert_eq!(connections(&shop), 2);
    assert_eq!(connections(&orders), 2);
    shop.detach().await;
    assert_eq!(connections(&shop), 1);
    end.send(()).unwrap();
    let calls_before = worker.join().unwrap();
    assert_eq!(calls_before, (echoed(100), echoed(100), echoed(3)));
    assert_eq!(calls(&shop, 3).await, echoed(3));
    orders.close(PATIENCE);
    shop.close(PATIENCE);
}

#[tokio::test]
async fn an_endpoint_closes_while_a_thread_is_attached() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let (tell, told) = tokio::sync::oneshot::channel();
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let worker = attached(&shop, async |shop| {
        let before = calls(&shop, 1).await;
        tell.send(()).unwrap();
        ended.await.unwrap();
        (before, call(&shop, *b"").await.is_err())
    });
    told.await.unwrap();
    shop.close(PATIENCE);
    end.send(()).unwrap();
    assert_eq!(worker.join().unwrap(), (echoed(1), true));
}

#[tokio::test]
async fn several_threads_serve_at_one_address() {
    let world = World::new();
    let orders = Options {
        threads: NonZeroUsize::new(3).unwrap(),
        ..world.listening("orders")
    };
    let orders = world.start(orders, echo());
    let shop = world.start(world.options("shop"), echo());
    let (end, ended) = tokio::sync::watch::channel(false);
    let (tell, mut told) = tokio::sync::mpsc::channel(6);
    for _ in 0..6 {
        let (tell, mut ended) = (tell.clone(), ended.clone());
        attached(&shop, async move |shop| {
            tell.send(calls(&shop, 50).await).await.unwrap();
            ended.wait_for(|ended| *ended).await.unwrap();
        });
    }
    for _ in 0..6 {
        assert_eq!(told.recv().await.unwrap(), echoed(50));
    }
    assert_eq!(connections(&orders), 6);
    shop.detach().await;
    end.send(true).unwrap();
    assert_eq!(calls(&shop, 5).await, echoed(5));
    let taken = orders.address();
    let second = Options {
        listen: taken,
        threads: NonZeroUsize::new(2).unwrap(),
        ..world.options("other")
    };
    let refused = world.try_start(second, echo());
    assert!(
        matches!(refused, Err(StartError::AddressInUse { .. })),
        "{refused:?}"
    );
    orders.close(PATIENCE);
}

#[tokio::test]
async fn threads_that_look_for_news_before_they_sleep_answer_the_same() {
    let world = World::new();
    let spinning = |options: Options| Options {
        spin: Duration::from_micros(100),
        ..options
    };
    let _orders = world.start(spinning(world.listening("orders")), echo());
    let shop = world.start(spinning(world.options("shop")), echo());
    assert_eq!(calls(&shop, 100).await, echoed(100));
    let worker = attached(&shop, async |shop| calls(&shop, 100).await);
    assert_eq!(worker.join().unwrap(), echoed(100));
}

#[tokio::test]
async fn calls_that_wait_for_a_replica_are_told_at_once_when_it_is_gone() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    let old = shop.destination("orders", "orders");
    old.call(place("")).await.unwrap();
    orders.close(PATIENCE);
    // It counts as restarting, so calls wait for it.
    let mut waiting = old.call(place(""));
    let soon = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
    assert!(soon.is_err(), "it waits: {soon:?}");
    old.close();
    assert_eq!(unreachable(waiting.await), "its process is gone");
}

#[tokio::test]
async fn a_closed_destination_is_made_anew() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let old = shop.destination("orders", "orders");
    old.call(place("")).await.unwrap();
    old.close();
    // Calls that meet the closing may still go through.
    let refused = async { while old.call(place("")).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
    let new = shop.destination("orders", "orders");
    assert_eq!(new.call(place("again")).await, Ok(b"again".to_vec()));
}
