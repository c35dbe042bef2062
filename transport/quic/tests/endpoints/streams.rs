//! Answers that are streams of items.

use std::{
    num::NonZeroUsize,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::{
    Stream, StreamExt,
    stream::{iter, once, pending},
};
use modulith_contract::Fault;
use modulith_quic::{
    Call, Endpoint, Incoming, ItemStream, Limits, Options, ServeFuture, ServeStream, Service,
};
use tokio::{
    sync::{Barrier, Notify, watch},
    time::timeout,
};

use crate::{
    support::{Outcome, PATIENCE, World, call, echo, place, unreachable},
    threads::attached,
};

/// Answers with items made by a closure, and echoes what wants one reply.
struct Streaming<F>(F);

impl<F, S> Service for Streaming<F>
where
    F: Fn(Incoming) -> S + Send + Sync + 'static,
    S: Stream<Item = Vec<u8>> + Send + 'static,
{
    fn serve(&self, request: Incoming) -> ServeFuture {
        Box::pin(async move { request.body })
    }

    fn stream(&self, request: Incoming) -> Option<ServeStream> {
        Some(Box::pin((self.0)(request)))
    }
}

fn streaming<F, S>(make: F) -> Arc<dyn Service>
where
    F: Fn(Incoming) -> S + Send + Sync + 'static,
    S: Stream<Item = Vec<u8>> + Send + 'static,
{
    Arc::new(Streaming(make))
}

/// Items of this many bytes without end, counted as they are made.
fn endless(bytes: usize, made: &Arc<AtomicUsize>) -> impl Stream<Item = Vec<u8>> + Send + use<> {
    let made = Arc::clone(made);
    iter(std::iter::repeat_with(move || {
        made.fetch_add(1, SeqCst);
        vec![7; bytes]
    }))
}

fn stream(shop: &Endpoint, body: impl Into<Vec<u8>>) -> ItemStream {
    shop.stream("orders", place(body))
}

async fn all(items: ItemStream) -> Vec<Outcome> {
    timeout(PATIENCE, items.collect()).await.unwrap()
}

async fn next(items: &mut ItemStream) -> Option<Outcome> {
    timeout(PATIENCE, items.next()).await.unwrap()
}

/// Waits for what the network threads do.
async fn until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !reached() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn ten_thousand_items_come_in_order_and_then_the_end() {
    let world = World::new();
    let count = |request: Incoming| {
        let count = u32::from_le_bytes(request.body.try_into().unwrap());
        iter(0..count).map(|at| at.to_le_bytes().to_vec())
    };
    let (shop, _orders) = world.pair(streaming(count));
    let items = all(stream(&shop, 10_000u32.to_le_bytes())).await;
    let expected: Vec<_> = (0..10_000u32)
        .map(|at| Ok(at.to_le_bytes().to_vec()))
        .collect();
    assert!(items == expected);
    assert_eq!(all(stream(&shop, 0u32.to_le_bytes())).await, []);
}

#[tokio::test]
async fn items_and_questions_of_any_size_up_to_the_limit_come_through() {
    let world = World::new();
    let sizes = [0, 1, (16 << 10) - 1, 16 << 10, 70_000, 1 << 20, 16 << 20];
    let (shop, _orders) = world.pair(streaming(move |request: Incoming| {
        let filler = *request.body.last().unwrap();
        iter(sizes).map(move |bytes| vec![filler; bytes])
    }));
    for question_bytes in [1, 100_000] {
        let items = all(stream(&shop, vec![5; question_bytes])).await;
        let expected: Vec<_> = sizes.iter().map(|bytes| Ok(vec![5; *bytes])).collect();
        assert!(items == expected, "{question_bytes} bytes");
    }
}

#[tokio::test]
async fn the_service_sees_who_asks_what() {
    let world = World::new();
    let (shop, _orders) = world.pair(streaming(|request: Incoming| {
        let seen = format!(
            "{} {} {}",
            request.peer.process, request.caller, request.message
        );
        once(async move { seen.into_bytes() })
    }));
    let expected = b"shop shop orders.Place".to_vec();
    assert_eq!(all(stream(&shop, *b"")).await, [Ok(expected)]);
}

#[tokio::test]
async fn an_item_over_the_limit_ends_the_stream_with_that_fault() {
    let world = World::new();
    let limits = Limits {
        body_bytes_max: 1000,
        ..Limits::default()
    };
    let small = |options: Options| Options {
        limits: limits.clone(),
        ..options
    };
    let make = |_| iter([1000, 1001, 1]).map(|bytes| vec![0; bytes]);
    let _orders = world.start(small(world.listening("orders")), streaming(make));
    let shop = world.start(small(world.options("shop")), echo());
    let fault = Fault::TooLarge {
        bytes: 1001,
        bytes_max: 1000,
    };
    assert_eq!(
        all(stream(&shop, *b"")).await,
        [Ok(vec![0; 1000]), Err(fault)]
    );
}

#[tokio::test]
async fn a_maker_that_panics_ends_its_stream_and_nothing_else() {
    let world = World::new();
    let make = |request: Incoming| {
        assert!(request.body != b"at once");
        iter(0..).map(|at| {
            assert!(at < 2, "as this test wants it");
            vec![at]
        })
    };
    let (shop, _orders) = world.pair(streaming(make));
    let module = "orders".to_owned();
    let panicked = Err(Fault::Panicked { module });
    let items = all(stream(&shop, *b"later")).await;
    assert_eq!(items, [Ok(vec![0]), Ok(vec![1]), panicked.clone()]);
    assert_eq!(all(stream(&shop, *b"at once")).await, [panicked]);
    assert_eq!(call(&shop, *b"hello").await, Ok(b"hello".to_vec()));
}

#[tokio::test]
async fn a_process_that_streams_nothing_says_so() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let stopped = Fault::Stopped {
        module: "orders".to_owned(),
        reason: "this process streams no answers".to_owned(),
    };
    assert_eq!(all(stream(&shop, *b"")).await, [Err(stopped)]);
}

