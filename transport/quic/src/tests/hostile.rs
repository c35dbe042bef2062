//! Peers that have a certificate, or none, and do not keep to the rules.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use modulith_wire::{Body, BulkHeader, Direction, Frame, Head, Hello, Request, encode};
use quinn::{
    ClientConfig, Connection, ConnectionError, RecvStream, SendStream,
    crypto::rustls::QuicClientConfig,
};
use rustls::{
    RootCertStore, pki_types::UnixTime, time_provider::DefaultTimeProvider, version::TLS13,
};
use tempfile::TempDir;

use super::{call, listening, nowhere, options, start};
use crate::{
    Authority, Endpoint, Options, Refused, ca::Leaf, close, naming, tls::Tls, trust::Trust,
};

/// A server, and a well-behaved client that must not notice anything.
pub(super) struct World {
    folder: TempDir,
    orders: Endpoint,
    shop: Endpoint,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(|options| options).await
    }

    /// A server with other options.
    pub(super) async fn with(change: impl FnOnce(Options) -> Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let orders = start(change(listening(folder.path())), nowhere());
        let shop = start(options("shop", folder.path()), orders.address().unwrap());
        let world = Self {
            folder,
            orders,
            shop,
        };
        world.check().await;
        world
    }

    /// Waits until the server has counted one refusal, this one.
    async fn refused(&self, counter: impl Fn(&Refused) -> u64) {
        let begun = Instant::now();
        while counter(&self.orders.counters().refused) == 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it is not counted"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let refused = self.orders.counters().refused;
        assert_eq!(counter(&refused), 1, "{refused:?}");
    }

    /// The server still serves others.
    pub(super) async fn check(&self) {
        assert_eq!(call(&self.shop, b"fine").await, Ok(b"fine".to_vec()));
    }

    async fn connect(&self, crypto: Arc<QuicClientConfig>) -> Connection {
        let socket = quinn::Endpoint::client(nowhere()).unwrap();
        let name = naming::process("orders", "boutique").unwrap();
        let address = self.orders.address().unwrap();
        let connecting = socket
            .connect_with(ClientConfig::new(crypto), address, &name)
            .unwrap();
        connecting.await.unwrap()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.orders.address().unwrap()
    }

    /// How many peers the server has.
    pub(super) fn connections(&self) -> usize {
        self.orders.peers().len()
    }

    /// Connects as process `rogue` with a valid certificate for it and its only module.
    pub(super) async fn rogue(&self) -> Connection {
        self.connect(self.rogue_tls().client).await
    }

    pub(super) fn rogue_tls(&self) -> Tls {
        let authority = Authority::open(self.folder.path()).unwrap();
        let names = vec![
            naming::process("rogue", "boutique").unwrap(),
            naming::module("rogue", "boutique").unwrap(),
        ];
        let time = Arc::new(DefaultTimeProvider);
        let trust = Trust::load(&authority.into(), "boutique", "rogue", time).unwrap();
        Tls::new(&trust, names).unwrap()
    }
}

pub(super) fn hello(modules: &[&str]) -> Frame {
    Frame::Hello(Hello {
        application: "boutique".into(),
        process: "rogue".into(),
        incarnation: 1,
        replica: 0,
        replicas: 1,
        partitions: Vec::new(),
        modules: modules.iter().map(|&name| name.to_owned()).collect(),
        messages: Vec::new(),
    })
}

async fn say(stream: &mut SendStream, frame: &Frame) {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes);
    stream.write_all(&bytes).await.unwrap();
}

/// Opens a lane and gets a hello back.
pub(super) async fn introduced(connection: &Connection) -> (SendStream, RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    say(&mut send, &hello(&["rogue"])).await;
    recv.read_chunk(1, true).await.unwrap().unwrap();
    (send, recv)
}

/// What the server says when it closes the connection.
async fn farewell(connection: &Connection) -> String {
    close::sentence(&connection.closed().await)
}

#[tokio::test]
async fn garbage_on_the_lane_ends_that_connection_only() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&[0xff; 5000]).await.unwrap();
    let reason = farewell(&connection).await;
    assert!(reason.starts_with("it refused"), "{reason}");

    let connection = world.rogue().await;
    let (mut send, _recv) = introduced(&connection).await;
    send.write_all(&[0xff; 5000]).await.unwrap();
    let reason = farewell(&connection).await;
    assert_eq!(reason, "it says this process sent bytes that are no frame");
    assert_eq!(world.orders.counters().refused.violation, 2);
    world.check().await;
}

#[tokio::test]
async fn garbage_on_a_bulk_stream_ends_that_connection_only() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let _lane = introduced(&connection).await;
    let mut bulk = connection.open_uni().await.unwrap();
    bulk.write_all(&[0xff; 5000]).await.unwrap();
    let reason = farewell(&connection).await;
    assert_eq!(reason, "it says this process sent bytes that are no frame");
    world.check().await;
}

#[tokio::test]
async fn a_body_longer_than_announced_ends_that_connection_only() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let (mut send, _recv) = introduced(&connection).await;
    let body = Body::Bulk { bytes: 100 };
    let request = Request {
        id: 1,
        head: Head {
            deadline_ms: 9,
            caller: 0,
            ..Head::default()
        },
        baggage: Vec::new(),
        body,
    };
    say(&mut send, &Frame::Request(request)).await;
    let mut bulk = connection.open_uni().await.unwrap();
    let mut bytes = Vec::new();
    BulkHeader {
        direction: Direction::Request,
        id: 1,
    }
    .encode(&mut bytes);
    bytes.resize(bytes.len() + 5000, 0);
    bulk.write_all(&bytes).await.unwrap();
    let reason = farewell(&connection).await;
    assert_eq!(
        reason,
        "it says this process announced 100 bytes for request 1 and sent 101"
    );
    world.check().await;
}

