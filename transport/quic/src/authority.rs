//! The certificate authority of one application, kept in a folder and made on first use.
//!
//! `ca.key` is the key that issues; its certificate is a function of it. `ca.pem` has the roots
//! that are trusted: that certificate, and during a rotation one more. Every change is one file
//! replaced as a whole, and what issues is always among what is trusted. So the folder works at
//! any moment, and two processes that start at once only have to agree on the key.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    ca::Ca,
    exclusive,
    fingerprint::{Root, fingerprint},
};

pub(crate) const KEY_FILE: &str = "ca.key";
pub(crate) const ROOTS_FILE: &str = "ca.pem";
/// The key of the authority to come, while a rotation is under way.
pub(crate) const NEXT_KEY_FILE: &str = "next.key";

/// How often a folder that changes while it is read is read again.
const READ_ATTEMPTS: usize = 5;

/// The certificate authority of one application, in its folder.
///
/// Rotation replaces it while processes run; see [`Rotation`](crate::Rotation).
#[derive(Debug, Clone)]
pub struct Authority {
    folder: Arc<Path>,
}

/// What the folder holds at one moment.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) issuing: Ca,
    pub(crate) roots: Vec<CertificateDer<'static>>,
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
        let authority = Self {
            folder: folder.into(),
        };
        exclusive::create_folder(folder).map_err(authority.failed("create", ""))?;
        if !folder.join(KEY_FILE).exists() {
            if folder.join(ROOTS_FILE).exists() {
                let folder = folder.display().to_string();
                return Err(AuthorityError::KeyMissing { folder });
            }
            exclusive::create(folder, KEY_FILE, &Ca::new_key()?)
                .map_err(authority.failed("create", KEY_FILE))?;
        }
        if !folder.join(ROOTS_FILE).exists() {
            let issuing = Ca::from_key(&authority.read(KEY_FILE)?)?;
            exclusive::create(folder, ROOTS_FILE, &issuing.certificate_pem()?)
                .map_err(authority.failed("create", ROOTS_FILE))?;
        }
        authority.load()?;
        Ok(authority)
    }

    /// Whether there is an authority in a folder.
    pub fn exists(folder: &Path) -> bool {
        folder.join(KEY_FILE).exists()
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The roots that are trusted, the older one first.
    ///
    /// # Errors
    ///
    /// As [`Authority::open`].
    pub fn roots(&self) -> Result<Vec<Root>, AuthorityError> {
        let kept = self.load()?;
        let issuing = fingerprint(kept.issuing.certificate());
        let roots = kept.roots.iter().map(|root| Root::read(root, &issuing));
        Ok(roots.collect())
    }

    /// Reads the folder. One that is changing meanwhile is read again.
    pub(crate) fn load(&self) -> Result<Kept, AuthorityError> {
        let mut loaded = self.load_once();
        for _ in 1..READ_ATTEMPTS {
            // A rotation may have replaced one file between the reading of both.
            if !matches!(loaded, Err(AuthorityError::Mismatch { .. })) {
                break;
            }
            loaded = self.load_once();
        }
        loaded
    }

    fn load_once(&self) -> Result<Kept, AuthorityError> {
        let issuing = Ca::from_key(&self.read(KEY_FILE)?)?;
        let roots = self.read_roots()?;
        if roots.contains(issuing.certificate()) {
            return Ok(Kept { issuing, roots });
        }
        Err(AuthorityError::Mismatch {
            folder: self.folder.display().to_string(),
        })
    }

    pub(crate) fn read_roots(&self) -> Result<Vec<CertificateDer<'static>>, AuthorityError> {
        let text = self.read(ROOTS_FILE)?;
        CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| AuthorityError::Roots {
                path: self.path(ROOTS_FILE),
                problem: error.to_string(),
            })
    }

    pub(crate) fn read(&self, file: &str) -> Result<String, AuthorityError> {
        exclusive::read(&self.folder.join(file)).map_err(self.failed("read", file))
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    pub(crate) fn failed(
        &self,
        attempt: &'static str,
        file: &str,
    ) -> impl FnOnce(io::Error) -> AuthorityError + use<> {
        let path = self.path(file).display().to_string();
        move |source| AuthorityError::File {
            attempt,
            path,
            source,
        }
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
    /// The trusted roots cannot be read.
    #[error("{} does not hold certificates: {problem}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Another rotation is under way.
    #[error("{folder} is being rotated by another command; wait until it has ended")]
    Busy {
        /// The folder.
        folder: String,
    },
    /// A step of a rotation does not follow from where it stands.
    #[error("{0}")]
    Order(&'static str),
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
        let (first, second) = (
            first.load().unwrap().issuing,
            second.load().unwrap().issuing,
        );
        assert_eq!(first.certificate(), second.certificate());
    }

    #[test]
    fn processes_that_create_it_at_the_same_time_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let barrier = std::sync::Barrier::new(8);
        let certificates: Vec<_> = std::thread::scope(|scope| {
            let open = || {
                barrier.wait();
                let authority = Authority::open(folder.path()).unwrap();
                authority.load().unwrap().issuing.certificate().clone()
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
        let certificate = other.path().join(ROOTS_FILE);
        std::fs::copy(certificate, folder.path().join(ROOTS_FILE)).unwrap();
        let error = Authority::open(folder.path()).unwrap_err();
        assert!(matches!(error, AuthorityError::Mismatch { .. }), "{error}");
    }
}
