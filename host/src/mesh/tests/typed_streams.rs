//! Stream queries as modules ask them, between real nodes: over QUIC, by partition.

use std::path::Path;

use futures_util::{
    Stream, StreamExt,
    stream::{iter, once},
};
use modulith_kernel::{
    AnswerStream, Command, Context, Declaration, Environment, Handle, Module, Neighbour, Never,
    Node, NodeBuilder, Options as ModuleOptions, Outcome as Answered, Port, Query, Setup,
    SetupError, Stop, Table as Rows, Tx, partition_of,
};
use serde::{Deserialize, Serialize};

use super::*;
use crate::process::connect;

/// Adds to a list.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "lists", key = name)]
struct Add {
    name: String,
    number: u32,
}

/// What is on a list, from the first to the last.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "lists", key = name, stream = u32)]
struct Read {
    name: String,
}

/// Also in the contract, but the reader does not declare that it asks it.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "lists", key = name, stream = u32)]
struct Peek {
    name: String,
}

const NUMBERS: Rows<(String, u32), ()> = Rows::new("numbers");

struct Lists;

impl Module for Lists {
    const NAME: &'static str = "lists";
    type Settings = ();

    fn new((): &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Add>()
            .streams::<Read>()
            .streams::<Peek>();
    }
}

impl Handle<Add> for Lists {
    fn handle(&self, Add { name, number }: Add, tx: &mut Tx<'_>) -> Answered<Add> {
        Ok(tx.put(&NUMBERS, &(name, number), &())?)
    }
}

impl AnswerStream<Read> for Lists {
    fn stream(
        &self,
        Read { name }: Read,
        context: &Context,
    ) -> impl Stream<Item = Result<u32, Stop<Never>>> + Send + 'static {
        let rows = context
            .snapshot()
            .and_then(|snapshot| snapshot.range(&NUMBERS, .., usize::MAX));
        match rows {
            Ok(rows) => {
                let own = rows.into_iter().filter(move |((of, _), ())| *of == name);
                iter(own.map(|((_, number), ())| Ok(number))).left_stream()
            }
            Err(fault) => once(async { Err(fault.into()) }).right_stream(),
        }
    }
}

impl AnswerStream<Peek> for Lists {
    fn stream(
        &self,
        _: Peek,
        _: &Context,
    ) -> impl Stream<Item = Result<u32, Stop<Never>>> + Send + 'static {
        iter([])
    }
}

/// Asks the lists, which are elsewhere.
struct Reader;

impl Module for Reader {
    const NAME: &'static str = "reader";
    type Settings = ();

    fn new((): &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.asks::<Add>().asks_stream::<Read>();
    }
}

const PARTITIONS: u16 = 2;

/// `shop` has the reader; each of two instances of `orders` has one partition of the lists.
fn config(data: &Path) -> Config {
    Config {
        application: "boutique".to_string(),
        data: data.to_path_buf(),
        encode_always: false,
        processes: vec![
            process("shop", &["reader"], 1),
            process("orders", &["lists"], PARTITIONS),
        ],
        traffic: vec![],
        tag_header: None,
        pki: None,
        partitions: BTreeMap::from([("lists", PARTITIONS)]),
        file: None,
    }
}

/// An instance of `orders`: its node, and the endpoint that leads to it.
fn orders(config: &Config, names: &Arc<Table>, replica: u16) -> (Arc<Node>, Endpoint) {
    let mut node = NodeBuilder::new(Environment::real(&config.data));
    node.replica(replica, PARTITIONS);
    let divided = ModuleOptions {
        partitions: PARTITIONS,
        ..ModuleOptions::default()
    };
    node.host_with::<Lists>((), divided);
    node.neighbour(Manifest::of::<Reader>());
    let node = node.start().unwrap();
    let process = config.process("orders").unwrap();
    let endpoint = connect(config, process, &["lists"], &node, names.clone()).unwrap();
    let address = endpoint.address().unwrap();
    let mut names = names.0.lock().unwrap();
    names.insert(format!("orders.{replica}"), address);
    drop(names);
    (node, endpoint)
}

/// The node of `shop`, which reaches the lists through a mesh.
fn shop(config: &Config, names: &Arc<Table>) -> Arc<Node> {
    let manifests = [Manifest::of::<Reader>(), Manifest::of::<Lists>()];
    let mesh = Arc::new(Mesh::new(config, &manifests));
    let mut node = NodeBuilder::new(Environment::real(&config.data));
    node.host::<Reader>(());
    let divided = Neighbour {
        partitions: PARTITIONS,
    };
    node.neighbour_with(Manifest::of::<Lists>(), divided);
    node.network(mesh.clone());
    let node = node.start().unwrap();
    let process = config.process("shop").unwrap();
    let endpoint = connect(config, process, &["reader"], &node, names.clone()).unwrap();
    mesh.connect(Arc::new(endpoint));
    mesh.know_configured(&config.processes);
    node
}

fn partition(name: &str) -> u32 {
    let mut key = Vec::new();
    modulith_kernel::Key::write(&name.to_string(), &mut key);
    partition_of(&key, PARTITIONS.into())
}

async fn read(port: &Port, name: &str) -> Vec<Result<u32, Stop<Never>>> {
    let name = name.to_string();
    port.stream_within(Read { name }, PATIENCE).collect().await
}

#[test]
fn a_stream_query_is_answered_by_the_instance_that_has_the_partition_of_its_key() {
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let names = Arc::default();
        let nodes = [0, 1].map(|replica| orders(&config, &names, replica));
        let shop = shop(&config, &names);
        let port = shop.port("reader").unwrap();
        let lists = ["ann", "ben", "cleo", "dora", "ed", "fay"];
        assert!((0..2).all(|it| lists.iter().any(|name| partition(name) == it)));
        for (count, name) in (100..).zip(lists) {
            for number in 0..count {
                let name = name.to_string();
                let added = port.ask_within(Add { name, number }, PATIENCE).await;
                assert_eq!(added, Ok(()));
            }
        }
        for (count, name) in (100..).zip(lists) {
            assert_eq!(
                read(&port, name).await,
                (0..count).map(Ok).collect::<Vec<_>>()
            );
        }
        assert_eq!(read(&port, "nobody").await, []);
        for (partition, (node, _)) in (0..).zip(&nodes) {
            let status = node.status();
            let named: Vec<_> = status.iter().map(|one| one.module.as_str()).collect();
            assert_eq!(named, [format!("lists/{partition}")]);
            assert!(status[0].queries >= 1);
        }
        stop(shop, nodes).await;
    });
}

#[test]
fn a_stream_query_that_is_not_declared_is_denied() {
    actix_rt::System::new().block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path());
        let names = Arc::default();
        let nodes = [0, 1].map(|replica| orders(&config, &names, replica));
        let shop = shop(&config, &names);
        let name = "ann".to_string();
        let denied = shop
            .port("reader")
            .unwrap()
            .stream(Peek { name })
            .next()
            .await;
        assert!(
            matches!(denied, Some(Err(Stop::Fault(Fault::Denied { .. })))),
            "{denied:?}"
        );
        stop(shop, nodes).await;
    });
}

async fn stop(shop: Arc<Node>, nodes: [(Arc<Node>, Endpoint); 2]) {
    shop.stop().await;
    for (node, endpoint) in nodes {
        endpoint.close(Duration::ZERO);
        node.stop().await;
    }
}
