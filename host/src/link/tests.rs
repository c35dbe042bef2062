//! Streams through two nodes and the network between them.

use std::{path::Path, time::Duration};

use futures_util::StreamExt;
use modulith_kernel::{Environment, NodeBuilder, Stop, codec};
use modulith_quic::{Authority, MessageSchema, Options};

use super::*;
use crate::config::{LOOPBACK_ANY, ProcessConfig};

/// `shop`, which asks, and `orders`, which answers.
fn config(data: &Path) -> Config {
    let process = |name: &str, module: &'static str| ProcessConfig {
        name: name.to_owned(),
        modules: vec![module],
        http: None,
        quic: None,
        admin: LOOPBACK_ANY,
    };
    Config {
        application: "boutique".to_owned(),
        data: data.to_owned(),
        encode_always: false,
        processes: vec![process("shop", "cart"), process("orders", "checkout")],
        file: None,
    }
}

struct Found(SocketAddr);

impl Names for Found {
    fn resolve(&self, _: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        Ok(vec![self.0])
    }
}

fn endpoint(process: &ProcessConfig, data: &Path, node: &Arc<Node>, names: Found) -> Endpoint {
    let authority = Authority::open(data).unwrap();
    let mut options = Options::new("boutique", &process.name, authority);
    options.modules = vec![process.modules[0].to_owned()];
    options.messages = vec![MessageSchema {
        name: "checkout.ListOrders".to_owned(),
        fingerprint: 1,
    }];
    options.listen = Some(LOOPBACK_ANY);
    let node = Arc::downgrade(node);
    Endpoint::start(options, Arc::new(Reception { node }), Arc::new(names)).unwrap()
}

fn call(message: &str) -> Call {
    Call {
        caller: "cart".into(),
        message: message.into(),
        partition: 0,
        id: 0,
        carried: Carried::default(),
        deadline: Instant::now() + Duration::from_secs(30),
        body: Vec::new(),
    }
}

#[test]
fn a_stream_query_is_served_by_the_node_of_its_process() {
    actix_rt::System::new().block_on(served_by_its_node());
}

async fn served_by_its_node() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let node = NodeBuilder::new(Environment::real(folder.path()))
        .start()
        .unwrap();
    let link = Link::new(&config);
    let before = link.stream(call("checkout.ListOrders")).next().await;
    assert!(
        matches!(before, Some(Err(Fault::Unreachable { .. }))),
        "still starting"
    );

    let [shop, orders] = &config.processes[..] else {
        panic!("two processes");
    };
    let orders = endpoint(orders, folder.path(), &node, Found(LOOPBACK_ANY));
    let found = Found(orders.address().unwrap());
    link.connect(Arc::new(endpoint(shop, folder.path(), &node, found)));

    // Nothing is hosted there, and that is what its node says, as an item.
    let items: Vec<_> = link.stream(call("checkout.ListOrders")).collect().await;
    let [Ok(item)] = &items[..] else {
        panic!("expected one item, found {items:?}");
    };
    let said = codec::decode::<Result<(), Stop<()>>>(item).unwrap();
    let Err(Stop::Fault(Fault::Unreachable { module, reason })) = said else {
        panic!("expected that it is not served, found {said:?}");
    };
    assert_eq!(module, "checkout");
    assert_eq!(reason, "this process does not serve checkout.ListOrders");

    let nowhere: Vec<_> = link.stream(call("email.ListLetters")).collect().await;
    assert!(matches!(nowhere[..], [Err(Fault::Unreachable { .. })]));
}
