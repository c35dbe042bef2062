//! One certificate authority: a key, and the certificate that is a function of it.
//!
//! Same name, same dates, same serial number, and Ed25519 signatures are deterministic. So whoever
//! has the key has the certificate, and a folder has to keep only keys in step.

use std::{fmt, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ED25519,
    date_time_ymd,
};
use ring::digest;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};

use crate::naming;

/// How long a leaf is valid. Long enough that a process that cannot renew it is noticed before it
/// expires, short enough that a stolen one is soon worthless.
pub(crate) const LEAF_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// How far clocks may differ: a leaf is valid from this long before it was issued.
const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Signs the certificates of processes.
pub(crate) struct Ca {
    key: KeyPair,
    params: CertificateParams,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key, fresh.
pub(crate) struct Leaf {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivatePkcs8KeyDer<'static>,
}

impl Ca {
    /// A key for a new authority, as PEM.
    pub(crate) fn new_key() -> Result<String, rcgen::Error> {
        Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem())
    }

    pub(crate) fn from_key(pem: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519)?;
        let params = params(&key);
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Self {
            key,
            params,
            certificate,
        })
    }

    pub(crate) fn certificate_pem(&self) -> Result<String, rcgen::Error> {
        Ok(self.params.self_signed(&self.key)?.pem())
    }

    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
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
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer)?.der().clone();
        Ok(Leaf {
            certificate,
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
        })
    }

    pub(crate) fn serialized_key(&self) -> &[u8] {
        self.key.serialized_der()
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

impl fmt::Debug for Ca {
    /// Leaves the key out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.params.distinguished_name.get(&DnType::CommonName);
        f.debug_struct("Ca")
            .field("name", &name)
            .finish_non_exhaustive()
    }
}
