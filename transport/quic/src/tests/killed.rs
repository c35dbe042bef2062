//! A process that ends without a word, as with `kill -9`.

use std::{
    net::SocketAddr,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use tokio::sync::oneshot;

use super::{At, Echo, call, listening, nowhere, options, start};
use crate::{Options, network, security::Security};

/// An endpoint whose thread can end in the middle of everything.
struct Mortal {
    address: SocketAddr,
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Mortal {
    fn start(options: Options) -> Self {
        let (kill, killed) = oneshot::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let (runtime, prepared, run) = network::prepare(
                &options,
                Arc::new(Echo),
                Arc::new(At(nowhere())),
                Arc::default(),
                &Security::new(&options).unwrap(),
            )
            .unwrap();
            tell.send(prepared.address.unwrap()).unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = run => {}
                    _ = killed => {}
                }
            });
            // Dropping the runtime drops every task and socket where it stands.
        });
        Self {
            address: told.recv().unwrap(),
            kill,
            thread,
        }
    }

    fn kill(self) {
        self.kill.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

#[tokio::test]
async fn its_next_run_tells_the_peers_that_their_connections_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let orders = Mortal::start(listening(folder.path()));
    let address = orders.address;
    let shop = start(options("shop", folder.path()), address);
    assert_eq!(call(&shop, b"before").await, Ok(b"before".to_vec()));
    orders.kill();
    let in_flight = call(&shop, b"in flight");
    let started = Instant::now();
    let listen = Some(address);
    let _orders = Mortal::start(Options {
        listen,
        ..listening(folder.path())
    });
    match in_flight.await {
        Err(Fault::Unreachable { reason, .. }) => {
            assert_eq!(
                reason,
                format!("process orders at {address}: it was restarted")
            );
        }
        other => panic!("expected a broken connection, found {other:?}"),
    }
    assert_eq!(call(&shop, b"after").await, Ok(b"after".to_vec()));
    let waited = started.elapsed();
    assert!(
        waited < Duration::from_secs(5),
        "the idle timeout is 15 s, this took {waited:?}"
    );
}

#[tokio::test]
async fn a_late_call_finds_out_that_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let orders = Mortal::start(listening(folder.path()));
    let address = orders.address;
    let shop = start(options("shop", folder.path()), address);
    assert_eq!(call(&shop, b"before").await, Ok(b"before".to_vec()));
    orders.kill();
    let stuck = call(&shop, b"stuck");
    let late = shop.call(
        "orders",
        crate::Call {
            caller: "shop".into(),
            message: "orders.Place".into(),
            message_id: 2,
            partition: 0,
            priority: 2,
            baggage: Vec::new(),
            deadline: Instant::now() + Duration::from_millis(50),
            body: Vec::new(),
        },
    );
    assert_eq!(late.await, Err(Fault::Late));
    let gone = format!("process orders at {address}: connection refused");
    match stuck.await {
        Err(Fault::Unreachable { reason, .. }) => assert_eq!(reason, gone),
        other => panic!("expected a broken connection, found {other:?}"),
    }
}
