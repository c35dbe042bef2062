//! Instances that DNS knows, told by a small server of the test's own.

use std::{collections::BTreeMap, net::IpAddr};

use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA},
    },
};
use tokio::{net::UdpSocket, task::JoinHandle};

use super::*;
use crate::mesh::{DnsNames, Lookup};

/// Answers what it is told to, by name without its last dot; refuses when told to.
#[derive(Default)]
struct Zone {
    addresses: BTreeMap<String, Vec<IpAddr>>,
    is_broken: bool,
}

struct Server {
    zone: Arc<Mutex<Zone>>,
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Zone::default()));
        let [asked] = counts();
        let (told, counted) = (zone.clone(), asked.clone());
        let task = tokio::spawn(async move {
            let mut bytes = [0; 1500];
            loop {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let question = Message::from_vec(&bytes[..length]).unwrap();
                let answer = answer(&question, &told.lock().unwrap());
                counted.fetch_add(1, SeqCst);
                _ = socket.send_to(&answer.to_vec().unwrap(), from).await;
            }
        });
        Self {
            zone,
            address,
            asked,
            task,
        }
    }

    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|it| it.parse().unwrap()).collect();
        let mut zone = self.zone.lock().unwrap();
        zone.addresses.insert(name.to_string(), addresses);
    }

    fn set_broken(&self, is_broken: bool) {
        self.zone.lock().unwrap().is_broken = is_broken;
    }

    /// Waits until it was asked again, twice, for both kinds of address.
    async fn was_asked_again(&self) {
        let before = self.asked.load(SeqCst);
        until(|| self.asked.load(SeqCst) >= before + 4).await;
    }
}

fn answer(question: &Message, zone: &Zone) -> Message {
    let mut answer = Message::response(question.id, question.op_code);
    let query = question.queries.first().unwrap().clone();
    let name = query.name().to_string().to_lowercase();
    let found = zone.addresses.get(name.trim_end_matches('.'));
    answer.metadata.recursion_available = true;
    answer.metadata.response_code = match found {
        _ if zone.is_broken => ResponseCode::ServFail,
        Some(_) => ResponseCode::NoError,
        None => ResponseCode::NXDomain,
    };
    for address in found.into_iter().flatten().filter(|_| !zone.is_broken) {
        let data = match (address, query.query_type()) {
            (IpAddr::V4(ip), RecordType::A) => RData::A(A(*ip)),
            (IpAddr::V6(ip), RecordType::AAAA) => RData::AAAA(AAAA(*ip)),
            _ => continue,
        };
        answer.add_answer(Record::from_rdata(query.name().clone(), 0, data));
    }
    answer.add_query(query);
    answer
}

