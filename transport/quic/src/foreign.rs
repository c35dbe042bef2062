//! Certificates that somebody else issues, such as cert-manager or SPIRE, read from files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use webpki::EndEntityCert;

use crate::{
    exclusive,
    fingerprint::valid_until,
    naming::{self, NameError},
    peers::{self, Peers},
};

/// Where the certificate of this process is, and whose certificates there are.
///
/// The files are PEM. They are read again when they change, so whoever renews them only has to
/// replace them; until all of them fit together again, the process goes on with what it had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// The certificate of this process, followed by those between it and a root.
    pub certificate: PathBuf,
    /// Its private key: PKCS #8 or SEC 1, Ed25519 or ECDSA.
    pub key: PathBuf,
    /// The certificates of the authorities that are trusted.
    pub roots: PathBuf,
    /// Every process of the application, this one included.
    pub peers: Vec<ForeignPeer>,
}

/// A process, by its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPeer {
    /// Its name.
    pub process: String,
    /// What its certificate is for: a URI such as a SPIFFE id, or else a DNS name. Without it, the
    /// name Modulith itself would give: `<process>.process.<application>.modulith`.
    pub identity: Option<String>,
    /// The modules it may speak for.
    pub modules: Vec<String>,
}

/// What the files hold.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) valid_until: u64,
    pub(crate) roots: Vec<CertificateDer<'static>>,
    /// Something only this process knows, and its next run too unless it has a new key by then.
    pub(crate) secret: Vec<u8>,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// One cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// One holds something else.
    #[error("{} holds no {expected} as PEM: {problem}", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is of a kind that is not supported.
    #[error("the key {} cannot be used, expected an Ed25519 or ECDSA P-256 key: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is another certificate's.
    #[error("the key {} does not belong to the certificate {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The certificate is over.
    #[error("the certificate {} has expired, {} seconds ago", path.display(), seconds)]
    Expired {
        /// The file.
        path: PathBuf,
        /// For how long.
        seconds: u64,
    },
    /// No peer would accept it.
    #[error("the certificate {} is not accepted under the roots {}: {problem}", path.display(), roots.display())]
    Untrusted {
        /// The certificate.
        path: PathBuf,
        /// The roots.
        roots: PathBuf,
        /// Why not.
        problem: String,
    },
    /// It is for somebody else.
    #[error("the certificate {} is for {found}, process {process} needs one for {expected}", path.display())]
    WrongName {
        /// The certificate.
        path: PathBuf,
        /// The process.
        process: String,
        /// The names in it.
        found: String,
        /// The name that should be.
        expected: String,
    },
    /// A process has a name that is no name.
    #[error(transparent)]
    Name(#[from] NameError),
}

impl Foreign {
    /// Looks for mistakes before they matter: whether the files can be used by a process.
    ///
    /// # Errors
    ///
    /// [`ForeignError`], the first one found.
    pub fn check(&self, application: &str, process: &str) -> Result<(), ForeignError> {
        let provider = rustls::crypto::ring::default_provider();
        let peers = Peers::foreign(application, &self.peers)?;
        let now = UnixTime::now();
        self.load(&provider, &peers, application, process, now)?;
        Ok(())
    }

    /// Reads the files and checks that this process can speak with them.
    pub(crate) fn load(
        &self,
        provider: &CryptoProvider,
        peers: &Peers,
        application: &str,
        process: &str,
        now: UnixTime,
    ) -> Result<Given, ForeignError> {
        let chain = certificates(&self.certificate, "certificate")?;
        let roots = certificates(&self.roots, "certificate of an authority")?;
        let text = read(&self.key)?;
        let der = PrivateKeyDer::from_pem_slice(text.as_bytes())
            .map_err(|error| not_pem(&self.key, "private key", error))?;
        let secret = der.secret_der().to_vec();
        let key = self.certified(provider, chain, der)?;
        let leaf = &key.cert[0];
        let valid_until = valid_until(leaf).unwrap_or(u64::MAX);
        if valid_until < now.as_secs() {
            return Err(ForeignError::Expired {
                path: self.certificate.clone(),
                seconds: now.as_secs() - valid_until,
            });
        }
        self.check_trusted(provider, &key.cert, &roots, now)?;
        self.check_name(leaf, peers, application, process)?;
        Ok(Given {
            key: Arc::new(key),
            valid_until,
            roots,
            secret,
        })
    }

    fn certified(
        &self,
        provider: &CryptoProvider,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<CertifiedKey, ForeignError> {
        let unusable = |error: rustls::Error| ForeignError::Key {
            path: self.key.clone(),
            problem: error.to_string(),
        };
        let signer = provider.key_provider.load_private_key(key);
        let certified = CertifiedKey::new(chain, signer.map_err(unusable)?);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(rustls::Error::InconsistentKeys(_)) => Err(ForeignError::Mismatch {
                certificate: self.certificate.clone(),
                key: self.key.clone(),
            }),
            Err(error) => Err(not_pem(&self.certificate, "certificate", error)),
        }
    }

    /// A process may find itself on either side of a connection.
    fn check_trusted(
        &self,
        provider: &CryptoProvider,
        chain: &[CertificateDer<'_>],
        roots: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ForeignError> {
        let untrusted = |problem: String| ForeignError::Untrusted {
            path: self.certificate.clone(),
            roots: self.roots.clone(),
            problem,
        };
        let anchors = roots
            .iter()
            .map(|root| webpki::anchor_from_trusted_cert(root))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| not_pem(&self.roots, "certificate of an authority", error))?;
        let Some((leaf, between)) = chain.split_first() else {
            return Err(untrusted("there is none".to_owned()));
        };
        let leaf = EndEntityCert::try_from(leaf)
            .map_err(|error| not_pem(&self.certificate, "certificate", error))?;
        let algorithms = provider.signature_verification_algorithms.all;
        for (usage, name) in [
            (webpki::KeyUsage::server_auth(), "server"),
            (webpki::KeyUsage::client_auth(), "client"),
        ] {
            leaf.verify_for_usage(algorithms, &anchors, between, now, usage, None, None)
                .map_err(|error| untrusted(format!("as a {name}: {error}")))?;
        }
        Ok(())
    }

    fn check_name(
        &self,
        leaf: &CertificateDer<'_>,
        peers: &Peers,
        application: &str,
        process: &str,
    ) -> Result<(), ForeignError> {
        let server_name = naming::process(process, application)?;
        let expected = peers.identity(&server_name);
        let leaf = EndEntityCert::try_from(leaf)
            .map_err(|error| not_pem(&self.certificate, "certificate", error))?;
        if peers.is_at(&server_name, &leaf) {
            return Ok(());
        }
        Err(ForeignError::WrongName {
            path: self.certificate.clone(),
            process: process.to_owned(),
            found: peers::names(&leaf),
            expected: expected.as_str().to_owned(),
        })
    }
}

fn certificates(
    path: &Path,
    expected: &'static str,
) -> Result<Vec<CertificateDer<'static>>, ForeignError> {
    let text = read(path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(path, expected, error))?;
    if found.is_empty() {
        return Err(not_pem(path, expected, "there is none"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<String, ForeignError> {
    exclusive::read(path).map_err(|source| ForeignError::File {
        path: path.to_owned(),
        source,
    })
}

fn not_pem(path: &Path, expected: &'static str, problem: impl ToString) -> ForeignError {
    ForeignError::Pem {
        path: path.to_owned(),
        expected,
        problem: problem.to_string(),
    }
}
