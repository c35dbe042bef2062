//! The configuration: where the data is, which process hosts which modules, what modules are set
//! to.

mod error;
mod read;
mod table;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
};

pub(crate) use error::{ConfigError, ConfigErrors};
pub(crate) use read::{Loaded, load, without_file};

/// Where the storefront listens unless the configuration says otherwise.
pub(crate) const HTTP_DEFAULT: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));

/// Any free port, for this machine alone.
pub(crate) const LOOPBACK_ANY: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0));

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
    /// Where its pages are served; none when it hosts none.
    pub(crate) http: Option<SocketAddr>,
    /// Where other processes reach it; none to take a free port and write it down.
    pub(crate) quic: Option<SocketAddr>,
    /// Where its status is served.
    pub(crate) admin: SocketAddr,
}

impl Config {
    /// Into how many partitions a module is divided.
    pub(crate) fn partitions_of(&self, module: &str) -> u16 {
        self.partitions.get(module).copied().unwrap_or(1)
    }

    pub(crate) fn process(&self, name: &str) -> Option<&ProcessConfig> {
        self.processes.iter().find(|process| process.name == name)
    }
}
