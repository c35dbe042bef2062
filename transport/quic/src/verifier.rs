//! Verifies peers against what is trusted at the moment of the handshake.
//!
//! The chain, the dates and the purpose are checked by rustls, as it does by itself. Two things
//! are different: the roots may have been replaced since the process started, and the name that a
//! server must show may be a URI, which rustls does not compare.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use webpki::EndEntityCert;

use crate::{Side, peers, trust::Trust};

#[derive(Debug)]
pub(crate) struct Verifier {
    trust: Arc<Trust>,
}

impl Verifier {
    pub(crate) fn new(trust: Arc<Trust>) -> Self {
        Self { trust }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl Trust {
    /// Whether a peer's chain is (still) good for its side of a connection: it leads to a root, is
    /// within its dates, and may be used for this.
    ///
    /// The side is ours: where we dialled, the peer is a server.
    pub(crate) fn verify(
        &self,
        side: Side,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let (leaf, between) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let material = self.current();
        match side {
            Side::Accepted => material
                .clients
                .verify_client_cert(leaf, between, now)
                .map(|_| ()),
            Side::Dialled => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(leaf)?,
                &material.roots,
                between,
                now,
                self.provider.signature_verification_algorithms.all,
            ),
        }
    }

    /// Whether a server is the one that was dialled.
    fn verify_name(
        &self,
        leaf: &CertificateDer<'_>,
        dialled: &ServerName<'_>,
    ) -> Result<(), Error> {
        let certificate =
            EndEntityCert::try_from(leaf).map_err(|_| CertificateError::BadEncoding)?;
        if self.peers.is_at(&dialled.to_str(), &certificate) {
            return Ok(());
        }
        let (expected, presented) = (dialled.to_owned(), vec![peers::names(&certificate)]);
        Err(CertificateError::NotValidForNameContext {
            expected,
            presented,
        }
        .into())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        dialled: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = chain(leaf, intermediates);
        self.trust.verify(Side::Dialled, &chain, now)?;
        self.trust.verify_name(leaf, dialled)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

impl ClientCertVerifier for Verifier {
    /// None: processes show the one certificate they have, whoever asks.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Who the client is, and whether that may speak with us, is settled after the handshake.
    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = chain(leaf, intermediates);
        self.trust.verify(Side::Accepted, &chain, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.trust.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes()
    }
}

fn chain<'a>(
    leaf: &CertificateDer<'a>,
    intermediates: &[CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    let leaf = std::iter::once(leaf.clone());
    leaf.chain(intermediates.iter().cloned()).collect()
}
