//! Requests and replies, small and large, few and many.

use std::sync::Arc;

use modulith_contract::Fault;
use modulith_quic::{Incoming, Limits, Options, PeerState, Side};

use crate::support::{World, call, echo, place, service};

#[tokio::test]
async fn a_reply_comes_back() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    assert_eq!(call(&shop, *b"hello").await, Ok(b"hello".to_vec()));
    assert_eq!(call(&shop, *b"").await, Ok(Vec::new()));
}

#[tokio::test]
async fn the_service_sees_who_asks_what() {
    let world = World::new();
    let (shop, _orders) = world.pair(service(|request: Incoming| async move {
        let Incoming {
            peer,
            caller,
            message,
            message_id,
            ..
        } = request;
        format!(
            "{} {:?} {caller} {message} {message_id}",
            peer.process, peer.modules
        )
        .into()
    }));
    let seen = call(&shop, *b"").await.unwrap();
    assert_eq!(
        String::from_utf8(seen).unwrap(),
        r#"shop ["shop"] shop orders.Place 7"#
    );
}

#[tokio::test]
async fn bodies_of_any_size_up_to_the_limit_come_back() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let frame = Limits::default().frame_bytes_max as usize;
    for bytes in [1, frame - 33, frame - 32, frame, 1 << 20, 16 << 20] {
        let body: Vec<u8> = (0..bytes).map(|at| at as u8).collect();
        assert!(
            call(&shop, body.clone()).await.unwrap() == body,
            "{bytes} bytes"
        );
    }
}

#[tokio::test]
async fn large_bodies_travel_beside_each_other_and_small_ones() {
    // Streams used to be opened before their announcement was written to the lane. With enough of
    // them the connection's flow-control credit was gone, the announcements could not be sent,
    // and all waited for each other.
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let calls: Vec<_> = (0..96u8)
        .map(|at| (at, if at % 2 == 0 { 1 << 20 } else { 10 }))
        .map(|(at, bytes)| (at, bytes, call(&shop, vec![at; bytes])))
        .collect();
    for (at, bytes, call) in calls {
        assert!(call.await.unwrap() == vec![at; bytes], "call {at}");
    }
}

#[tokio::test]
async fn ten_thousand_calls_at_once_get_their_own_replies() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let calls: Vec<_> = (0..10_000u32)
        .map(|at| (at, call(&shop, at.to_le_bytes())))
        .collect();
    for (at, call) in calls {
        assert_eq!(call.await, Ok(at.to_le_bytes().to_vec()));
    }
}

