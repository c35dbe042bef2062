//! The certificate this process shows, renewed in time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::{debug, error};

use crate::{
    ca::{Ca, LEAF_LIFETIME},
    fingerprint,
    trust::{Issuer, Trust},
};

/// Issues the leaf of one process, and anew once more than half its life is over or another
/// authority issues. Where somebody else issues, it is what they have issued last.
///
/// rustls asks for it at each handshake, so there is no timer to forget: a process that nobody
/// connects to needs no valid certificate. Connections that exist are not affected. The key lives
/// only in memory.
#[derive(Debug)]
pub(crate) struct Identity {
    trust: Arc<Trust>,
    names: Vec<String>,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    issued: UnixTime,
    /// By which of the authority's certificates.
    issuer: CertificateDer<'static>,
    key: Arc<CertifiedKey>,
}

/// A leaf could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error("cannot issue a certificate")]
    Issue(#[from] rcgen::Error),
    #[error("cannot use an issued certificate")]
    Use(#[from] rustls::Error),
    #[error("the clock cannot be read")]
    Clock,
}

impl Identity {
    pub(crate) fn new(trust: Arc<Trust>, names: Vec<String>) -> Result<Self, IssueError> {
        let identity = Self {
            trust,
            names,
            current: Mutex::default(),
        };
        identity.certified_key()?;
        Ok(identity)
    }

    /// The certificate to show now.
    fn certified_key(&self) -> Result<Arc<CertifiedKey>, IssueError> {
        match &self.trust.current().issuer {
            Issuer::Own(ca) => self.leaf_of(ca),
            Issuer::Foreign { key, .. } => Ok(Arc::clone(key)),
        }
    }

    /// Until when that is valid, in seconds since 1970.
    pub(crate) fn valid_until(&self) -> u64 {
        match &self.trust.current().issuer {
            Issuer::Own(ca) => {
                // Issued anew if it is time.
                let leaf = self.leaf_of(ca).ok();
                leaf.and_then(|leaf| fingerprint::valid_until(leaf.cert.first()?))
                    .unwrap_or_default()
            }
            Issuer::Foreign { valid_until, .. } => *valid_until,
        }
    }

    fn leaf_of(&self, ca: &Ca) -> Result<Arc<CertifiedKey>, IssueError> {
        let now = self.trust.time.current_time().ok_or(IssueError::Clock)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = current
            .as_ref()
            .filter(|current| !is_due(current.issued, now) && current.issuer == *ca.certificate());
        if let Some(current) = fit {
            return Ok(Arc::clone(&current.key));
        }
        let leaf = ca.issue(&self.names, now)?;
        let keys = self.trust.provider.key_provider;
        let signer = keys.load_private_key(PrivateKeyDer::Pkcs8(leaf.key))?;
        let key = Arc::new(CertifiedKey::new(vec![leaf.certificate], signer));
        debug!(names = ?self.names, "certificate issued");
        *current = Some(Current {
            issued: now,
            issuer: ca.certificate().clone(),
            key: Arc::clone(&key),
        });
        Ok(key)
    }

    fn resolve(&self) -> Option<Arc<CertifiedKey>> {
        self.certified_key()
            .inspect_err(|error| error!(%error, "no certificate to show"))
            .ok()
    }
}

/// Whether a leaf is to be replaced. A clock that was set back counts too: the leaf may not be
/// valid yet.
fn is_due(issued: UnixTime, now: UnixTime) -> bool {
    match now.as_secs().checked_sub(issued.as_secs()) {
        Some(age) => Duration::from_secs(age) > LEAF_LIFETIME / 2,
        None => true,
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.resolve()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.resolve()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Rotation, tests::FakeTime};

    fn identity(authority: &Authority, time: &Arc<FakeTime>) -> Identity {
        let names = vec!["shop.process.boutique.modulith".to_owned()];
        let credentials = authority.clone().into();
        let trust = Trust::load(&credentials, "boutique", "shop", time.clone()).unwrap();
        Identity::new(trust, names).unwrap()
    }

    #[test]
    fn a_leaf_is_replaced_after_half_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let time = FakeTime::at(1_800_000_000);
        let identity = identity(&authority, &time);
        let shown = || identity.certified_key().unwrap().cert[0].clone();

        let first = shown();
        assert_eq!(identity.valid_until(), 1_800_000_000 + 24 * 60 * 60);
        time.add(12 * 60 * 60);
        assert_eq!(shown(), first, "half its life is not over yet");
        time.add(1);
        let second = shown();
        assert_ne!(second, first);
        time.add(-24 * 60 * 60);
        assert_ne!(shown(), second, "the clock was set back");
    }

    #[test]
    fn a_leaf_is_replaced_when_another_authority_issues() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let identity = identity(&authority, &FakeTime::at(1_800_000_000));
        let shown = || {
            identity.trust.reload();
            identity.certified_key().unwrap().cert[0].clone()
        };
        let first = shown();
        let rotation = Rotation::begin(&authority).unwrap();
        rotation.prepare().unwrap();
        assert_eq!(shown(), first, "the new one is only trusted");
        rotation.promote().unwrap();
        let second = shown();
        assert_ne!(second, first);
        rotation.retire().unwrap();
        assert_eq!(shown(), second);
    }

    #[test]
    fn a_folder_that_is_broken_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let identity = identity(&authority, &FakeTime::at(1_800_000_000));
        let before = identity.certified_key().unwrap();
        std::fs::write(folder.path().join("ca.key"), "garbage").unwrap();
        identity.trust.reload();
        assert!(Arc::ptr_eq(&before, &identity.certified_key().unwrap()));
    }
}
