//! Peers that have a certificate, or none, and do not keep to the rules.

use std::{net::SocketAddr, sync::Arc};

use modulith_wire::{Body, BulkHeader, Direction, Frame, Head, Hello, Request, encode};
use quinn::{
    ClientConfig, Connection, ConnectionError, RecvStream, SendStream,
    crypto::rustls::QuicClientConfig,
};
use rustls::{RootCertStore, time_provider::DefaultTimeProvider, version::TLS13};
use tempfile::TempDir;

use super::{call, listening, nowhere, options, start};
use crate::{Authority, Endpoint, Options, close, naming, tls::Tls};

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
        Tls::new(&authority, names, Arc::new(DefaultTimeProvider)).unwrap()
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
    world.check().await;
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused() {
    let world = World::new().await;
    let authority = Authority::open(world.folder.path()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).unwrap();
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
    world.check().await;
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