#[tokio::test]
async fn a_module_that_is_not_in_the_hello_cannot_ask() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let (mut send, _recv) = introduced(&connection).await;
    let body = Body::Inline(Vec::new());
    let request = Request {
        id: 1,
        head: Head {
            deadline_ms: 9,
            caller: 1,
            ..Head::default()
        },
        baggage: Vec::new(),
        body,
    };
    say(&mut send, &Frame::Request(request)).await;
    let expected = "it says this process asked as module number 1, which its hello does not list";
    assert_eq!(farewell(&connection).await, expected);
    world.check().await;
}

#[tokio::test]
async fn a_module_that_is_not_in_the_certificate_cannot_be_in_the_hello() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    say(&mut send, &hello(&["rogue", "payment"])).await;
    let expected = "it refused: process rogue says it hosts [payment, rogue], its certificate \
                    says [rogue]";
    assert_eq!(farewell(&connection).await, expected);
    world.refused(|refused| refused.wrong_name).await;
    world.check().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let world = World::new().await;
    let authority = Authority::open(world.folder.path()).unwrap();
    let mut roots = RootCertStore::empty();
    let kept = authority.load().unwrap();
    roots.add(kept.issuing.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"modulith".to_vec()];
    // In TLS 1.3 a client learns only after its handshake that the server does not accept it.
    let connection = world.connect(Arc::new(config.try_into().unwrap())).await;
    let reason = connection.closed().await;
    assert!(
        matches!(reason, ConnectionError::ConnectionClosed(_)),
        "{reason}"
    );
    let expected = "it requires a certificate, and this process showed none";
    assert_eq!(close::sentence(&reason), expected);
    world.refused(|refused| refused.no_certificate).await;
    world.check().await;
}

/// A leaf of the right authority for process `rogue`, whatever its time.
fn leaf(world: &World, issued: u64) -> Leaf {
    let kept = Authority::open(world.folder.path())
        .unwrap()
        .load()
        .unwrap();
    let names = [
        naming::process("rogue", "boutique").unwrap(),
        naming::module("rogue", "boutique").unwrap(),
    ];
    let now = UnixTime::since_unix_epoch(Duration::from_secs(issued));
    kept.issuing.issue(&names, now).unwrap()
}

/// Connects with a leaf. What the server thinks of it, it says afterwards.
async fn connected(world: &World, leaf: Leaf) -> Connection {
    let kept = Authority::open(world.folder.path())
        .unwrap()
        .load()
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(kept.issuing.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![leaf.certificate], leaf.key.into())
        .unwrap();
    config.alpn_protocols = vec![b"modulith".to_vec()];
    world.connect(Arc::new(config.try_into().unwrap())).await
}

async fn refusal(world: &World, leaf: Leaf) -> String {
    farewell(&connected(world, leaf).await).await
}

#[tokio::test]
async fn a_client_with_an_expired_certificate_is_refused() {
    let world = World::new().await;
    let now = UnixTime::now().as_secs();
    let day = 24 * 60 * 60;
    let reason = refusal(&world, leaf(&world, now - day - 1)).await;
    let expected = "it does not accept this process's certificate, which has expired";
    assert_eq!(reason, expected);
    world.refused(|refused| refused.expired).await;
    world.check().await;
}

#[tokio::test]
async fn a_client_with_a_certificate_of_another_authority_is_refused() {
    let (world, elsewhere) = (World::new().await, World::new().await);
    let now = UnixTime::now().as_secs();
    let theirs = leaf(&elsewhere, now);
    let reason = refusal(&world, theirs).await;
    let expected = "it does not accept this process's certificate, which is from another authority";
    assert_eq!(reason, expected);
    world.refused(|refused| refused.unknown_root).await;
    world.check().await;
}

#[tokio::test]
async fn a_client_is_cut_off_when_its_certificate_expires() {
    let world = World::new().await;
    let now = UnixTime::now().as_secs();
    let day = 24 * 60 * 60;
    // Valid for two more seconds: less than silence is put up with.
    let connection = connected(&world, leaf(&world, now - day + 2)).await;
    let _lane = introduced(&connection).await;
    let expected = "it refused: its certificate has expired";
    assert_eq!(farewell(&connection).await, expected);
    world.refused(|refused| refused.expired).await;
    world.check().await;
}

#[tokio::test]
async fn a_process_of_another_application_with_the_same_authority_is_refused() {
    let world = World::new().await;
    let kept = Authority::open(world.folder.path())
        .unwrap()
        .load()
        .unwrap();
    let names = [naming::process("shop", "bank").unwrap()];
    let leaf = kept.issuing.issue(&names, UnixTime::now()).unwrap();
    let reason = refusal(&world, leaf).await;
    let expected = "it refused: its certificate does not name one process of boutique";
    assert_eq!(reason, expected);
    world.refused(|refused| refused.other_application).await;
}

#[tokio::test]
async fn datagrams_that_are_not_quic_are_ignored() {
    let world = World::new().await;
    let socket = std::net::UdpSocket::bind(nowhere()).unwrap();
    for bytes in [0, 1, 20, 1200, 9000] {
        for first in [0x00, 0x40, 0xc0, 0xff] {
            let mut datagram = vec![0x55; bytes];
            datagram.iter_mut().take(1).for_each(|byte| *byte = first);
            socket
                .send_to(&datagram, world.orders.address().unwrap())
                .unwrap();
        }
    }
    world.check().await;
}
