//! Endpoints that stop gently.

use std::{sync::Arc, time::Duration};

use modulith_quic::{Incoming, Service};
use tokio::sync::{Semaphore, mpsc::UnboundedReceiver};

use crate::support::{PATIENCE, World, call, echo, service, unreachable};

/// Handlers that report when they start, and finish when they are let.
fn gated() -> (Arc<dyn Service>, Arc<Semaphore>, UnboundedReceiver<()>) {
    let gate = Arc::new(Semaphore::new(0));
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    let inner = Arc::clone(&gate);
    let service = service(move |request: Incoming| {
        tell.send(()).unwrap();
        let gate = Arc::clone(&inner);
        async move {
            gate.acquire().await.unwrap().forget();
            request.body
        }
    });
    (service, gate, told)
}

#[tokio::test]
async fn draining_finishes_what_is_in_flight() {
    let world = World::new();
    let (service, gate, mut told) = gated();
    let (shop, orders) = world.pair(service);
    let calls: Vec<_> = (0..10u8)
        .map(|at| (at, call(&shop, vec![at; 100_000])))
        .collect();
    for _ in 0..10 {
        told.recv().await.unwrap();
    }
    let drained = tokio::spawn(orders.drain());
    assert!(!drained.is_finished());
    gate.add_permits(10);
    for (at, call) in calls {
        assert!(call.await.unwrap() == vec![at; 100_000], "call {at}");
    }
    drained.await.unwrap();
    assert_eq!(orders.peers(), []);
}

#[tokio::test]
async fn no_call_is_lost_when_a_process_is_replaced_under_load() {
    let world = World::new();
    let (shop, mut orders) = world.pair(echo());
    let caller = {
        let shop = Arc::clone(&shop);
        tokio::spawn(async move {
            for at in 0..2_000u32 {
                assert_eq!(
                    call(&shop, at.to_le_bytes()).await,
                    Ok(at.to_le_bytes().to_vec())
                );
            }
        })
    };
    for _ in 0..5 {
        let next = world.start(world.listening("orders"), echo());
        orders.drain().await;
        orders = next;
    }
    caller.await.unwrap();
}

#[tokio::test]
async fn closing_waits_no_longer_than_it_may() {
    let world = World::new();
    let (service, _gate, mut told) = gated();
    let (shop, orders) = world.pair(service);
    let stuck = call(&shop, *b"");
    told.recv().await.unwrap();
    orders.close(Duration::from_millis(50));
    unreachable(stuck.await);
}

#[tokio::test]
async fn a_closed_endpoint_calls_nobody() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    shop.close(PATIENCE);
    assert_eq!(
        unreachable(call(&shop, *b"").await),
        "this process is shutting down"
    );
}

#[tokio::test]
async fn handlers_in_flight_may_still_call_while_their_process_drains() {
    let world = World::new();
    let back = world.start(world.listening("orders"), echo());
    let (service, gate, mut told) = gated();
    let middle = world.start(world.listening("middle"), service);
    let shop = world.start(world.options("shop"), echo());
    let to_middle = crate::support::place(*b"");
    let waiting = shop.call("middle", to_middle);
    told.recv().await.unwrap();
    let drained = middle.drain();
    let mut onwards = crate::support::place(*b"onwards");
    onwards.caller = "middle".into();
    assert_eq!(
        middle.call("orders", onwards).await,
        Ok(b"onwards".to_vec())
    );
    gate.add_permits(1);
    waiting.await.unwrap();
    drained.await;
    drop(back);
}
