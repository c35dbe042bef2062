//! Processes that are not there, go away and come back.

use std::{
    future::pending,
    net::UdpSocket,
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use modulith_quic::{Call, Incoming, Options, PeerState, StartError};

use crate::support::{World, call, echo, place, service, unreachable};

#[tokio::test]
async fn a_process_nobody_knows_is_unreachable() {
    let world = World::new();
    let shop = world.start(world.options("shop"), echo());
    assert_eq!(
        unreachable(call(&shop, *b"").await),
        "nobody knows process orders"
    );
}

#[tokio::test]
async fn a_process_that_is_down_is_unreachable_long_before_the_deadline() {
    let world = World::new();
    let shop = world.start(world.options("shop"), echo());
    let address = {
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    world.name("orders", address);
    let started = Instant::now();
    let reason = unreachable(call(&shop, *b"").await);
    assert_eq!(
        reason,
        format!("process orders at {address}: connection refused")
    );
    assert!(started.elapsed() < Duration::from_secs(1));
    let status = shop.peers();
    assert_eq!(
        status[0].state,
        PeerState::Disconnected {
            reason: Some(reason)
        }
    );
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_unreachable_after_the_timeout() {
    let world = World::new();
    let mut options = world.options("shop");
    options.timing.connect_timeout = Duration::from_millis(100);
    let shop = world.start(options, echo());
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    world.name("orders", address);
    let reason = unreachable(call(&shop, *b"").await);
    assert_eq!(reason, format!("process orders at {address}: no answer"));
}

// The pauses between attempts are an hour: only news of the address can end one in time.
#[tokio::test]
async fn calls_to_a_process_that_is_expected_wait_and_are_sent_as_soon_as_it_is_there() {
    let world = World::new();
    world.expect("orders");
    let mut options = world.options("shop");
    options.timing.backoff_min = Duration::from_secs(3600);
    options.timing.backoff_max = Duration::from_secs(3600);
    let shop = world.start(options, echo());
    let mut early = call(&shop, *b"early");
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut early);
    assert!(waits.await.is_err(), "nothing was found and nothing failed");
    let late = call(&shop, *b"late");
    let _orders = world.start(world.listening("orders"), echo());
    assert_eq!(early.await, Ok(b"early".to_vec()));
    assert_eq!(late.await, Ok(b"late".to_vec()));
}

#[tokio::test]
async fn calls_wait_for_a_process_that_drained_and_is_not_found_until_it_is_back_elsewhere() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    assert_eq!(call(&shop, *b"before").await, Ok(b"before".to_vec()));
    world.forget("orders");
    orders.drain().await;
    orders.close(Duration::ZERO);
    let mut waiting = call(&shop, *b"waiting");
    let waits = tokio::time::timeout(Duration::from_millis(100), &mut waiting);
    assert!(waits.await.is_err(), "it counts as restarting");
    let _orders = world.start(world.listening("orders"), echo());
    assert_eq!(waiting.await, Ok(b"waiting".to_vec()));
}

#[tokio::test]
async fn calls_wait_for_a_process_that_restarts_at_the_same_address() {
    let world = World::new();
    let (shop, mut orders) = world.pair(echo());
    let listen = orders.address();
    for round in 0..3 {
        assert_eq!(call(&shop, [round]).await, Ok(vec![round]));
        orders.close(Duration::ZERO);
        let waiting = call(&shop, *b"waiting");
        orders = world.start(
            Options {
                listen,
                ..world.options("orders")
            },
            echo(),
        );
        // Sent before the connection was known to be gone, or kept for the next one.
        match waiting.await {
            Ok(body) => assert_eq!(body, b"waiting"),
            lost => assert!(unreachable(lost).contains("it is shutting down")),
        }
    }
}

#[tokio::test]
async fn calls_follow_a_process_to_another_address() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    orders.close(Duration::from_secs(10));
    let waiting = call(&shop, *b"waiting");
    let moved = world.start(world.listening("orders"), echo());
    assert_ne!(moved.address(), orders.address());
    assert_eq!(waiting.await, Ok(b"waiting".to_vec()));
}

#[tokio::test]
async fn an_impatient_call_does_not_wait_for_a_restart() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    orders.close(Duration::from_secs(10));
    let to_orders = shop.destination("orders", "orders");
    let patient = to_orders.call(place("patient"));
    let impatient = to_orders.impatient().call(place("impatient"));
    unreachable(impatient.await);
    let waited = tokio::time::timeout(Duration::ZERO, patient).await;
    assert!(waited.is_err(), "the patient call did not wait: {waited:?}");
}

#[tokio::test]
async fn calls_in_flight_when_the_connection_breaks_are_unreachable() {
    let world = World::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (shop, orders) = world.pair(service(move |_: Incoming| {
        tell.send(()).unwrap();
        pending()
    }));
    let in_flight = call(&shop, *b"");
    told.recv().await.unwrap();
    let address = orders.address().unwrap();
    orders.close(Duration::ZERO);
    let reason = unreachable(in_flight.await);
    assert_eq!(
        reason,
        format!("process orders at {address}: it is shutting down")
    );
}

#[tokio::test]
async fn a_call_that_waits_for_a_restart_still_has_its_deadline() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    orders.close(Duration::from_secs(10));
    let deadline = Instant::now() + Duration::from_millis(100);
    assert_eq!(
        shop.call(
            "orders",
            Call {
                deadline,
                ..place("")
            }
        )
        .await,
        Err(Fault::Late)
    );
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let listen = orders.address();
    let second = world.try_start(
        Options {
            listen,
            ..world.options("payment")
        },
        echo(),
    );
    let error = second.unwrap_err();
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains(&listen.unwrap().to_string()) && text.contains("payment"),
        "{text}"
    );
}
