//! The certificate this process shows, renewed in time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::CryptoProvider,
    pki_types::{PrivateKeyDer, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use tracing::{debug, error};

use crate::{Authority, authority::LEAF_LIFETIME};

/// Issues the leaf of one process, and anew once more than half its life is over.
///
/// rustls asks for it at each handshake, so there is no timer to forget: a process that nobody
/// connects to needs no valid certificate. Connections that exist are not affected. The key lives
/// only in memory.
#[derive(Debug)]
pub(crate) struct Identity {
    authority: Authority,
    names: Vec<String>,
    provider: Arc<CryptoProvider>,
    time: Arc<dyn TimeProvider>,
    current: Mutex<Option<Current>>,
}

#[derive(Debug)]
struct Current {
    issued: UnixTime,
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
    pub(crate) fn new(
        authority: Authority,
        names: Vec<String>,
        provider: Arc<CryptoProvider>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, IssueError> {
        let identity = Self {
            authority,
            names,
            provider,
            time,
            current: Mutex::default(),
        };
        identity.certified_key()?;
        Ok(identity)
    }

    /// The leaf to show now.
    fn certified_key(&self) -> Result<Arc<CertifiedKey>, IssueError> {
        let now = self.time.current_time().ok_or(IssueError::Clock)?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current
            .as_ref()
            .filter(|current| !is_due(current.issued, now))
        {
            return Ok(Arc::clone(&current.key));
        }
        let leaf = self.authority.issue(&self.names, now)?;
        let signer = self
            .provider
            .key_provider
            .load_private_key(PrivateKeyDer::Pkcs8(leaf.key))?;
        let key = Arc::new(CertifiedKey::new(vec![leaf.certificate], signer));
        debug!(names = ?self.names, "certificate issued");
        *current = Some(Current {
            issued: now,
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
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug)]
    struct FakeTime(AtomicU64);

    impl TimeProvider for FakeTime {
        fn current_time(&self) -> Option<UnixTime> {
            let seconds = self.0.load(Ordering::Relaxed);
            Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
        }
    }

    #[test]
    fn a_leaf_is_replaced_after_half_its_life() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let time = Arc::new(FakeTime(AtomicU64::new(1_800_000_000)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let names = vec!["shop.process.boutique.modulith".to_owned()];
        let identity = Identity::new(authority, names, provider, time.clone()).unwrap();
        let shown = || identity.certified_key().unwrap().cert[0].clone();

        let first = shown();
        time.0.fetch_add(12 * 60 * 60, Ordering::Relaxed);
        assert_eq!(shown(), first, "half its life is not over yet");
        time.0.fetch_add(1, Ordering::Relaxed);
        let second = shown();
        assert_ne!(second, first);
        time.0.fetch_sub(24 * 60 * 60, Ordering::Relaxed);
        assert_ne!(shown(), second, "the clock was set back");
    }
}
