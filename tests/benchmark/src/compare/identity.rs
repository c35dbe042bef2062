//! Certificates for the rivals: one authority, a leaf for each side, kept in a folder.
//!
//! The same kind of key as ours (Ed25519), and mutual TLS as ours, so that everybody who encrypts
//! promises the same.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ED25519,
};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::error::Error;

/// The name in the server's certificate.
pub(crate) const SERVER_NAME: &str = "localhost";

/// Which of the two leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Leaf {
    Server,
    Client,
}

impl Leaf {
    fn name(self) -> &'static str {
        match self {
            Self::Server => "rival-server",
            Self::Client => "rival-client",
        }
    }
}

/// One side's certificates as PEM: its own with its key, and the authority's.
pub(crate) struct Pem {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

/// Makes the authority and both leaves in a folder.
pub(crate) fn make(folder: &Path) -> Result<(), Error> {
    let files = generate().map_err(Error::of("rcgen", "make certificates"))?;
    for (name, text) in files {
        fs::write(folder.join(name), text).map_err(Error::io("write a certificate"))?;
    }
    Ok(())
}

fn generate() -> Result<Vec<(String, String)>, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = params.self_signed(&key)?;
    let issuer = Issuer::from_params(&params, &key);
    let mut files = vec![("rival-authority.pem".to_owned(), authority.pem())];
    for leaf in [Leaf::Server, Leaf::Client] {
        let key = KeyPair::generate_for(&PKCS_ED25519)?;
        let mut params = CertificateParams::new([SERVER_NAME.to_owned()])?;
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&key, &issuer)?;
        files.push((format!("{}.pem", leaf.name()), certificate.pem()));
        files.push((format!("{}.key", leaf.name()), key.serialize_pem()));
    }
    Ok(files)
}

impl Pem {
    /// Reads one side's from the folder.
    pub(crate) fn read(folder: &Path, leaf: Leaf) -> Result<Self, Error> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).map_err(Error::io("read a certificate"))
        };
        Ok(Self {
            certificate: read(&format!("{}.pem", leaf.name()))?,
            key: read(&format!("{}.key", leaf.name()))?,
            authority: read("rival-authority.pem")?,
        })
    }

    /// What a TLS server needs to know.
    pub(crate) fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let verifier = WebPkiClientVerifier::builder(Arc::new(self.roots()?));
        let verifier = verifier
            .build()
            .map_err(Error::of("rustls", "check its clients"))?;
        let (chain, key) = self.own()?;
        let config = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key);
        Ok(Arc::new(
            config.map_err(Error::of("rustls", "use its certificates"))?,
        ))
    }

    /// What a TLS client needs to know.
    pub(crate) fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let (chain, key) = self.own()?;
        let config = ClientConfig::builder()
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(chain, key);
        Ok(Arc::new(
            config.map_err(Error::of("rustls", "use its certificates"))?,
        ))
    }

    fn roots(&self) -> Result<RootCertStore, Error> {
        let authority = CertificateDer::from_pem_slice(self.authority.as_bytes());
        let authority = authority.map_err(Error::of("rustls", "read its authority"))?;
        let mut roots = RootCertStore::empty();
        roots
            .add(authority)
            .map_err(Error::of("rustls", "use its authority"))?;
        Ok(roots)
    }

    fn own(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let failed = || Error::of("rustls", "read its certificate");
        let chain = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(failed())?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(failed())?;
        Ok((vec![chain], key))
    }
}
