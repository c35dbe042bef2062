//! Which names in certificates stand for which process.
//!
//! Certificates of the application's own authority name a process and its modules. Those of
//! others carry whatever name their issuer gives: there the configuration says whose it is, and
//! what it may speak for.

use modulith_wire::Certified;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::{
    counters::{Failed, Refusal},
    foreign::ForeignPeer,
    naming::{self, NameError},
};

/// A name in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    Dns(String),
    /// Such as a SPIFFE id.
    Uri(String),
}

/// Whose certificate is whose.
#[derive(Debug)]
pub(crate) struct Peers {
    application: String,
    /// `None` with the application's own authority.
    known: Option<Vec<Known>>,
}

#[derive(Debug)]
struct Known {
    process: String,
    /// The name under which it is dialled.
    server_name: String,
    identity: Identity,
    modules: Vec<String>,
}

impl Identity {
    fn parse(text: &str) -> Self {
        if text.contains("://") {
            Self::Uri(text.to_owned())
        } else {
            Self::Dns(text.to_owned())
        }
    }

    /// Whether a certificate carries this name. Wildcards stand for nobody.
    fn is_of(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Dns(name) => certificate
                .valid_dns_names()
                .any(|it| it.eq_ignore_ascii_case(name)),
            // One alone: a certificate with more is not one of SPIFFE (X.509-SVID, section 2).
            Self::Uri(uri) => {
                let mut uris = certificate.valid_uri_names();
                uris.next() == Some(uri.as_str()) && uris.next().is_none()
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            Self::Dns(name) | Self::Uri(name) => name,
        }
    }
}

impl Peers {
    /// Names as the application's own authority gives them.
    pub(crate) fn own(application: &str) -> Self {
        Self {
            application: application.to_owned(),
            known: None,
        }
    }

    /// Names as others give them.
    pub(crate) fn foreign(application: &str, peers: &[ForeignPeer]) -> Result<Self, NameError> {
        let known = |peer: &ForeignPeer| {
            let server_name = naming::process(&peer.process, application)?;
            let identity = peer.identity.as_ref().unwrap_or(&server_name);
            Ok(Known {
                process: peer.process.clone(),
                identity: Identity::parse(identity),
                server_name,
                modules: peer.modules.clone(),
            })
        };
        Ok(Self {
            application: application.to_owned(),
            known: Some(peers.iter().map(known).collect::<Result<_, _>>()?),
        })
    }

    /// Whether the certificate is that of the process dialled under this name.
    pub(crate) fn is_at(&self, server_name: &str, certificate: &EndEntityCert<'_>) -> bool {
        self.identity(server_name).is_of(certificate)
    }

    /// What the certificate of the process dialled under this name has to show.
    pub(crate) fn identity(&self, server_name: &str) -> Identity {
        let known = self.known.iter().flatten();
        let mut named = known.filter(|known| known.server_name == server_name);
        named.next().map_or_else(
            || Identity::Dns(server_name.to_owned()),
            |known| known.identity.clone(),
        )
    }

    /// Whose verified certificate this is.
    pub(crate) fn certified(&self, certificate: &CertificateDer<'_>) -> Result<Certified, Failed> {
        let certificate = EndEntityCert::try_from(certificate).map_err(|error| {
            let reason = format!("its certificate cannot be read: {error}");
            Failed::refused(Refusal::Other, reason)
        })?;
        let Some(known) = &self.known else {
            return self.certified_by_us(&certificate);
        };
        let mut shown = known.iter().filter(|it| it.identity.is_of(&certificate));
        match (shown.next(), shown.next()) {
            (Some(known), None) => Ok(Certified {
                process: known.process.clone(),
                modules: known.modules.clone(),
            }),
            (Some(one), Some(other)) => Err(wrong(format!(
                "its certificate is for both process {} and process {}",
                one.process, other.process
            ))),
            (None, _) => Err(wrong(format!(
                "its certificate is for {}, which is no process of this configuration",
                names(&certificate)
            ))),
        }
    }

    fn certified_by_us(&self, certificate: &EndEntityCert<'_>) -> Result<Certified, Failed> {
        let names = || certificate.valid_dns_names();
        let application = &self.application;
        naming::certified(names(), application).ok_or_else(|| {
            let reason = format!("its certificate does not name one process of {application}");
            let is_other = names().all(|name| naming::is_of_other(name, application));
            Failed::refused(
                if is_other {
                    Refusal::OtherApplication
                } else {
                    Refusal::WrongName
                },
                reason,
            )
        })
    }
}

fn wrong(reason: String) -> Failed {
    Failed::refused(Refusal::WrongName, reason)
}

/// The names of a certificate, for people.
pub(crate) fn names(certificate: &EndEntityCert<'_>) -> String {
    /// More would drown the sentence, and they are the peer's to choose.
    const SHOWN_MAX: usize = 4;
    let uris = certificate.valid_uri_names();
    let names = uris.chain(certificate.valid_dns_names());
    let names: Vec<_> = names.take(SHOWN_MAX).collect();
    if names.is_empty() {
        "nobody".to_owned()
    } else {
        names.join(", ").escape_debug().to_string()
    }
}