#[tokio::test]
async fn a_taker_that_pauses_pauses_the_maker() {
    let world = World::new();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let (shop, _orders) = world.pair(streaming(move |_| endless(16 << 10, &counted)));
    let mut items = stream(&shop, *b"");
    next(&mut items).await.unwrap().unwrap();
    // Small calls go to and fro long after the window is full.
    for _ in 0..200 {
        call(&shop, *b"hello").await.unwrap();
    }
    // 11 of them fill the window of 176 KiB, and a few more are in hands on either side.
    let paused_at = made.load(SeqCst);
    assert!(paused_at < 40, "{paused_at} items made, 1 taken");
    for _ in 0..500 {
        next(&mut items).await.unwrap().unwrap();
    }
    let ahead = made.load(SeqCst) - 500;
    assert!(ahead < 40, "{ahead} items ahead");
}

/// Two streams that nobody read used to be enough to use up the credit of the whole connection;
/// then no small call went through either. Here as many as may be open are full to the brim.
#[tokio::test]
async fn streams_that_stand_still_hold_nothing_else_up() {
    let world = World::new();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let (shop, _orders) = world.pair(streaming(move |_| endless(64 << 10, &counted)));
    let streams = Limits::default().streams_in_flight_max as usize;
    let mut stalled = Vec::new();
    for _ in 0..streams {
        let mut items = stream(&shop, *b"");
        next(&mut items).await.unwrap().unwrap();
        stalled.push(items);
    }
    // Each has filled its window of 176 KiB.
    until("all windows are full", || made.load(SeqCst) >= streams * 3).await;
    for _ in 0..1000 {
        assert_eq!(call(&shop, *b"hello").await, Ok(b"hello".to_vec()));
    }
    let body = vec![3; 1 << 20];
    for _ in 0..20 {
        assert!(call(&shop, body.clone()).await == Ok(body.clone()));
    }
    // One more is one too many; when one ends, there is room again.
    let overloaded = Fault::Overloaded {
        module: "orders".to_owned(),
        retry_after_ms: 10,
    };
    assert_eq!(all(stream(&shop, *b"")).await, [Err(overloaded)]);
    stalled.pop();
    let deadline = Instant::now() + PATIENCE;
    while next(&mut stream(&shop, *b"")).await.unwrap().is_err() {
        assert!(Instant::now() < deadline, "there is room again");
    }
    // And those that stood still go on.
    for items in &mut stalled {
        for _ in 0..50 {
            next(items).await.unwrap().unwrap();
        }
    }
}

