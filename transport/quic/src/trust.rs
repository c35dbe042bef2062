//! Whom this process trusts and who vouches for it, replaced while it runs.
//!
//! The files are read again every [`POLL`]. What does not hold together is not taken over: the
//! process goes on with what it had, and says so once.

use std::{
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use ring::{digest, hmac};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    time_provider::TimeProvider,
};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use crate::{
    Authority, AuthorityError, Foreign, ForeignError,
    authority::{KEY_FILE, Kept, ROOTS_FILE},
    ca::Ca,
    exclusive,
    fingerprint::fingerprint,
    naming::NameError,
    peers::Peers,
};

/// How often the files are looked at. Two of these are the second within which a change is seen.
const POLL: Duration = Duration::from_millis(500);

/// Where the certificates of a process come from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The process issues its own, by the application's authority.
    Own(Authority),
    /// Somebody else issues them.
    Foreign(Foreign),
}

impl From<Authority> for Credentials {
    fn from(authority: Authority) -> Self {
        Self::Own(authority)
    }
}

impl From<Foreign> for Credentials {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign)
    }
}

impl Credentials {
    /// Of the files as they are now, to tell whether they have changed. `None` when one cannot be
    /// read.
    fn digest(&self) -> Option<Vec<u8>> {
        let files = match self {
            Self::Own(authority) => vec![authority.path(KEY_FILE), authority.path(ROOTS_FILE)],
            Self::Foreign(files) => {
                vec![
                    files.certificate.clone(),
                    files.key.clone(),
                    files.roots.clone(),
                ]
            }
        };
        let mut digest = digest::Context::new(&digest::SHA256);
        for file in files {
            let text = exclusive::read(&file).ok()?;
            digest.update(&(text.len() as u64).to_le_bytes());
            digest.update(text.as_bytes());
        }
        Some(digest.finish().as_ref().to_vec())
    }
}

/// The trust of one process.
#[derive(Debug)]
pub(crate) struct Trust {
    credentials: Credentials,
    application: String,
    process: String,
    pub(crate) peers: Peers,
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) time: Arc<dyn TimeProvider>,
    current: RwLock<Arc<Material>>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    seen: Mutex<Seen>,
}

/// What the last look at the files gave.
#[derive(Debug, Default)]
struct Seen {
    /// Of what they held, if it was good.
    digest: Option<Vec<u8>>,
    /// What was wrong with it otherwise.
    complaint: Option<String>,
}

/// What is trusted at one moment.
#[derive(Debug)]
pub(crate) struct Material {
    pub(crate) issuer: Issuer,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
    /// Of the roots, in the order of the file.
    pub(crate) fingerprints: Vec<String>,
    /// Of everything it was made from, to tell whether that has changed.
    digest: Vec<u8>,
    secret: Vec<u8>,
}