/// Follows the DNS names in the configuration; ends with the test.
struct Followed {
    mesh: Arc<Mesh>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn follow(world: &World, server: &Server) -> Followed {
    let names = DnsNames::new(&world.config.processes, world.names.clone());
    let names = Arc::new(names);
    let mesh = Arc::new(Mesh::new(&world.config, &manifests()));
    let shop = world.endpoint("shop", None, names.clone(), service(|_| async { vec![] }));
    mesh.connect(Arc::new(shop));
    mesh.know_configured(&world.config.processes);
    let lookup = Lookup::at(server.address);
    let follows = mesh.follow_dns(&world.config.processes, &lookup, &names);
    Followed {
        mesh,
        tasks: follows.into_iter().map(tokio::spawn).collect(),
    }
}

/// Instances of a process at one port of several loopback addresses.
fn start_at(world: &mut World, process: &str, addresses: &[&str]) -> u16 {
    let mut port = 0;
    for address in addresses {
        let [count] = counts();
        let listen = SocketAddr::new(address.parse().unwrap(), port);
        let name: &'static str = address.to_string().leak();
        let service = says(name, &count);
        let endpoint = world.endpoint(process, Some(listen), world.names.clone(), service);
        port = endpoint.address().unwrap().port();
        world
            .running
            .insert(address.to_string(), Arc::new(endpoint));
    }
    port
}

const SERVICE: &str = "currency.default.svc.test";

fn dns(world: &mut World, process: usize, host: &str, port: u16) {
    let name = crate::config::DnsName::parse(&format!("{host}:{port}")).unwrap();
    world.config.processes[process].dns = Some(name);
}

/// Asks until this instance has answered. No call fails meanwhile.
async fn until_answered_by(mesh: &Mesh, name: &str) {
    let asks = async { while answered(mesh, CONVERT).await != name {} };
    tokio::time::timeout(PATIENCE, asks).await.unwrap();
}

#[tokio::test]
async fn addresses_come_and_go_in_dns_while_calls_run_and_none_fails() {
    let mut world = World::new(1, vec![]);
    let (a, b, c) = ("127.0.0.1", "127.0.0.2", "127.0.0.3");
    let port = start_at(&mut world, "money", &[a, b, c]);
    dns(&mut world, 1, SERVICE, port);
    let server = Server::start().await;
    server.set(SERVICE, &[a]);
    let followed = follow(&world, &server);
    let mesh = &followed.mesh;
    // Asked before DNS has answered: it waits for that.
    assert_eq!(answered(mesh, CONVERT).await, a);
    server.set(SERVICE, &[a, b]);
    until_answered_by(mesh, b).await;
    server.set(SERVICE, &[b, c]);
    until_answered_by(mesh, c).await;
    server.was_asked_again().await;
    for _ in 0..100 {
        assert_ne!(answered(mesh, CONVERT).await, a);
    }
    assert_eq!(traffic(mesh, "money").instances.len(), 2);
    // It leaves DNS first and ends then, as a pod does.
    server.set(SERVICE, &[c]);
    server.was_asked_again().await;
    until(|| traffic(mesh, "money").instances.len() == 1).await;
    world.kill(b);
    for _ in 0..100 {
        assert_eq!(answered(mesh, CONVERT).await, c);
    }
}

#[tokio::test]
async fn when_dns_fails_the_last_addresses_stay() {
    let mut world = World::new(1, vec![]);
    let port = start_at(&mut world, "money", &["127.0.0.1"]);
    dns(&mut world, 1, SERVICE, port);
    let server = Server::start().await;
    server.set(SERVICE, &["127.0.0.1"]);
    let followed = follow(&world, &server);
    assert_eq!(answered(&followed.mesh, CONVERT).await, "127.0.0.1");
    server.set_broken(true);
    server.was_asked_again().await;
    assert_eq!(answered(&followed.mesh, CONVERT).await, "127.0.0.1");
    server.set_broken(false);
    server.set(SERVICE, &[]);
    server.was_asked_again().await;
    assert_eq!(answered(&followed.mesh, CONVERT).await, "127.0.0.1");
}

#[tokio::test]
async fn each_instance_with_stores_has_a_name_of_its_own() {
    let mut world = World::new(1, vec![]);
    world.config.processes[3].replicas = 2;
    let port = start_at(&mut world, "orders", &["127.0.0.1", "127.0.0.2"]);
    dns(&mut world, 3, "orders-{replica}.orders.test", port);
    let server = Server::start().await;
    server.set("orders-0.orders.test", &["127.0.0.1"]);
    server.set("orders-1.orders.test", &["127.0.0.2"]);
    let followed = follow(&world, &server);
    for (partition, expected) in [(0, "127.0.0.1"), (1, "127.0.0.2"), (2, "127.0.0.1")] {
        let call = Call {
            partition,
            ..call(PLACE)
        };
        assert_eq!(followed.mesh.call(call).await, Ok(reply(expected)));
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_makes_its_process_unreachable() {
    let mut world = World::new(1, vec![]);
    dns(&mut world, 1, SERVICE, 7401);
    let server = Server::start().await;
    let followed = follow(&world, &server);
    let hurried = Call {
        deadline: Instant::now() + Duration::from_millis(100),
        ..call(CONVERT)
    };
    let Err(Fault::Unreachable { reason, .. }) = followed.mesh.call(hurried).await else {
        panic!("expected that nobody is reached");
    };
    assert!(reason.contains("no instance of process money"), "{reason}");
}
