//! Asking another process: the port beside tonic, tarpc and our own frames on other carriers.
//!
//! Everybody's server is a process with one current-thread runtime, everybody's callers are tasks
//! of another; both run on the same machine and over loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::child::Served;
use super::frames::{self, Address, Carrier};
use super::options::Options;
use super::ours::{self, Side};
use super::report::{Heat, WITH_SPINNING};
use super::turns::{self, Entrant, Field};
use super::{grpc, identity, tarpc};
use crate::error::Error;

/// Sizes of a body, and how many requests are in flight at each.
const SIZES: [(&str, usize, &[u16]); 3] = [
    ("wire-64B", 64, &[1, 16, 64, 256]),
    ("wire-1KiB", 1 << 10, &[1, 16, 64, 256]),
    ("wire-1MiB", 1 << 20, &[1, 8]),
];

/// Over how many connections tonic may try; the best counts.
const TONIC_CONNECTIONS: [u16; 3] = [1, 2, 4];

/// The group that a whole run measures with spinning too, and how long we spin then.
const SPUN: &str = "wire-64B";
const SPIN: Duration = Duration::from_micros(200);

/// Compares. Inside an actix system.
pub(crate) async fn compare(options: &Options, folder: &Path) -> Result<Vec<Heat>, Error> {
    let rivals = Rivals::start(&folder.join("wire"))?;
    let mut heats = Vec::new();
    let spin = options.spin.unwrap_or_default();
    heats.extend(rivals.compare(options, spin, |_| true).await?);
    if options.spin.is_none() && !options.quick {
        heats.extend(rivals.compare(options, SPIN, |group| group == SPUN).await?);
    }
    Ok(heats)
}

/// Everybody else's server, and the folder in which all have their certificates.
struct Rivals {
    folder: PathBuf,
    tonic: Served,
    tonic_tls: Served,
    tarpc: Served,
    /// Of our own frames: the name, the server and who asks.
    carriers: Vec<(&'static str, Served, frames::Asks)>,
}

impl Rivals {
    fn start(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir(folder).map_err(Error::io("make a folder for certificates"))?;
        identity::make(folder)?;
        let start = |name| Served::start(name, folder, &[]);
        let mut carriers = Vec::new();
        for (name, carrier) in [
            ("tcp", Carrier::Tcp),
            ("tcp-tls", Carrier::Tls),
            ("unix", Carrier::Unix),
        ] {
            let served = start(name)?;
            let at = match carrier {
                Carrier::Unix => Address::Path(served.line.clone().into()),
                Carrier::Tcp | Carrier::Tls => Address::Ip(address(&served)?),
            };
            let asks = frames::Asks::new(folder, at, carrier, served.processes())?;
            carriers.push((name, served, asks));
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            tonic: start("tonic")?,
            tonic_tls: start("tonic-tls")?,
            tarpc: start("tarpc")?,
            carriers,
        })
    }

    /// Compares us with everybody; where we spin and were not told to, with those who encrypt.
    async fn compare(
        &self,
        options: &Options,
        spin: Duration,
        is_meant: fn(&str) -> bool,
    ) -> Result<Vec<Heat>, Error> {
        let suffix = if spin.is_zero() { "" } else { WITH_SPINNING };
        let sizes = SIZES
            .into_iter()
            .map(|(group, bytes, in_flight)| (group, format!("{group}{suffix}"), bytes, in_flight));
        let wanted: Vec<_> = sizes
            .filter(|(group, named, ..)| is_meant(group) && options.wants(named))
            .collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let spun = ["--spin".to_owned(), spin.as_micros().to_string()];
        let server = Served::start("modulith", &self.folder, &spun)?;
        let process = format!("{}{suffix}", ours::CLIENT);
        let side = Side::ask(&self.folder, &process, address(&server)?, spin)?;
        let sides = [Arc::new(side)];
        let mut fields = Vec::new();
        for (_, group, bytes, in_flight) in wanted {
            for &callers in in_flight {
                let ours = ours::Asks::new(&sides, bytes, server.processes());
                let mut entrants = vec![Entrant::ours(ours.attached())];
                entrants.extend(self.entrants(bytes, callers)?);
                if !spin.is_zero() && options.spin.is_none() {
                    entrants.retain(Entrant::is_encrypted);
                }
                fields.push(Field {
                    group: group.clone(),
                    callers,
                    chunk: 1,
                    entrants,
                });
            }
        }
        let heats = turns::take(fields, options).await;
        sides[0].close();
        heats
    }

    fn entrants(&self, bytes: usize, callers: u16) -> Result<Vec<Entrant>, Error> {
        let mut entrants = Vec::new();
        for (name, server, is_encrypted) in [
            ("tonic-tls", &self.tonic_tls, true),
            ("tonic", &self.tonic, false),
        ] {
            // More connections than callers are not used.
            for connections in TONIC_CONNECTIONS.into_iter().filter(|n| *n <= callers) {
                let asks = grpc::Asks::new(
                    &self.folder,
                    address(server)?,
                    is_encrypted,
                    connections,
                    bytes,
                    server.processes(),
                )?;
                entrants.push(Entrant::peer(name, asks).with_connections(connections));
            }
        }
        let tarpc = tarpc::Asks::new(address(&self.tarpc)?, bytes, self.tarpc.processes());
        entrants.push(Entrant::peer("tarpc", tarpc));
        for (name, _, asks) in &self.carriers {
            entrants.push(Entrant::peer(name, asks.with_bytes(bytes)));
        }
        Ok(entrants)
    }
}

/// Where a server said that it listens.
pub(crate) fn address(server: &Served) -> Result<SocketAddr, Error> {
    let line = &server.line;
    line.parse()
        .map_err(Error::of("a server", "say where it listens"))
}
