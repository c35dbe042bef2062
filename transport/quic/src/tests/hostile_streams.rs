//! A server that has a certificate and does not keep to the rules of streamed answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use modulith_contract::Fault;
use modulith_wire::{
    BulkHeader, Decoder, Direction, Frame, Hello, Limits, MessageSchema, Part, encode,
};
use quinn::{Connection, RecvStream, SendStream, ServerConfig};
use rustls::time_provider::DefaultTimeProvider;
use tokio::time::timeout;

use super::{nowhere, options, start};
use crate::{Authority, Call, close, naming, tls::Tls, trust::Trust};

const PATIENCE: Duration = Duration::from_secs(30);

/// Accepts a connection as process `orders` and announces a stream as the answer to request 1.
/// The connection, and the lane, which ends with what holds it.
async fn announce(socket: &quinn::Endpoint) -> (Connection, SendStream) {
    let connection = socket.accept().await.unwrap().await.unwrap();
    let (mut lane, mut recv) = connection.accept_bi().await.unwrap();
    let hello = Frame::Hello(Hello {
        application: "boutique".into(),
        process: "orders".into(),
        incarnation: 1,
        replica: 0,
        replicas: 1,
        partitions: Vec::new(),
        modules: vec!["orders".into()],
        messages: vec![MessageSchema {
            name: "orders.Place".into(),
            fingerprint: 1,
        }],
    });
    let mut bytes = Vec::new();
    encode(&hello, &mut bytes);
    lane.write_all(&bytes).await.unwrap();
    until_asked(&mut recv).await;
    bytes.clear();
    encode(&Frame::Streaming { id: 1 }, &mut bytes);
    lane.write_all(&bytes).await.unwrap();
    (connection, lane)
}

/// Reads the hello and the request.
async fn until_asked(recv: &mut RecvStream) {
    let mut decoder = Decoder::new(Limits::default());
    loop {
        let chunk = recv.read_chunk(usize::MAX, true).await.unwrap().unwrap();
        let mut rest = &chunk.bytes[..];
        while let Some(frame) = decoder.decode(&mut rest).unwrap() {
            if matches!(frame, Frame::Request(_)) {
                return;
            }
        }
    }
}

/// What a taker gets when the stream's header is followed by these bytes and then its end, and
/// what the server is told when its connection is closed, if it is.
async fn taken(bytes: &[u8], is_violation: bool) -> (Vec<Result<Vec<u8>, Fault>>, Option<String>) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path()).unwrap();
    let names = vec![
        naming::process("orders", "boutique").unwrap(),
        naming::module("orders", "boutique").unwrap(),
    ];
    let time = Arc::new(DefaultTimeProvider);
    let trust = Trust::load(&authority.into(), "boutique", "orders", time).unwrap();
    let tls = Tls::new(&trust, names).unwrap();
    let config = ServerConfig::with_crypto(tls.server.clone());
    let socket = quinn::Endpoint::server(config, nowhere()).unwrap();
    let shop = start(options("shop", folder.path()), socket.local_addr().unwrap());
    let items = shop.stream(
        "orders",
        Call {
            caller: "shop".into(),
            message: "orders.Place".into(),
            message_id: 1,
            partition: 0,
            priority: 2,
            baggage: Vec::new(),
            deadline: Instant::now() + PATIENCE,
            body: Vec::new(),
        },
    );
    let (connection, _lane) = announce(&socket).await;
    let mut stream = connection.open_uni().await.unwrap();
    let mut said = Vec::new();
    let header = BulkHeader {
        direction: Direction::Items,
        id: 1,
    };
    header.encode(&mut said);
    said.extend_from_slice(bytes);
    stream.write_all(&said).await.unwrap();
    stream.finish().unwrap();
    let taken = timeout(PATIENCE, items.collect()).await.unwrap();
    if !is_violation {
        return (taken, None);
    }
    let closed = timeout(PATIENCE, connection.closed()).await.unwrap();
    (taken, Some(close::sentence(&closed)))
}

fn item() -> Vec<u8> {
    let mut bytes = Vec::new();
    Part::Item(vec![7]).encode(&mut bytes);
    bytes
}

fn is_unreachable(next: &Result<Vec<u8>, Fault>) -> bool {
    matches!(next, Err(Fault::Unreachable { .. }))
}

#[tokio::test]
async fn an_item_that_announces_four_gigabytes_ends_the_connection() {
    let bytes = [&u32::MAX.to_le_bytes()[..], &[19]].concat();
    let (taken, told) = taken(&bytes, true).await;
    assert!(
        matches!(&taken[..], [next] if is_unreachable(next)),
        "{taken:?}"
    );
    let expected = "it says this process sent bytes that are no frame";
    assert_eq!(told.as_deref(), Some(expected));
}

#[tokio::test]
async fn what_follows_the_end_of_a_stream_ends_the_connection() {
    let mut bytes = item();
    Part::End.encode(&mut bytes);
    bytes.extend(item());
    let (taken, told) = taken(&bytes, true).await;
    assert_eq!(taken[0], Ok(vec![7]));
    assert!(is_unreachable(&taken[1]) && taken.len() == 2, "{taken:?}");
    let expected = "it says this process sent bytes that are no frame";
    assert_eq!(told.as_deref(), Some(expected));
}

#[tokio::test]
async fn a_stream_that_ends_without_an_end_was_cut_short() {
    let (taken, _) = taken(&item(), false).await;
    let reason = "its answer broke off".to_owned();
    let module = "orders".to_owned();
    let broken_off = Fault::Unreachable { module, reason };
    assert_eq!(taken, [Ok(vec![7]), Err(broken_off)]);
}
