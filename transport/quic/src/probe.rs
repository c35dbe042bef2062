//! Finds out quickly that nobody listens at an address.

use std::{
    future::pending,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::net::UdpSocket;

/// Completes when the other machine says that the port is closed. Otherwise never.
///
/// QUIC sockets are not connected, so the system does not tell them; a call to a process that is
/// down would wait for a timeout. A connected socket is told, within a round trip, where no
/// firewall swallows the message (ICMP port unreachable, RFC 1122, section 4.1.3.3). The datagram
/// it sends is no QUIC packet, so a process that does listen drops it.
pub(crate) async fn refused(address: SocketAddr) {
    if !matches!(is_refused(address).await, Ok(true)) {
        pending::<()>().await;
    }
}

async fn is_refused(address: SocketAddr) -> io::Result<bool> {
    let unspecified: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(unspecified).await?;
    socket.connect(address).await?;
    socket.send(&[0]).await?;
    match socket.recv(&mut [0]).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(true),
        _ => Ok(false),
    }
}
