//! A module divided over several processes: partly here, partly remote.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{
    path::Path,
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::BoxStream};
use modulith_kernel::{
    Call, Carried, Environment, Fault, Manifest, Message, Neighbour, Network, Never, Node,
    NodeBuilder, Options, Outcome, Request, Stop, codec,
};
use modulith_testkit::until;
use tokio::time::Instant;

use crate::{
    common::purse::{
        Errand, ListGot, ListPaid, Pay, Payment, Purse, SendPayment, StreamPaid, SumPaid, Till,
        TillSettings, owner,
    },
    partitions::name_in,
};

/// Leads to another node, by the partition that is asked.
#[derive(Default)]
struct Wire {
    replicas: OnceLock<Vec<Weak<Node>>>,
}

impl Network for Wire {
    fn call(&self, call: Call) -> BoxFuture<'static, Result<Vec<u8>, Fault>> {
        let replicas = self.replicas.get();
        let node = replicas.and_then(|replicas| {
            let replica = usize::from(call.partition) % replicas.len();
            replicas[replica].upgrade()
        });
        Box::pin(async move {
            match node {
                Some(node) => Ok(node.serve(call).await),
                None => Err(Fault::Unreachable {
                    module: call.module().to_string(),
                    reason: "its process is not there".to_string(),
                }),
            }
        })
    }

    fn stream(&self, call: Call) -> BoxStream<'static, Result<Vec<u8>, Fault>> {
        let replicas = self.replicas.get().unwrap();
        let replica = usize::from(call.partition) % replicas.len();
        let node = replicas[replica].upgrade().unwrap();
        Box::pin(node.serve_stream(call).map(Ok))
    }
}

fn three() -> Options {
    Options {
        partitions: 3,
        ..Options::default()
    }
}

/// Two processes with the partitions of all modules between them.
fn replicas(folder: &Path) -> Vec<Arc<Node>> {
    let wire = Arc::new(Wire::default());
    let start = |replica| {
        let mut node = NodeBuilder::new(Environment::real(folder));
        node.replica(replica, 2);
        node.host_with::<Purse>((), three());
        node.host_with::<Till>(TillSettings::default(), three());
        node.host_with::<Errand>((), three());
        node.network(wire.clone());
        node.start().unwrap()
    };
    let nodes = vec![start(0), start(1)];
    let weak = nodes.iter().map(Arc::downgrade).collect();
    assert!(wire.replicas.set(weak).is_ok());
    nodes
}

fn on_replicas(scenario: impl AsyncFn(&[Arc<Node>])) {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let nodes = replicas(folder.path());
        scenario(&nodes).await;
        for node in nodes {
            node.stop().await;
        }
    });
}

fn names(node: &Node) -> Vec<String> {
    node.status().into_iter().map(|one| one.module).collect()
}

#[test]
fn partition_p_lives_on_replica_p_mod_n() {
    on_replicas(async |nodes| {
        let of = |module: &str, partitions: &[u16]| {
            let names = partitions.iter().map(|p| format!("{module}/{p}"));
            names.collect::<Vec<_>>()
        };
        let all = |partitions| {
            let modules = ["purse", "till", "errand"];
            modules.map(|module| of(module, partitions)).concat()
        };
        assert_eq!(names(&nodes[0]), all(&[0, 2]));
        assert_eq!(names(&nodes[1]), all(&[1]));
    });
}

#[test]
fn keys_lead_to_partitions_here_and_elsewhere() {
    on_replicas(async |nodes| {
        let mut expected = Vec::new();
        for (replica, errand) in [(0, 0), (0, 2), (1, 1)] {
            for purse in 0..3 {
                let (from, to) = (name_in(purse, 3), name_in(2, 3));
                let send = SendPayment {
                    name: owner(name_in(errand, 3)),
                    pay: Payment {
                        from: owner(from),
                        to: owner(to),
                        amount: i64::from(errand) + 1,
                    },
                };
                let sent = nodes[replica].open_port().ask(send).await;
                assert!(sent.is_ok(), "{sent:?}");
                expected.push((from.to_string(), i64::from(errand) + 1));
            }
        }
        for purse in 0..3_u16 {
            let from = owner(name_in(purse, 3));
            let host = &nodes[usize::from(purse) % 2];
            let paid = host.open_port().ask(ListPaid { from }).await.unwrap();
            assert_eq!(paid, [1, 3, 2]);
            // So do streams, whether the partition is here or elsewhere.
            for (replica, errand) in [(0, 0), (1, 1)] {
                let (name, from) = (owner(name_in(errand, 3)), owner(name_in(purse, 3)));
                let port = nodes[replica].open_port();
                assert_eq!(port.ask(SumPaid { name, from }).await, Ok(6));
            }
        }
        // The events of all three partitions come to the one that they are for.
        let to = owner(name_in(2, 3));
        let settled = || {
            let status: Vec<_> = nodes.iter().flat_map(|node| node.status()).collect();
            let head = |name: &str| status.iter().find(|m| m.module == name).unwrap().events;
            let mut subscriptions = status.iter().flat_map(|module| &module.subscriptions);
            subscriptions.all(|one| one.position == head(&one.publisher))
        };
        until(settled).await;
        let mut got = nodes[0].open_port().ask(ListGot { to }).await.unwrap();
        got.sort();
        expected.sort();
        assert_eq!(got, expected);
    });
}

