//! Mutual TLS between the processes of one application.

use std::sync::Arc;

use modulith_wire::Certified;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};

use crate::{Authority, identity::Identity, naming};

/// What the peer must speak before it may say which version of the protocol.
const ALPN: &[u8] = b"modulith";

/// Both directions of one process.
pub(crate) struct Tls {
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) server: Arc<QuicServerConfig>,
}

/// The TLS library does not accept what it was given: a defect, or a broken authority.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Issue(#[from] crate::identity::IssueError),
    #[error("the certificate authority is not accepted")]
    Rustls(#[from] rustls::Error),
    #[error("the certificate authority is not accepted")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    #[error("no cipher suite is fit for QUIC")]
    Suite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

impl Tls {
    /// Makes the configurations of a process that shows a certificate with these names.
    ///
    /// Sessions are never resumed: a resumed one is not verified again, and would let a leaf
    /// outlive its last day.
    pub(crate) fn new(
        authority: &Authority,
        names: Vec<String>,
        time: Arc<dyn TimeProvider>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone())?;
        let roots = Arc::new(roots);
        let identity = Identity::new(authority.clone(), names, provider.clone(), time.clone())?;
        let identity = Arc::new(identity);
        Ok(Self {
            client: Arc::new(client(&provider, &time, &roots, &identity)?),
            server: Arc::new(server(&provider, &time, &roots, &identity)?),
        })
    }
}

fn client(
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
    roots: &Arc<RootCertStore>,
    identity: &Arc<Identity>,
) -> Result<QuicClientConfig, TlsError> {
    let mut config = rustls::ClientConfig::builder_with_details(provider.clone(), time.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_cert_resolver(identity.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config.try_into()?)
}

fn server(
    provider: &Arc<CryptoProvider>,
    time: &Arc<dyn TimeProvider>,
    roots: &Arc<RootCertStore>,
    identity: &Arc<Identity>,
) -> Result<QuicServerConfig, TlsError> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
    let mut config = rustls::ServerConfig::builder_with_details(provider.clone(), time.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config.try_into()?)
}

/// Who the verified certificate of a connection's peer says it is.
pub(crate) fn certified(
    connection: &quinn::Connection,
    application: &str,
) -> Result<Certified, String> {
    let identity = connection
        .peer_identity()
        .ok_or("it showed no certificate")?;
    let chain = identity
        .downcast::<Vec<CertificateDer<'static>>>()
        .map_err(|_| "it showed a certificate of an unknown kind")?;
    let leaf = chain.first().ok_or("it showed no certificate")?;
    let leaf = webpki::EndEntityCert::try_from(leaf)
        .map_err(|error| format!("its certificate cannot be read: {error}"))?;
    naming::certified(leaf.valid_dns_names(), application)
        .ok_or_else(|| format!("its certificate does not name one process of {application}"))
}
