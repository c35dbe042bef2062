//! The certificate authority of one application, kept in a folder and made on first use.
//!
//! The certificate in `ca.pem` is a function of the key in `ca.key`: same name, same dates, same
//! serial number, and Ed25519 signatures are deterministic. So the two files can never disagree
//! for long, and two processes that start at once only have to agree on the key.

use std::{fmt, io, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519,
    date_time_ymd,
};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};

use crate::{exclusive, naming};
use std::time::Duration;

const KEY_FILE: &str = "ca.key";
const CERTIFICATE_FILE: &str = "ca.pem";

/// How long a leaf is valid. Long enough that a process that cannot renew it is noticed before it
/// expires, short enough that a stolen one is soon worthless.
pub(crate) const LEAF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks may differ: a leaf is valid from this long before it was issued.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Signs the certificates of one application's processes.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    key: KeyPair,
    params: CertificateParams,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key, fresh.
pub(crate) struct Leaf {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivatePkcs8KeyDer<'static>,
}

impl Authority {
    /// Opens the authority in a folder, or creates it there.
    ///
    /// The folder is made with mode 0700, the key with 0600. Of processes that create it at the
    /// same time one wins, and all use the winner's key.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] when the files cannot be read or written, or do not belong together.
    pub fn open(folder: &Path) -> Result<Self, AuthorityError> {
        let failed = |attempt: &'static str, file: &str| {
            let path = folder.join(file).display().to_string();
            move |source| AuthorityError::File {
                attempt,
                path,
                source,
            }
        };
        exclusive::create_folder(folder).map_err(failed("create", ""))?;
        let pem = match exclusive::read(&folder.join(KEY_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if folder.join(CERTIFICATE_FILE).exists() {
                    let folder = folder.display().to_string();
                    return Err(AuthorityError::KeyMissing { folder });
                }
                let key = KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem();
                exclusive::create(folder, KEY_FILE, &key).map_err(failed("create", KEY_FILE))?
            }
            read => read.map_err(failed("read", KEY_FILE))?,
        };
        let authority = Self::from_key(&pem)?;
        let found = exclusive::create(folder, CERTIFICATE_FILE, &authority.certificate_pem()?)
            .map_err(failed("create", CERTIFICATE_FILE))?;
        if found != authority.certificate_pem()? {
            return Err(AuthorityError::Mismatch {
                folder: folder.display().to_string(),
            });
        }
        Ok(authority)
    }

    fn from_key(pem: &str) -> Result<Self, AuthorityError> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519)?;
        let params = params(&key);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                key,
                params,
                certificate,
            }),
        })
    }

    fn certificate_pem(&self) -> Result<String, AuthorityError> {
        Ok(self.inner.params.self_signed(&self.inner.key)?.pem())
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.inner.certificate
    }

    /// Issues a certificate for these DNS names, with a key that exists nowhere else.
    pub(crate) fn issue(&self, names: &[String], now: UnixTime) -> Result<Leaf, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::new(names)?;
        let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now.as_secs());
        params.not_before = now - CLOCK_SKEW;
        params.not_after = now + LEAF_LIFETIME;
        params.distinguished_name = common_name("Modulith process");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_params(&self.inner.params, &self.inner.key);
        let certificate = params.signed_by(&key, &issuer)?.der().clone();
        Ok(Leaf {
            certificate,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    /// A secret that every run of a process derives alike, for what its next run has to recognize.
    pub(crate) fn secret(&self, purpose: &str, process: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.inner.key.serialized_der());
        let mut context = hmac::Context::with_key(&key);
        for part in [purpose, "\0", process] {
            context.update(part.as_bytes());
        }
        let mut secret = [0; 32];
        secret.copy_from_slice(context.sign().as_ref());
        secret
    }
}

/// Everything about the authority's certificate that does not come from its key.
fn params(key: &KeyPair) -> CertificateParams {
    let mut params = CertificateParams::default();
    // In the name, because a verifier finds authorities by name: with the same one for all, a
    // certificate of another authority would look forged instead of foreign.
    let hash = digest::digest(&digest::SHA256, key.public_key_raw());
    let id: String = hash
        .as_ref()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    params.distinguished_name = common_name(&format!("Modulith authority {id}"));
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // Whoever trusts this authority for more than Modulith risks nothing by it.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName(naming::ROOT.to_owned())],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    distinguished_name.push(DnType::CommonName, name);
    distinguished_name
}

impl fmt::Debug for Authority {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self
            .inner
            .params
            .distinguished_name
            .get(&DnType::CommonName);
        f.debug_struct("Authority")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}

/// The authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file or folder cannot be read or created.
    #[error("cannot {attempt} {path}")]
    File {
        /// What was tried.
        attempt: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is a certificate without its key.
    #[error(
        "{folder} has a ca.pem but no ca.key; restore the key, or remove ca.pem and restart every \
         process"
    )]
    KeyMissing {
        /// The folder.
        folder: String,
    },
    /// The certificate is not that of the key.
    #[error(
        "ca.pem and ca.key in {folder} do not belong together; restore the pair, or remove ca.pem \
         to have it written anew"
    )]
    Mismatch {
        /// The folder.
        folder: String,
    },
    /// The key cannot be read, or a certificate not be made.
    #[error("the certificate authority's key or certificate is unusable")]
    Crypto(#[from] rcgen::Error),
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_can_read_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("certificates");
        Authority::open(&folder).unwrap();
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join(KEY_FILE)), 0o600);
    }

    #[test]
    fn opening_again_gives_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let first = Authority::open(folder.path()).unwrap();
        let second = Authority::open(folder.path()).unwrap();
        assert_eq!(first.certificate(), second.certificate());
        assert_eq!(
            first.secret("reset", "shop"),
            second.secret("reset", "shop")
        );
    }

    #[test]
    fn processes_that_create_it_at_the_same_time_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let certificates: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                Authority::open(folder.path())
                    .unwrap()
                    .certificate()
                    .clone()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(
            certificates
                .iter()
                .all(|certificate| *certificate == certificates[0])
        );
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, 2, "no temporary file is left behind");
    }

    #[test]
    fn a_certificate_without_its_key_is_an_error_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(KEY_FILE)).unwrap();
        let error = Authority::open(folder.path()).unwrap_err();
        assert!(
            matches!(error, AuthorityError::KeyMissing { .. }),
            "{error}"
        );
    }

    #[test]
    fn a_certificate_of_another_key_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        Authority::open(other.path()).unwrap();
        let certificate = other.path().join(CERTIFICATE_FILE);
        std::fs::copy(certificate, folder.path().join(CERTIFICATE_FILE)).unwrap();
        let error = Authority::open(folder.path()).unwrap_err();
        assert!(matches!(error, AuthorityError::Mismatch { .. }), "{error}");
    }
}
