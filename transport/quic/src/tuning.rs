//! The settings of QUIC, each with its reason. The measurements are in `docs/benchmarks.md`.

use std::{io, net::UdpSocket, sync::Arc, time::Duration};

use quinn::{
    ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TransportConfig, VarInt, congestion::CubicConfig, udp::UdpSocketState,
};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use crate::{Limits, Timing};

/// The largest UDP payload that MTU discovery tries, and so the largest this side takes, in bytes.
///
/// Loopback carries it, Ethernet does not; discovery finds out. Beyond 16 KiB little is won, and
/// quinn's receive buffer (address space, mostly untouched) is 2,048 times this.
const DATAGRAM_BYTES_MAX: u16 = 16_384;

/// Enough that two connections of a process never share one.
const CONNECTION_ID_BYTES: usize = 8;

/// How many bodies may be on streams of their own at once, per connection and direction, besides
/// the streams of items. With bodies of 16 MiB, 16 of them are 256 MiB of memory at worst.
const BODIES_MAX: u32 = 16;

/// Beyond this, more streams of items are not open at once whatever the limits say: what they may
/// hold unread is 176 MiB.
const STREAMS_MAX: u32 = 1024;

/// What a peer may send beyond what was read, per stream, in bytes: what a call may find in front of
/// it while a large transfer goes on. Beside a stream of 1 GiB the 99th percentile of small calls was
/// 1.6 times what it is without, and with 1.25 MiB 2.9 to 4.6 times (`examples/bulk_load.rs`); the
/// transfer itself took a tenth longer. At a round trip of 1 ms, 176 KiB are 180 MB/s a stream, at 20 ms
/// 9 MB/s.
const STREAM_WINDOW_BYTES: u32 = 176 << 10;

/// What may be sent and not acknowledged, in bytes: no more than the socket's buffer holds, so that
/// on loopback, where nothing slows a sender down, nothing is lost. What a stalled stream was sent
/// is acknowledged, though it is not read, and does not count.
const SEND_WINDOW_BYTES: u64 = 4 << 20;

/// What a peer may send beyond what was read, per connection, in bytes, if that many streams are
/// open beside the lane.
///
/// More than all of them may hold unread, by what the lane may: whoever does not take the items of
/// a stream stalls that stream, and nothing else. An eighth comes on top, because quinn announces
/// new credit only when that much was read.
fn connection_window_bytes(streams: u32) -> u32 {
    STREAM_WINDOW_BYTES / 7 * 8 * (streams + 1)
}

/// What may wait in the system for this process to read it, or for the network to take it.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// The round-trip time assumed before one was measured. Retransmission of a lost first packet
/// waits three times as long. Processes of one application are near each other: 20 ms is twice a
/// region, where QUIC's 333 ms would make one lost packet cost a second.
const INITIAL_RTT: Duration = Duration::from_millis(20);

/// What may be on its way before the path's capacity is known: four of the largest datagrams.
///
/// QUIC's usual ten packets are less than one datagram where the path carries large ones, and a
/// connection would stand still whenever MTU discovery has one in flight. Elsewhere it is a burst
/// of 45 packets, paced over a round trip.
const INITIAL_WINDOW_BYTES: u64 = 4 * DATAGRAM_BYTES_MAX as u64;

/// Which side of a connection a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Dialler,
    Acceptor,
}

pub(crate) fn transport(end: End, timing: &Timing, limits: &Limits) -> Arc<TransportConfig> {
    let streams = BODIES_MAX + limits.streams_in_flight_max.min(STREAMS_MAX);
    let connection_window_bytes = connection_window_bytes(streams);
    let mut config = TransportConfig::default();
    config
        // The dialler opens the lane; nobody opens any other bidirectional stream.
        .max_concurrent_bidi_streams(VarInt::from_u32(u32::from(end == End::Acceptor)))
        .max_concurrent_uni_streams(VarInt::from_u32(streams))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(connection_window_bytes))
        .send_window(SEND_WINDOW_BYTES)
        .initial_rtt(INITIAL_RTT)
        .max_idle_timeout(Some(idle_timeout(timing.idle_timeout)))
        // One side is enough; the dialler is the one that wants the connection.
        .keep_alive_interval((end == End::Dialler).then_some(timing.keep_alive))
        .mtu_discovery_config(Some(mtu_discovery()))
        .congestion_controller_factory(Arc::new(congestion()))
        // Pays off only where datagrams are small: a datagram of 16 KiB without it beat ten of
        // 1,472 bytes with it by a factor of two.
        .enable_segmentation_offload(false)
        // Nothing here sends datagrams of its own.
        .datagram_receive_buffer_size(None);
    Arc::new(config)
}

/// The timeout as QUIC encodes it; whatever is too long for that means never.
fn idle_timeout(timeout: Duration) -> IdleTimeout {
    timeout.try_into().unwrap_or_else(|_| VarInt::MAX.into())
}

fn congestion() -> CubicConfig {
    let mut config = CubicConfig::default();
    config.initial_window(INITIAL_WINDOW_BYTES);
    config
}

fn mtu_discovery() -> MtuDiscoveryConfig {
    let mut config = MtuDiscoveryConfig::default();
    config.upper_bound(DATAGRAM_BYTES_MAX);
    config
}

/// Asks for socket buffers that hold a burst; the system may grant less (`net.core.rmem_max`).
///
/// Linux gives 208 KiB by default, which is a dozen of the largest datagrams: whatever a sender
/// sends beyond that while the network thread is busy is lost. Bodies of 1 MiB, 16 at once, came
/// through ten times slower with it.
pub(crate) fn enlarge_buffers(socket: &UdpSocket) -> io::Result<()> {
    let state = UdpSocketState::new(socket.into())?;
    state.set_recv_buffer_size(socket.into(), SOCKET_BUFFER_BYTES)?;
    state.set_send_buffer_size(socket.into(), SOCKET_BUFFER_BYTES)
}

/// The settings of a socket, the same for every run of a process.
///
/// The key of reset tokens derives from the authority's, or the process's own where that is kept
/// in a file. So when a process is killed and started
/// again at its address, it can tell the peers of its last run that their connections are gone,
/// instead of leaving them to the idle timeout.
pub(crate) fn socket(reset_key: &[u8; 32]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset_key)));
    // QUIC's usual connection ids are recognized only by the run that made them.
    config.cid_generator(|| {
        Box::new(RandomIds {
            random: SystemRandom::new(),
        })
    });
    // Accepted from 1,200 bytes upwards, so this cannot fail.
    let _ = config.max_udp_payload_size(DATAGRAM_BYTES_MAX);
    config
}

/// Connection ids that any run of any process could have made.
struct RandomIds {
    random: SystemRandom,
}

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        if self.random.fill(&mut id).is_err() {
            id = fastrand::u64(..).to_le_bytes();
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
