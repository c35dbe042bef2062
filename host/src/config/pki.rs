//! `[pki]`: certificates that come from elsewhere, and whose they are.

use std::{collections::BTreeMap, path::PathBuf};

use modulith_quic::{Authority, AuthorityError, Credentials, Foreign, ForeignError, ForeignPeer};
use toml::{Spanned, de::DeTable};

use super::{Config, ConfigError, ProcessConfig, table::Reader};

/// Stands for a process's name in the paths of its files.
const PROCESS: &str = "{process}";

/// Where the files are, which somebody else writes and renews.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PkiConfig {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) roots: String,
}

/// Reads the section.
pub(super) fn section(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<PkiConfig> {
    let value = root.get("pki")?;
    let section = reader.table("pki", value)?;
    reader.known_keys("pki", section, &["certificate", "key", "roots"]);
    let mut path = |name: &str| {
        let found = reader.text("pki", section, name);
        if section.get(name).is_none() {
            let expected = "the path of a PEM file";
            let error = ConfigError::expected(
                reader.line(value),
                format!("pki.{name}"),
                "nothing",
                expected,
            );
            reader.errors.push(error);
        }
        found.and_then(|text| text.get_ref().as_str().map(String::from))
    };
    let (certificate, key, roots) = (path("certificate"), path("key"), path("roots"));
    Some(PkiConfig {
        certificate: certificate?,
        key: key?,
        roots: roots?,
    })
}

/// Reads a process's identity, which is nobody else's.
pub(super) fn identity(
    reader: &mut Reader<'_>,
    path: &str,
    section: &DeTable<'_>,
    taken: &mut BTreeMap<String, String>,
) -> Option<String> {
    let value = reader.text(path, section, "identity")?;
    let text = value.get_ref().as_str().unwrap_or_default().to_string();
    let key = format!("{path}.identity");
    if !is_identity(&text) {
        let expected = "a URI such as \"spiffe://example.org/ns/shop/sa/orders\" or a DNS name";
        reader.wrong(&key, value, expected);
        return None;
    }
    if let Some(other) = taken.insert(text.clone(), key.clone()) {
        let problem = format!("{text} is also {other}; a certificate is one process's");
        let error = ConfigError::problem(reader.line(value), key, problem);
        reader.errors.push(error);
    }
    Some(text)
}

fn is_identity(text: &str) -> bool {
    match text.split_once("://") {
        Some((scheme, rest)) => {
            let is_plain = |b: u8| b.is_ascii_graphic();
            !scheme.is_empty() && !rest.is_empty() && text.bytes().all(is_plain)
        }
        None => text.split('.').all(|label| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            (1..=63).contains(&label.len()) && label.bytes().all(is_plain)
        }),
    }
}

/// An identity is of use only where certificates come from elsewhere.
pub(super) fn check_identities(
    reader: &mut Reader<'_>,
    root: &DeTable<'_>,
    processes: &[ProcessConfig],
) {
    let named = processes.iter().find(|process| process.identity.is_some());
    let (Some(process), None) = (named, root.get("pki")) else {
        return;
    };
    let problem = "is for certificates that come from elsewhere; add the section [pki]";
    let key = format!("process.{}.identity", process.name);
    let section = root.get("process");
    let line = section.and_then(|section: &Spanned<_>| reader.line(section));
    reader.errors.push(ConfigError::problem(line, key, problem));
}

impl Config {
    /// Where the certificates of a process come from. The application's own authority is made if
    /// there is none.
    pub(crate) fn credentials(&self, process: &str) -> Result<Credentials, AuthorityError> {
        match self.foreign(process) {
            Some(foreign) => Ok(foreign.into()),
            None => Ok(self.authority()?.into()),
        }
    }

    pub(crate) fn authority(&self) -> Result<Authority, AuthorityError> {
        Authority::open(&self.pki_folder())
    }

    /// The folder of the application's own authority.
    pub(crate) fn pki_folder(&self) -> PathBuf {
        self.data.join("pki")
    }

    /// The files of a process, where certificates come from elsewhere.
    fn foreign(&self, process: &str) -> Option<Foreign> {
        let pki = self.pki.as_ref()?;
        let path = |text: &str| PathBuf::from(text.replace(PROCESS, process));
        let peer = |peer: &ProcessConfig| ForeignPeer {
            process: peer.name.clone(),
            identity: peer.identity.clone(),
            modules: peer.modules.iter().map(ToString::to_string).collect(),
        };
        Some(Foreign {
            certificate: path(&pki.certificate),
            key: path(&pki.key),
            roots: path(&pki.roots),
            peers: self.processes.iter().map(peer).collect(),
        })
    }

    /// What is wrong with certificates that come from elsewhere.
    ///
    /// Files without a process's name in their path are those of the machine this runs on, and
    /// have to fit one of the processes.
    pub(crate) fn check_certificates(&self) -> Vec<ConfigError> {
        let Some(pki) = &self.pki else {
            return Vec::new();
        };
        let checked = self.processes.iter().filter_map(|process| {
            let foreign = self.foreign(&process.name)?;
            Some((process, foreign.check(&self.application, &process.name)))
        });
        let errors = checked.filter_map(|(process, found)| Some((process, found.err()?)));
        let errors: Vec<_> = errors.collect();
        if pki.certificate.contains(PROCESS) {
            return errors.iter().map(|(_, error)| problem(error)).collect();
        }
        let fits_one = errors.len() < self.processes.len();
        let Some((_, first)) = errors.first().filter(|_| !fits_one) else {
            return Vec::new();
        };
        match first {
            ForeignError::WrongName { path, found, .. } if errors.len() > 1 => {
                let path = path.display();
                let text =
                    format!("the certificate {path} is for {found}, no process is called so");
                vec![ConfigError::problem(None, "pki", text)]
            }
            first => vec![problem(first)],
        }
    }
}

fn problem(error: &ForeignError) -> ConfigError {
    let mut text = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        text.push_str(&format!(": {cause}"));
    }
    ConfigError::problem(None, "pki", text)
}
