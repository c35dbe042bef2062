//! The configuration: where the data is, which process hosts which modules, what modules are set
//! to.

mod error;
mod pki;
mod read;
mod table;
mod traffic;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    ops::RangeInclusive,
    path::PathBuf,
};

pub(crate) use error::{ConfigError, ConfigErrors};
pub(crate) use pki::PkiConfig;
pub(crate) use read::{Loaded, load, without_file};
pub(crate) use traffic::{DnsName, Rules, Traffic};

/// Where the storefront listens unless the configuration says otherwise.
pub(crate) const HTTP_DEFAULT: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));

/// Any free port, for this machine alone.
pub(crate) const LOOPBACK_ANY: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

/// How many instances of one process there may be.
///
/// How many network threads a process may have: no machine has use for more than its cores.
pub(crate) const NETWORK_THREADS: RangeInclusive<u16> = 1..=64;

/// How long a network thread may look for news before it sleeps, in microseconds. A millisecond is
/// twenty times what waking costs.
pub(crate) const SPIN_US: RangeInclusive<u16> = 0..=1000;

/// 64: more than a machine has use for; each is a process with threads of its own.
pub(crate) const REPLICAS: RangeInclusive<u16> = 1..=64;

/// A checked configuration: every module is placed once, every name is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    /// The application's name, by which certificates know it.
    pub(crate) application: String,
    /// The folder of everything that lasts.
    pub(crate) data: PathBuf,
    /// Whether even messages within a process are encoded and decoded.
    pub(crate) encode_always: bool,
    /// The processes, in the order of the file.
    pub(crate) processes: Vec<ProcessConfig>,
    /// How calls between processes are treated.
    pub(crate) traffic: Vec<Traffic>,
    /// The request header that says which tag what is asked for that request carries.
    pub(crate) tag_header: Option<String>,
    /// Where certificates come from; none when the application has its own authority.
    pub(crate) pki: Option<PkiConfig>,
    /// Of each module that is divided: into how many partitions.
    pub(crate) partitions: BTreeMap<&'static str, u16>,
    /// The file it came from, to be read again for the modules' settings.
    pub(crate) file: Option<PathBuf>,
}

/// One process of the application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProcessConfig {
    pub(crate) name: String,
    pub(crate) modules: Vec<&'static str>,
    /// How many instances of it run, within [`REPLICAS`]. Default 1.
    pub(crate) replicas: u16,
    /// Under which name others find its instances; none to read the run folder.
    pub(crate) dns: Option<DnsName>,
    /// The program that its launcher starts; none for this one.
    pub(crate) program: Option<PathBuf>,
    /// Where its pages are served; none when it hosts none.
    pub(crate) http: Option<SocketAddr>,
    /// Where other processes reach it; none to take a free port and write it down.
    pub(crate) quic: Option<SocketAddr>,
    /// Where its status is served.
    pub(crate) admin: SocketAddr,
    /// How many threads carry its connections, within [`NETWORK_THREADS`]. Default 1.
    pub(crate) network_threads: u16,
    /// How long those look for news before they sleep, in microseconds, within [`SPIN_US`].
    /// Default 0.
    pub(crate) spin_us: u16,
    /// What its certificate is for, where that comes from elsewhere.
    pub(crate) identity: Option<String>,
}

impl Config {
    /// Whether one process with one instance is all there is.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self.processes.as_slice(), [only] if only.replicas == 1)
    }

    /// Into how many partitions a module is divided.
    pub(crate) fn partitions_of(&self, module: &str) -> u16 {
        self.partitions.get(module).copied().unwrap_or(1)
    }

    pub(crate) fn process(&self, name: &str) -> Option<&ProcessConfig> {
        self.processes.iter().find(|process| process.name == name)
    }
}

impl ProcessConfig {
    /// An address that only one instance can have: which key says so.
    pub(crate) fn only_address(&self) -> Option<&'static str> {
        let is_fixed = |address: SocketAddr| address.port() != 0;
        // With a DNS name each instance has an address of its own, and the port is the service's.
        if self.dns.is_none() && self.quic.is_some_and(is_fixed) {
            Some("quic")
        } else if is_fixed(self.admin) {
            Some("admin")
        } else {
            None
        }
    }
}