/// Tells when it is dropped.
struct Watched<S>(Pin<Box<S>>, Arc<Notify>);

impl<S: Stream> Stream for Watched<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<S> Drop for Watched<S> {
    fn drop(&mut self) {
        self.1.notify_one();
    }
}

#[tokio::test]
async fn a_taker_that_leaves_ends_the_making() {
    let world = World::new();
    let dropped = Arc::new(Notify::new());
    let watched = Arc::clone(&dropped);
    let make = move |request: Incoming| {
        let items = iter([b"first".to_vec()]).chain(match &request.body[..] {
            b"busy" => iter(std::iter::repeat(vec![0; 1000])).boxed(),
            _ => pending().boxed(),
        });
        Watched(Box::pin(items), Arc::clone(&watched))
    };
    let (shop, orders) = world.pair(streaming(make));
    for maker in [&b"busy"[..], b"idle"] {
        let mut items = stream(&shop, maker);
        assert_eq!(next(&mut items).await, Some(Ok(b"first".to_vec())));
        drop(items);
        timeout(PATIENCE, dropped.notified()).await.unwrap();
        // One that was never taken from is not made for long either.
        drop(stream(&shop, maker));
        call(&shop, *b"after it").await.unwrap();
    }
    until("nothing is in flight", || {
        orders.peers().iter().all(|peer| peer.in_flight == 0)
            && shop.peers().iter().all(|peer| peer.in_flight == 0)
    })
    .await;
}

#[tokio::test]
async fn a_process_that_dies_ends_its_streams_with_a_fault() {
    let world = World::new();
    let make = |_| iter(vec![vec![1], vec![2]]).chain(pending());
    let (shop, orders) = world.pair(streaming(make));
    let mut items = stream(&shop, *b"");
    assert_eq!(next(&mut items).await, Some(Ok(vec![1])));
    orders.close(Duration::ZERO);
    assert_eq!(next(&mut items).await, Some(Ok(vec![2])));
    unreachable(next(&mut items).await.unwrap());
    assert_eq!(next(&mut items).await, None, "nothing follows");
}