#[tokio::test]
async fn calls_from_many_threads_get_their_own_replies() {
    let world = World::new();
    let (shop, _orders) = world.pair(service(|request: Incoming| async move {
        // Not ready at once, so that it becomes a task.
        tokio::task::yield_now().await;
        request.body
    }));
    let threads: Vec<_> = (0..4u32)
        .map(|thread| {
            let shop = Arc::clone(&shop);
            tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                for at in 0..200u32 {
                    let body = [thread.to_le_bytes(), at.to_le_bytes()].concat();
                    assert_eq!(runtime.block_on(call(&shop, body.clone())), Ok(body));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.await.unwrap();
    }
}

#[tokio::test]
async fn more_than_the_lane_takes_at_once_is_sent_in_turns() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    // Each fits a frame; together they are several times what may wait to be written.
    let body = vec![7; 60_000];
    let asked: Vec<_> = (0..200).map(|_| call(&shop, body.clone())).collect();
    for asked in asked {
        assert_eq!(asked.await, Ok(body.clone()));
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_sent() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let outcome = call(&shop, vec![0; (16 << 20) + 1]).await;
    let expected = Fault::TooLarge {
        bytes: (16 << 20) + 1,
        bytes_max: 16 << 20,
    };
    assert_eq!(outcome, Err(expected));
    assert_eq!(shop.peers(), [], "nobody was dialled");
}

#[tokio::test]
async fn a_body_over_the_limit_of_the_other_side_is_refused_there() {
    let world = World::new();
    let limits = Limits {
        body_bytes_max: 1 << 20,
        ..Limits::default()
    };
    let _orders = world.start(
        Options {
            limits,
            ..world.listening("orders")
        },
        echo(),
    );
    let shop = world.start(world.options("shop"), echo());
    let outcome = call(&shop, vec![0; 2 << 20]).await;
    assert_eq!(
        outcome,
        Err(Fault::TooLarge {
            bytes: 2 << 20,
            bytes_max: 1 << 20
        })
    );
    assert_eq!(call(&shop, *b"fits").await, Ok(b"fits".to_vec()));
}

#[tokio::test]
async fn a_reply_over_the_limit_is_a_fault_for_its_caller_only() {
    let world = World::new();
    let (shop, _orders) = world.pair(service(|request: Incoming| async move {
        if request.body.is_empty() {
            vec![0; (16 << 20) + 1]
        } else {
            request.body
        }
    }));
    let outcome = call(&shop, *b"").await;
    let expected = Fault::TooLarge {
        bytes: (16 << 20) + 1,
        bytes_max: 16 << 20,
    };
    assert_eq!(outcome, Err(expected));
    assert_eq!(call(&shop, *b"fits").await, Ok(b"fits".to_vec()));
}

#[tokio::test]
async fn a_panic_in_a_handler_fails_that_call_only() {
    let world = World::new();
    let (shop, _orders) = world.pair(service(|request: Incoming| async move {
        match &request.body[..] {
            b"now" => panic!("on purpose, at once"),
            b"later" => {
                tokio::task::yield_now().await;
                panic!("on purpose, later");
            }
            _ => request.body,
        }
    }));
    for body in ["now", "later"] {
        let outcome = call(&shop, body).await;
        assert_eq!(
            outcome,
            Err(Fault::Panicked {
                module: "orders".into()
            })
        );
    }
    assert_eq!(call(&shop, *b"fine").await, Ok(b"fine".to_vec()));
}

#[tokio::test]
async fn a_module_the_process_does_not_host_may_not_ask() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let outcome = shop
        .call(
            "orders",
            modulith_quic::Call {
                caller: "payment".into(),
                ..place("")
            },
        )
        .await;
    let expected = Fault::Denied {
        caller: "payment".into(),
        message: "orders.Place".into(),
    };
    assert_eq!(outcome, Err(expected));
}

#[tokio::test]
async fn a_message_the_other_process_does_not_know_is_a_mismatch() {
    let world = World::new();
    let (shop, _orders) = world.pair(echo());
    let outcome = shop
        .call(
            "orders",
            modulith_quic::Call {
                message: "orders.New".into(),
                ..place("")
            },
        )
        .await;
    assert_eq!(
        outcome,
        Err(Fault::Mismatch {
            message: "orders.New".into()
        })
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let world = World::new();
    let _orders = world.start(world.listening("orders"), echo());
    let options = Options {
        calls_waiting_max: 2,
        ..world.options("shop")
    };
    let shop = world.start(options, echo());
    // Connecting takes round trips, so none of these has left the queue yet.
    let calls: Vec<_> = (0..3).map(|_| call(&shop, *b"")).collect();
    let mut outcomes = Vec::new();
    for call in calls {
        outcomes.push(call.await);
    }
    assert_eq!(outcomes[..2], [Ok(Vec::new()), Ok(Vec::new())]);
    assert!(
        matches!(&outcomes[2], Err(Fault::Overloaded { .. })),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn status_shows_both_ends_of_a_connection() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    call(&shop, *b"").await.unwrap();
    let ours = shop.peers();
    assert_eq!((&*ours[0].process, ours[0].side), ("orders", Side::Dialled));
    let PeerState::Connected { address, rtt } = &ours[0].state else {
        panic!("{ours:?}")
    };
    assert_eq!(Some(*address), orders.address());
    assert!(!rtt.is_zero());
    let theirs = orders.peers();
    assert_eq!(
        (&*theirs[0].process, theirs[0].side),
        ("shop", Side::Accepted)
    );
}
