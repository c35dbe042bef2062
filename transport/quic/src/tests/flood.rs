//! Peers that come in crowds, or take their time.

use std::time::Duration;

use quinn::ClientConfig;
use tokio::task::JoinSet;

use super::{
    hostile::{World, hello, introduced},
    nowhere,
};
use crate::{Options, Timing, close, naming};

#[tokio::test]
async fn a_peer_that_takes_its_time_to_say_hello_is_dropped() {
    let timing = Timing {
        connect_timeout: Duration::from_millis(300),
        ..Timing::default()
    };
    let world = World::with(|options| Options { timing, ..options }).await;
    let connection = world.rogue().await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let mut bytes = Vec::new();
    modulith_wire::encode(&hello(&["rogue"]), &mut bytes);
    let trickle = async {
        for byte in bytes {
            send.write_all(&[byte]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok::<_, quinn::WriteError>(())
    };
    assert!(trickle.await.is_err(), "the connection was closed before");
    world.check().await;
}

#[tokio::test]
async fn a_peer_that_opens_a_lane_and_goes_silent_is_dropped() {
    let timing = Timing {
        connect_timeout: Duration::from_millis(300),
        ..Timing::default()
    };
    let world = World::with(|options| Options { timing, ..options }).await;
    let connection = world.rogue().await;
    let _lane = connection.open_bi().await.unwrap();
    connection.closed().await;
    world.check().await;
}

#[tokio::test]
async fn a_frame_that_announces_four_gigabytes_ends_that_connection_only() {
    let world = World::new().await;
    let connection = world.rogue().await;
    let (mut send, _recv) = introduced(&connection).await;
    send.write_all(&[0xff, 0xff, 0xff, 0xff, 3]).await.unwrap();
    let reason = close::sentence(&connection.closed().await);
    assert_eq!(reason, "it says this process sent bytes that are no frame");
    world.check().await;
}

/// How many pages of memory this process has in use; none where the system does not say.
fn resident_pages() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split(' ').nth(1)?.parse().ok()
}

#[tokio::test]
async fn ten_thousand_connections_opened_and_dropped_leave_nothing_behind() {
    const CONNECTIONS: usize = 10_000;
    const AT_ONCE: usize = 50;
    /// 64 MiB, where a connection that stays takes some 30 KiB: 2,000 of 5,000 would be too many.
    const GROWTH_PAGES_MAX: u64 = 16_384;

    let world = World::new().await;
    let socket = quinn::Endpoint::client(nowhere()).unwrap();
    let config = ClientConfig::new(world.rogue_tls().client);
    let (name, address) = (
        naming::process("orders", "boutique").unwrap(),
        world.address(),
    );
    let mut before = None;
    let mut open = JoinSet::new();
    for number in 0..CONNECTIONS {
        if open.len() == AT_ONCE {
            open.join_next().await.unwrap().unwrap();
        }
        if number == CONNECTIONS / 2 {
            before = resident_pages();
        }
        let connecting = socket.connect_with(config.clone(), address, &name).unwrap();
        open.spawn(async move {
            // One in three does not even wait for the handshake, one says nothing, one opens a lane.
            if number % 3 == 0 {
                return;
            }
            // When it is told that there are too many, it is gone as well.
            if let Ok(connection) = connecting.await
                && number % 3 == 1
            {
                _ = connection.open_bi().await;
            }
        });
    }
    while open.join_next().await.is_some() {}
    world.check().await;
    let gone = async {
        while world.connections() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), gone)
        .await
        .expect("only the well-behaved client stays");
    if let (Some(before), Some(after)) = (before, resident_pages()) {
        let growth = after.saturating_sub(before);
        assert!(growth < GROWTH_PAGES_MAX, "{growth} pages more");
    }
}