#[tokio::test]
async fn a_process_that_stops_calling_ends_what_it_takes() {
    let world = World::new();
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let (shop, orders) = world.pair(streaming(move |_| endless(1000, &counted)));
    let mut items = stream(&shop, *b"");
    next(&mut items).await.unwrap().unwrap();
    shop.close(Duration::ZERO);
    let rest = all(items).await;
    unreachable(rest.last().unwrap().clone());
    until("its peer has noticed", || orders.peers().is_empty()).await;
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_late() {
    let world = World::new();
    // Found, but nobody is there.
    let silent = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    world.name("orders", silent.local_addr().unwrap());
    let shop = world.start(world.options("shop"), echo());
    let late = Call {
        deadline: Instant::now() + Duration::from_millis(50),
        ..place(*b"")
    };
    assert_eq!(all(shop.stream("orders", late)).await, [Err(Fault::Late)]);
}

#[tokio::test]
async fn a_stream_outlasts_the_deadline_by_which_it_had_to_begin() {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let make = move |_| {
        let gate = Arc::clone(&opened);
        iter([vec![1]]).chain(once(async move {
            gate.notified().await;
            vec![2]
        }))
    };
    let (shop, _orders) = world.pair(streaming(make));
    let deadline = Instant::now() + Duration::from_secs(2);
    let question = Call {
        deadline,
        ..place(*b"")
    };
    let mut items = shop.stream("orders", question);
    assert_eq!(next(&mut items).await, Some(Ok(vec![1])));
    tokio::time::sleep_until(deadline.into()).await;
    call(&shop, *b"time passes for the network thread too")
        .await
        .unwrap();
    gate.notify_one();
    assert_eq!(all(items).await, [Ok(vec![2])]);
}

#[tokio::test]
async fn draining_waits_for_streams_and_closing_no_longer_than_its_bound() {
    let world = World::new();
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let make = move |request: Incoming| {
        let gate = Arc::clone(&opened);
        iter([vec![1]]).chain(once(async move {
            if request.body == b"forever" {
                std::future::pending::<()>().await;
            }
            gate.notified().await;
            vec![2]
        }))
    };
    let (shop, orders) = world.pair(streaming(make));
    let mut items = stream(&shop, *b"");
    assert_eq!(next(&mut items).await, Some(Ok(vec![1])));
    let drained = tokio::spawn(orders.drain());
    // The peer heard that it is asked to go, for it has closed its side to new requests.
    unreachable_soon(&shop).await;
    assert!(!drained.is_finished());
    gate.notify_one();
    assert_eq!(all(items).await, [Ok(vec![2])]);
    timeout(PATIENCE, drained).await.unwrap().unwrap();

    let world = World::new();
    let (shop, orders) = world.pair(streaming(|_| iter([vec![1]]).chain(pending())));
    let mut items = stream(&shop, *b"");
    assert_eq!(next(&mut items).await, Some(Ok(vec![1])));
    let closing = tokio::task::spawn_blocking(move || orders.close(Duration::from_millis(50)));
    timeout(PATIENCE, closing).await.unwrap().unwrap();
    unreachable(next(&mut items).await.unwrap());
}

#[tokio::test]
async fn threads_with_connections_of_their_own_take_streams_and_finish_them_before_they_leave() {
    let world = World::new();
    let orders = Options {
        threads: NonZeroUsize::new(3).unwrap(),
        ..world.listening("orders")
    };
    let numbered = |_| iter((0..1000_u32).map(|number| number.to_le_bytes().to_vec()));
    let orders = world.start(orders, streaming(numbered));
    let shop = world.start(world.options("shop"), echo());
    let begun = Arc::new(Barrier::new(5));
    let (tell, detached) = watch::channel(false);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (begun, mut detached) = (Arc::clone(&begun), detached.clone());
            attached(&shop, async move |shop| {
                let mut items = stream(&shop, *b"");
                let first = next(&mut items).await;
                begun.wait().await;
                let rest = all(items).await;
                detached.wait_for(|it| *it).await.unwrap();
                first.into_iter().chain(rest).collect::<Vec<_>>()
            })
        })
        .collect();
    begun.wait().await;
    timeout(PATIENCE, shop.detach()).await.unwrap();
    tell.send(true).unwrap();
    for worker in workers {
        let expected = (0..1000_u32).map(|number| Ok(number.to_le_bytes().to_vec()));
        let came = tokio::task::spawn_blocking(|| worker.join().unwrap());
        assert!(came.await.unwrap().into_iter().eq(expected));
    }
    // What such a thread would call now goes through the endpoint's own.
    assert_eq!(all(stream(&shop, *b"")).await.len(), 1000);
    orders.close(PATIENCE);
}

/// Calls until the connection takes no new ones.
async fn unreachable_soon(shop: &Endpoint) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let soon = Call {
            deadline: Instant::now() + Duration::from_millis(200),
            ..place(*b"new")
        };
        if shop.call("orders", soon).await.is_err() {
            return;
        }
        assert!(Instant::now() < deadline, "the peer goes away");
    }
}