/// Where this process's certificate comes from.
#[derive(Debug)]
pub(crate) enum Issuer {
    Own(Box<Ca>),
    Foreign {
        key: Arc<CertifiedKey>,
        valid_until: u64,
    },
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Foreign(#[from] ForeignError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the roots are not accepted")]
    Roots(#[from] rustls::Error),
    #[error("the roots are not accepted")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("the clock cannot be read")]
    Clock,
}

impl Trust {
    pub(crate) fn load(
        credentials: &Credentials,
        application: &str,
        process: &str,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Arc<Self>, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let peers = match credentials {
            Credentials::Own(_) => Peers::own(application),
            Credentials::Foreign(foreign) => Peers::foreign(application, &foreign.peers)?,
        };
        let first = material(credentials, &peers, application, process, &provider, &*time)?;
        Ok(Arc::new(Self {
            credentials: credentials.clone(),
            application: application.to_owned(),
            process: process.to_owned(),
            peers,
            provider,
            time,
            current: RwLock::new(Arc::new(first)),
            changes: watch::Sender::new(0),
            seen: Mutex::default(),
        }))
    }

    pub(crate) fn current(&self) -> Arc<Material> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Told whenever [`Trust::current`] becomes another one.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Seconds since 1970.
    pub(crate) fn now(&self) -> u64 {
        self.time.current_time().map_or(0, |now| now.as_secs())
    }

    /// A secret that every run of this process derives alike, until its authority or key changes.
    pub(crate) fn secret(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.current().secret);
        let mut context = hmac::Context::with_key(&key);
        for part in [purpose, "\0", &self.process] {
            context.update(part.as_bytes());
        }
        let mut secret = [0; 32];
        secret.copy_from_slice(context.sign().as_ref());
        secret
    }

    /// Reads the files again, and takes over what is new in them.
    pub(crate) fn reload(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken first: what changes after it is seen the next time.
        let digest = self.credentials.digest();
        if digest.is_some() && seen.digest == digest {
            return;
        }
        let read = material(
            &self.credentials,
            &self.peers,
            &self.application,
            &self.process,
            &self.provider,
            &*self.time,
        );
        match read {
            Ok(fresh) => {
                let complaint = None;
                *seen = Seen { digest, complaint };
                self.take_over(fresh);
            }
            Err(error) => {
                let problem = problem(&error);
                seen.digest = None;
                if seen.complaint.as_ref() != Some(&problem) {
                    warn!(
                        problem,
                        "certificates cannot be read anew; the old ones stay"
                    );
                    seen.complaint = Some(problem);
                }
            }
        }
    }

    fn take_over(&self, fresh: Material) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.digest == fresh.digest {
            return;
        }
        info!(roots = ?fresh.fingerprints, "certificates changed");
        *current = Arc::new(fresh);
        drop(current);
        self.changes.send_modify(|changes| *changes += 1);
    }
}

/// Follows the files for as long as the runtime lives.
pub(crate) async fn follow(trust: Arc<Trust>) {
    let mut interval = interval(POLL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let trust = Arc::clone(&trust);
        // On a thread where it may block: the files may be on a network's disk.
        if tokio::task::spawn_blocking(move || trust.reload())
            .await
            .is_err()
        {
            return;
        }
    }
}

/// An error and its causes in one line.
fn problem(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Transparent errors say what their source says.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

fn material(
    credentials: &Credentials,
    peers: &Peers,
    application: &str,
    process: &str,
    provider: &Arc<CryptoProvider>,
    time: &dyn TimeProvider,
) -> Result<Material, TrustError> {
    match credentials {
        Credentials::Own(authority) => {
            let Kept { issuing, roots } = authority.load()?;
            let secret = issuing.serialized_key().to_vec();
            let shown = [issuing.certificate().clone()];
            Material::new(
                provider,
                Issuer::Own(Box::new(issuing)),
                &shown,
                &roots,
                secret,
            )
        }
        Credentials::Foreign(foreign) => {
            let now = time.current_time().ok_or(TrustError::Clock)?;
            let given = foreign.load(provider, peers, application, process, now)?;
            let issuer = Issuer::Foreign {
                key: Arc::clone(&given.key),
                valid_until: given.valid_until,
            };
            Material::new(
                provider,
                issuer,
                &given.key.cert,
                &given.roots,
                given.secret,
            )
        }
    }
}

impl Material {
    fn new(
        provider: &Arc<CryptoProvider>,
        issuer: Issuer,
        shown: &[CertificateDer<'_>],
        roots: &[CertificateDer<'static>],
        secret: Vec<u8>,
    ) -> Result<Self, TrustError> {
        let mut digest = digest::Context::new(&digest::SHA256);
        for certificate in shown.iter().chain(roots) {
            digest.update(fingerprint(certificate).as_bytes());
        }
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone())?;
        }
        let store = Arc::new(store);
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::clone(&store), Arc::clone(provider));
        Ok(Self {
            issuer,
            clients: builder.build()?,
            roots: store,
            fingerprints: roots.iter().map(|root| fingerprint(root)).collect(),
            digest: digest.finish().as_ref().to_vec(),
            secret,
        })
    }

    /// The fingerprint of the root by which this process issues its own certificates.
    pub(crate) fn issuing(&self) -> Option<String> {
        match &self.issuer {
            Issuer::Own(ca) => Some(fingerprint(ca.certificate())),
            Issuer::Foreign { .. } => None,
        }
    }
}
