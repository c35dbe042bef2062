//! Calls that take too long, and calls that nobody waits for any more.

use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use modulith_quic::{Call, Incoming, Service};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::support::{World, call, place, service};

/// Tells when it is dropped.
struct Watched(tokio::sync::mpsc::UnboundedSender<&'static str>);

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.send("dropped");
    }
}

/// Never answers `forever`; reports when such a handler starts and when it is dropped.
fn stuck() -> (Arc<dyn Service>, UnboundedReceiver<&'static str>) {
    let (tell, told) = unbounded_channel();
    let service = service(move |request: Incoming| {
        let tell = tell.clone();
        async move {
            if request.body.starts_with(b"forever") {
                tell.send("started").unwrap();
                let _watched = Watched(tell);
                pending::<()>().await;
            }
            request.body
        }
    });
    (service, told)
}

fn soon(body: impl Into<Vec<u8>>) -> Call {
    Call {
        deadline: Instant::now() + Duration::from_millis(50),
        ..place(body)
    }
}

#[tokio::test]
async fn a_call_is_late_at_its_deadline_and_its_handler_dropped() {
    let world = World::new();
    let (service, mut told) = stuck();
    let (shop, _orders) = world.pair(service);
    call(&shop, *b"connect").await.unwrap();
    let started = Instant::now();
    assert_eq!(
        shop.call("orders", soon(*b"forever")).await,
        Err(Fault::Late)
    );
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(40), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
    assert_eq!(told.recv().await, Some("started"));
    assert_eq!(told.recv().await, Some("dropped"));
    assert_eq!(call(&shop, *b"after").await, Ok(b"after".to_vec()));
}

#[tokio::test]
async fn each_call_keeps_its_own_deadline() {
    let world = World::new();
    let (service, _told) = stuck();
    let (shop, _orders) = world.pair(service);
    let long = shop.call(
        "orders",
        Call {
            deadline: Instant::now() + Duration::from_millis(300),
            ..place(*b"forever")
        },
    );
    let short = shop.call("orders", soon(*b"forever"));
    let started = Instant::now();
    assert_eq!(short.await, Err(Fault::Late));
    assert!(started.elapsed() < Duration::from_millis(250));
    assert_eq!(long.await, Err(Fault::Late));
    assert!(started.elapsed() >= Duration::from_millis(250));
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    let world = World::new();
    let (service, mut told) = stuck();
    let (shop, _orders) = world.pair(service);
    let forever = call(&shop, *b"forever");
    assert_eq!(told.recv().await, Some("started"));
    drop(forever);
    assert_eq!(told.recv().await, Some("dropped"));
    assert_eq!(call(&shop, *b"after").await, Ok(b"after".to_vec()));
}

#[tokio::test]
async fn dropping_a_call_with_a_large_body_harms_no_other() {
    let world = World::new();
    let (service, _told) = stuck();
    let (shop, _orders) = world.pair(service);
    for _ in 0..20 {
        drop(call(&shop, vec![1; 8 << 20]));
        assert_eq!(call(&shop, *b"after").await, Ok(b"after".to_vec()));
    }
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_is_not_started() {
    let world = World::new();
    let (service, mut told) = stuck();
    let (shop, _orders) = world.pair(service);
    let late = Call {
        deadline: Instant::now(),
        ..place(*b"forever")
    };
    assert_eq!(shop.call("orders", late).await, Err(Fault::Late));
    call(&shop, *b"after").await.unwrap();
    assert!(told.try_recv().is_err(), "no handler was started");
}
