//! What an endpoint counts.

use std::sync::atomic::{AtomicU64, Ordering};

use modulith_wire::Disagreement;
use quinn::ConnectionError;
use rustls::AlertDescription;

use crate::close;

/// How often things happened since the endpoint started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Peers that this endpoint refused, whichever side opened the connection.
    pub refused: Refused,
}

/// How many peers were refused, by reason. Each attempt counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// It showed no certificate.
    pub no_certificate: u64,
    /// Its certificate is of no root that is trusted, or not any more.
    pub unknown_root: u64,
    /// Its certificate has expired or is not valid yet.
    pub expired: u64,
    /// Its certificate is another process's, or it claims more than that says.
    pub wrong_name: u64,
    /// It belongs to another application.
    pub other_application: u64,
    /// It defines a message, or the protocol, in another way.
    pub other_definitions: u64,
    /// It broke the protocol.
    pub violation: u64,
    /// Anything else, such as a certificate that cannot be read or a peer that stays silent.
    pub other: u64,
}

/// Why a peer is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoCertificate,
    UnknownRoot,
    Expired,
    WrongName,
    OtherApplication,
    OtherDefinitions,
    Violation,
    Other,
}

/// A connection that did not come about.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Why this side refused the peer; `None` when something else stood in the way.
    pub(crate) refusal: Option<Refusal>,
    /// The same for people.
    pub(crate) reason: String,
}

impl Failed {
    pub(crate) fn refused(refusal: Refusal, reason: impl Into<String>) -> Self {
        Self {
            refusal: Some(refusal),
            reason: reason.into(),
        }
    }
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self {
            refusal: None,
            reason,
        }
    }
}

impl From<&ConnectionError> for Failed {
    fn from(error: &ConnectionError) -> Self {
        Self {
            refusal: refusal(error),
            reason: close::sentence(error),
        }
    }
}

impl From<Option<Disagreement>> for Refusal {
    fn from(disagreement: Option<Disagreement>) -> Self {
        match disagreement {
            Some(Disagreement::Application) => Self::OtherApplication,
            Some(Disagreement::Definitions) => Self::OtherDefinitions,
            Some(Disagreement::Identity) => Self::WrongName,
            Some(Disagreement::Hello) => Self::Violation,
            None => Self::Other,
        }
    }
}

/// What this side has against the peer of a connection that failed; nothing if it is the peer
/// that refused, or nobody.
fn refusal(error: &ConnectionError) -> Option<Refusal> {
    let ConnectionError::TransportError(error) = error else {
        return None;
    };
    Some(match close::alert(error.code) {
        Some(AlertDescription::CertificateRequired) => Refusal::NoCertificate,
        Some(AlertDescription::UnknownCA) => Refusal::UnknownRoot,
        Some(AlertDescription::CertificateExpired) => Refusal::Expired,
        Some(AlertDescription::BadCertificate) if close::is_wrong_name(&error.reason) => {
            Refusal::WrongName
        }
        Some(_) => Refusal::Other,
        None => Refusal::Violation,
    })
}

/// The counters while they count.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    no_certificate: AtomicU64,
    unknown_root: AtomicU64,
    expired: AtomicU64,
    wrong_name: AtomicU64,
    other_application: AtomicU64,
    other_definitions: AtomicU64,
    violation: AtomicU64,
    other: AtomicU64,
}

impl Tally {
    pub(crate) fn refused(&self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::NoCertificate => &self.no_certificate,
            Refusal::UnknownRoot => &self.unknown_root,
            Refusal::Expired => &self.expired,
            Refusal::WrongName => &self.wrong_name,
            Refusal::OtherApplication => &self.other_application,
            Refusal::OtherDefinitions => &self.other_definitions,
            Refusal::Violation => &self.violation,
            Refusal::Other => &self.other,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Counters {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            refused: Refused {
                no_certificate: read(&self.no_certificate),
                unknown_root: read(&self.unknown_root),
                expired: read(&self.expired),
                wrong_name: read(&self.wrong_name),
                other_application: read(&self.other_application),
                other_definitions: read(&self.other_definitions),
                violation: read(&self.violation),
                other: read(&self.other),
            },
        }
    }
}
