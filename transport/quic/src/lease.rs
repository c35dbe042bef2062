//! Sees to it that no connection outlives the certificate its peer showed.
//!
//! A certificate is verified when a connection is made. Here it is verified again when the trust
//! changes and when it ends; who does not pass then is cut off. Processes that renew their
//! connections in time (`renewal`) never notice.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use quinn::Connection;
use rustls::{CertificateError, Error, pki_types::CertificateDer};
use tokio::time::sleep;
use tracing::warn;

use crate::{
    Side,
    close::{self, Code},
    counters::{Refusal, Tally},
    fingerprint::{issuer_of, subject_of, valid_until},
    tls,
    trust::{Issuer, Trust},
};

/// The shortest and the longest time between two looks at a certificate.
const LOOK_MIN: Duration = Duration::from_secs(1);
const LOOK_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The connections there are, finishing ones too, by the issuers of their peers' certificates.
#[derive(Debug)]
pub(crate) struct Leases {
    trust: Arc<Trust>,
    tally: Arc<Tally>,
    issuers: Mutex<HashMap<u64, Vec<u8>>>,
    next: AtomicU64,
}

impl Leases {
    pub(crate) fn new(trust: Arc<Trust>, tally: Arc<Tally>) -> Self {
        Self {
            trust,
            tally,
            issuers: Mutex::default(),
            next: AtomicU64::new(0),
        }
    }

    fn issuers(&self) -> MutexGuard<'_, HashMap<u64, Vec<u8>>> {
        self.issuers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a connection until it ends, or ends it.
    pub(crate) fn hold(self: &Arc<Self>, side: Side, connection: &Connection) {
        let Some(chain) = tls::chain(connection) else {
            return;
        };
        let issuer = chain.first().and_then(|leaf| issuer_of(leaf));
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.issuers()
            .insert(key, issuer.unwrap_or_default().to_vec());
        let lease = Lease {
            leases: Arc::clone(self),
            key,
        };
        let connection = connection.clone();
        tokio::spawn(async move { lease.leases.watch(side, &connection, &chain).await });
    }

    async fn watch(&self, side: Side, connection: &Connection, chain: &[CertificateDer<'_>]) {
        let mut changes = self.trust.changes();
        let until = chain.first().and_then(|leaf| valid_until(leaf));
        loop {
            if let Err(error) = self.verify(side, chain) {
                return self.end(connection, &error);
            }
            // A second more: it is valid to the end of its last.
            let left = until.unwrap_or(u64::MAX).saturating_sub(self.trust.now());
            let look = Duration::from_secs(left.saturating_add(1)).clamp(LOOK_MIN, LOOK_MAX);
            tokio::select! {
                _ = connection.closed() => return,
                () = sleep(look) => {}
                // The trust lives as long as this does.
                _ = changes.changed() => {}
            }
        }
    }

    fn verify(&self, side: Side, chain: &[CertificateDer<'_>]) -> Result<(), Error> {
        let now = self.trust.time.current_time();
        let now = now.ok_or(Error::FailedToGetCurrentTime)?;
        self.trust.verify(side, chain, now)
    }

    fn end(&self, connection: &Connection, error: &Error) {
        let (refusal, reason) = match error {
            Error::InvalidCertificate(
                CertificateError::Expired | CertificateError::ExpiredContext { .. },
            ) => (Refusal::Expired, "its certificate has expired".to_owned()),
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => (
                Refusal::UnknownRoot,
                "its certificate is of a root that is not trusted any more".to_owned(),
            ),
            error => (Refusal::Other, error.to_string()),
        };
        self.tally.refused(refusal);
        warn!(address = %close::address(connection), reason, "connection ended");
        close::close(connection, Code::Refused, &reason);
    }

    /// Whether the peer's certificate is of another authority than the one that issues now.
    pub(crate) fn is_outdated(&self, connection: &Connection) -> bool {
        let chain = tls::chain(connection);
        let leaf = chain.as_deref().and_then(<[_]>::first);
        let issuer = leaf.and_then(|leaf| issuer_of(leaf));
        issuer.is_some_and(|issuer| self.is_other(issuer))
    }

    /// How many connections are [outdated](Self::is_outdated).
    pub(crate) fn outdated(&self) -> usize {
        let issuers = self.issuers();
        issuers.values().filter(|it| self.is_other(it)).count()
    }

    /// Authorities elsewhere may have several issuers at once; that says nothing.
    fn is_other(&self, issuer: &[u8]) -> bool {
        match &self.trust.current().issuer {
            Issuer::Own(ca) => subject_of(ca.certificate()) != Some(issuer),
            Issuer::Foreign { .. } => false,
        }
    }
}

/// Takes a connection off the list when dropped, also with the runtime that it was on.
struct Lease {
    leases: Arc<Leases>,
    key: u64,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.issuers().remove(&self.key);
    }
}