fn call<R: Message>(request: &R, partition: u16) -> Call {
    Call {
        caller: "errand".into(),
        message: format!("{}.{}", R::MODULE, R::NAME).into(),
        partition,
        id: 7,
        carried: Carried::default(),
        deadline: Instant::now() + Duration::from_secs(60),
        body: codec::encode(request).unwrap(),
    }
}

async fn served<R: Request>(node: &Node, request: &R, partition: u16) -> Outcome<R> {
    let reply = node.serve(call(request, partition)).await;
    codec::decode::<Outcome<R>>(&reply).unwrap()
}

#[test]
fn a_partition_that_is_not_here_is_refused_by_name() {
    on_replicas(async |nodes| {
        let pay = Pay {
            from: owner(name_in(1, 3)),
            to: owner("ann"),
            amount: 1,
        };
        for (partition, of) in [(0, 1), (1, 0), (3, 0), (u16::MAX, 1)] {
            let refused = served(&nodes[of], &pay, partition).await;
            let reason = format!("this process does not host partition {partition} of 3 of it");
            let module = "purse".to_string();
            assert_eq!(
                refused,
                Err(Stop::Fault(Fault::Unreachable { module, reason }))
            );
        }
        assert_eq!(served(&nodes[1], &pay, 1).await, Ok(1));
        // From within, what is not here has no way either.
        let elsewhere = nodes[0].open_port().ask(pay).await;
        assert!(matches!(
            elsewhere,
            Err(Stop::Fault(Fault::Unreachable { .. }))
        ));
    });
}

#[test]
fn a_key_that_came_to_the_wrong_partition_is_refused() {
    on_replicas(async |nodes| {
        let pay = Pay {
            from: owner(name_in(0, 3)),
            to: owner("ann"),
            amount: 1,
        };
        let refused = served(&nodes[0], &pay, 2).await;
        assert_eq!(
            refused,
            Err(Stop::Fault(Fault::Malformed {
                message: "purse.Pay".to_string(),
                reason: "its key belongs to partition 0, and it came to partition 2 of 3"
                    .to_string(),
            }))
        );
    });
}

#[test]
fn a_stream_query_that_came_to_the_wrong_place_is_refused() {
    on_replicas(async |nodes| {
        let from = owner(name_in(0, 3));
        let query = StreamPaid { from };
        let refusal = async |node: usize, call: Call| {
            let items: Vec<_> = nodes[node].serve_stream(call).collect().await;
            assert_eq!(items.len(), 1);
            let item = codec::decode::<Result<i64, Stop<Never>>>(&items[0]).unwrap();
            item.unwrap_err().into_fault().to_string()
        };
        let not_here = refusal(1, call(&query, 0)).await;
        assert!(not_here.contains("partition 0 of 3"), "{not_here}");
        let no_such = refusal(0, call(&query, 3)).await;
        assert!(no_such.contains("partition 3 of 3"), "{no_such}");
        let wrong = refusal(0, call(&query, 2)).await;
        assert!(wrong.contains("came to partition 2 of 3"), "{wrong}");
        let stranger = Call {
            caller: "till".into(),
            ..call(&query, 0)
        };
        let denied = refusal(0, stranger).await;
        assert!(denied.contains("till"), "{denied}");
        // From within, what is not here has no way either.
        let from = owner(name_in(1, 3));
        let absent = nodes[0]
            .open_port()
            .stream(StreamPaid { from })
            .next()
            .await;
        assert!(
            matches!(absent, Some(Err(Stop::Fault(Fault::Unreachable { .. })))),
            "{absent:?}"
        );
    });
}

#[test]
fn a_neighbour_that_is_divided_is_asked_by_partition() {
    let folder = tempfile::tempdir().unwrap();
    actix::System::new().block_on(async {
        let wire = Arc::new(Wire::default());
        let mut node = NodeBuilder::new(Environment::real(folder.path()));
        node.host_with::<Purse>((), three());
        node.neighbour(Manifest::of::<Errand>());
        let purses = node.start().unwrap();
        let mut node = NodeBuilder::new(Environment::real(folder.path()));
        let divided = Neighbour { partitions: 3 };
        node.neighbour_with(Manifest::of::<Purse>(), divided);
        node.host::<Errand>(());
        node.network(wire.clone());
        let errands = node.start().unwrap();
        // The first two partitions lead there, and the third to nobody.
        let purses_at = Arc::downgrade(&purses);
        let laid = vec![purses_at.clone(), purses_at, Weak::new()];
        assert!(wire.replicas.set(laid).is_ok());
        for partition in 0..2 {
            let send = SendPayment {
                name: owner("ann"),
                pay: Payment {
                    from: owner(name_in(partition, 3)),
                    to: owner("ann"),
                    amount: 1,
                },
            };
            assert_eq!(errands.open_port().ask(send).await, Ok(1));
        }
        errands.halt();
        purses.stop().await;
    });
}
