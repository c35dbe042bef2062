//! Mutual TLS between the processes of one application.

use std::sync::Arc;

use modulith_wire::Certified;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    client::Resumption, pki_types::CertificateDer, server::NoServerSessionStorage, version::TLS13,
};

use crate::{
    counters::{Failed, Refusal},
    identity::Identity,
    trust::Trust,
    verifier::Verifier,
};

/// What the peer must speak before it may say which version of the protocol.
const ALPN: &[u8] = b"modulith";

/// Both directions of one process.
pub(crate) struct Tls {
    pub(crate) client: Arc<QuicClientConfig>,
    pub(crate) server: Arc<QuicServerConfig>,
    pub(crate) identity: Arc<Identity>,
}

/// The TLS library does not accept what it was given: a defect.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Issue(#[from] crate::identity::IssueError),
    #[error("the certificates are not accepted")]
    Rustls(#[from] rustls::Error),
    #[error("no cipher suite is fit for QUIC")]
    Suite(#[from] quinn::crypto::rustls::NoInitialCipherSuite),
}

impl Tls {
    /// Makes the configurations of a process that shows a certificate with these names.
    ///
    /// Sessions are never resumed: a resumed one is not verified again, and would let a leaf
    /// outlive its last day.
    pub(crate) fn new(trust: &Arc<Trust>, names: Vec<String>) -> Result<Self, TlsError> {
        let identity = Arc::new(Identity::new(Arc::clone(trust), names)?);
        let verifier = Arc::new(Verifier::new(Arc::clone(trust)));
        Ok(Self {
            client: Arc::new(client(trust, &verifier, &identity)?),
            server: Arc::new(server(trust, &verifier, &identity)?),
            identity,
        })
    }
}

fn client(
    trust: &Trust,
    verifier: &Arc<Verifier>,
    identity: &Arc<Identity>,
) -> Result<QuicClientConfig, TlsError> {
    let (provider, time) = (Arc::clone(&trust.provider), Arc::clone(&trust.time));
    let mut config = rustls::ClientConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])?
        // What rustls calls every verifier that is not its own; ours asks rustls.
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone())
        .with_client_cert_resolver(identity.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config.try_into()?)
}

fn server(
    trust: &Trust,
    verifier: &Arc<Verifier>,
    identity: &Arc<Identity>,
) -> Result<QuicServerConfig, TlsError> {
    let (provider, time) = (Arc::clone(&trust.provider), Arc::clone(&trust.time));
    let mut config = rustls::ServerConfig::builder_with_details(provider, time)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(identity.clone());
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config.try_into()?)
}

/// The certificates a connection's peer showed, its own first.
pub(crate) fn chain(connection: &quinn::Connection) -> Option<Vec<CertificateDer<'static>>> {
    let identity = connection.peer_identity()?;
    identity.downcast().ok().map(|chain| *chain)
}

/// Who the verified certificate of a connection's peer says it is.
pub(crate) fn certified(
    connection: &quinn::Connection,
    trust: &Trust,
) -> Result<Certified, Failed> {
    let chain = chain(connection);
    match chain.as_deref().and_then(<[_]>::first) {
        Some(leaf) => trust.peers.certified(leaf),
        None => Err(Failed::refused(
            Refusal::NoCertificate,
            "it showed no certificate",
        )),
    }
}
