//! Why connections end, as codes on the wire and as sentences for people.

use std::net::SocketAddr;

use quinn::{ConnectionError, TransportErrorCode, VarInt};
use rustls::AlertDescription;

/// The reasons this protocol gives when it closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Nothing is in flight and nothing more will come.
    Done = 0,
    /// One side does not accept the other.
    Refused = 1,
    /// The peer broke the protocol.
    Violation = 2,
    /// The process stops without waiting.
    Stopping = 3,
}

/// How much of a reason fits beside everything else in the packet that closes a connection.
const REASON_BYTES_MAX: usize = 900;

pub(crate) fn close(connection: &quinn::Connection, code: Code, reason: &str) {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    connection.close(VarInt::from_u32(code as u32), &reason.as_bytes()[..end]);
}

/// The peer's address as configured, not as a socket for both versions of IP writes it.
pub(crate) fn address(connection: &quinn::Connection) -> SocketAddr {
    let address = connection.remote_address();
    (address.ip().to_canonical(), address.port()).into()
}

/// Says why a connection to a process ended, or could not be made.
pub(crate) fn sentence(error: &ConnectionError) -> String {
    match error {
        ConnectionError::TimedOut => "no answer".to_owned(),
        ConnectionError::Reset => "it was restarted".to_owned(),
        ConnectionError::LocallyClosed => "this process closed the connection".to_owned(),
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason);
            match close.error_code.into_inner() {
                code if code == Code::Done as u64 => "it closed the connection".to_owned(),
                code if code == Code::Refused as u64 => format!("it refused: {reason}"),
                code if code == Code::Violation as u64 => {
                    format!("it says this process {reason}")
                }
                code if code == Code::Stopping as u64 => "it is shutting down".to_owned(),
                code => format!("it closed the connection with code {code} {reason}"),
            }
        }
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code) {
            Some(alert) => theirs(alert),
            None if close.error_code == TransportErrorCode::CONNECTION_REFUSED => {
                "it accepts no connections, it may be shutting down".to_owned()
            }
            None => format!("it ended the connection: {close}"),
        },
        ConnectionError::TransportError(error) => match alert(error.code) {
            Some(alert) => ours(alert, &error.reason),
            None => format!("the connection failed: {error}"),
        },
        ConnectionError::VersionMismatch | ConnectionError::CidsExhausted => error.to_string(),
    }
}

/// The TLS alert in a QUIC error (RFC 9001, section 4.8).
pub(crate) fn alert(code: TransportErrorCode) -> Option<AlertDescription> {
    let code = u64::from(code).checked_sub(0x100)?;
    u8::try_from(code).ok().map(AlertDescription::from)
}

/// Whether this is what the TLS library says of a certificate of somebody else.
pub(crate) fn is_wrong_name(reason: &str) -> bool {
    reason.contains("not valid for name")
}

/// What this process has against the peer.
fn ours(alert: AlertDescription, reason: &str) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "its certificate is from another authority; processes of one application trust the same \
             roots"
                .to_owned()
        }
        AlertDescription::CertificateExpired if reason.contains("not valid yet") => {
            "its certificate is not valid yet; compare the clocks".to_owned()
        }
        AlertDescription::CertificateExpired => "its certificate has expired".to_owned(),
        AlertDescription::CertificateRequired => "it showed no certificate".to_owned(),
        AlertDescription::BadCertificate if is_wrong_name(reason) => {
            format!("another process answers there: {reason}")
        }
        _ => format!("the TLS handshake failed: {reason}"),
    }
}

/// What the peer has against this process.
fn theirs(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "it does not accept this process's certificate, which is from another authority"
                .to_owned()
        }
        AlertDescription::CertificateExpired => {
            "it does not accept this process's certificate, which has expired".to_owned()
        }
        AlertDescription::CertificateRequired => {
            "it requires a certificate, and this process showed none".to_owned()
        }
        AlertDescription::NoApplicationProtocol => {
            "what answers there is not a Modulith process".to_owned()
        }
        alert => format!("it ended the TLS handshake: {alert:?}"),
    }
}
