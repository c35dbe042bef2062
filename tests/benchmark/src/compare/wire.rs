//! Asking another process: the port beside tonic, tarpc and bare connections.
//!
//! Everybody's server is a process with one current-thread runtime, everybody's callers are tasks
//! of another; both run on the same machine and over loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::child::Served;
use super::frames::{self, Address, Carrier};
use super::options::Options;
use super::ours::{self, Side};
use super::report::Heat;
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

/// Compares. Inside an actix system.
pub(crate) async fn compare(options: &Options, folder: &Path) -> Result<Vec<Heat>, Error> {
    let rivals = Rivals::start(&folder.join("wire"))?;
    let mut fields = Vec::new();
    for (group, bytes, in_flight) in SIZES {
        for &callers in in_flight.iter().filter(|_| options.wants(group)) {
            fields.push(Field {
                group: group.to_owned(),
                callers,
                chunk: 1,
                entrants: rivals.entrants(bytes, callers)?,
            });
        }
    }
    let heats = turns::take(fields, options).await;
    rivals.side.close();
    heats
}

/// Everybody's server, and our client, which stays connected as it does in an application.
struct Rivals {
    folder: std::path::PathBuf,
    modulith: Served,
    side: Arc<Side>,
    tonic: Served,
    tonic_tls: Served,
    tarpc: Served,
    tcp: Served,
    tcp_tls: Served,
    unix: Served,
}

impl Rivals {
    fn start(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir(folder).map_err(Error::io("make a folder for certificates"))?;
        identity::make(folder)?;
        let start = |name| Served::start(name, folder, &[]);
        let modulith = start("modulith")?;
        let side = Side::ask(folder, "client", address(&modulith)?)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            side: Arc::new(side),
            modulith,
            tonic: start("tonic")?,
            tonic_tls: start("tonic-tls")?,
            tarpc: start("tarpc")?,
            tcp: start("tcp")?,
            tcp_tls: start("tcp-tls")?,
            unix: start("unix")?,
        })
    }

    fn entrants(&self, bytes: usize, callers: u16) -> Result<Vec<Entrant>, Error> {
        let sides = [self.side.clone()];
        let ours = ours::Asks::new(&sides, bytes, self.modulith.processes());
        let mut entrants = vec![Entrant::ours(ours)];
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
        let tcp = self.frames(&self.tcp, Carrier::Tcp, bytes)?;
        entrants.push(Entrant::peer("tcp", tcp));
        let tls = self.frames(&self.tcp_tls, Carrier::Tls, bytes)?;
        entrants.push(Entrant::peer("tcp-tls", tls));
        let unix = self.frames(&self.unix, Carrier::Unix, bytes)?;
        entrants.push(Entrant::peer("unix", unix));
        Ok(entrants)
    }

    fn frames(
        &self,
        server: &Served,
        carrier: Carrier,
        bytes: usize,
    ) -> Result<frames::Asks, Error> {
        let at = match carrier {
            Carrier::Unix => Address::Path(server.line.clone().into()),
            Carrier::Tcp | Carrier::Tls => Address::Ip(address(server)?),
        };
        let processes = server.processes();
        Ok(frames::Asks::new(
            &self.folder,
            at,
            carrier,
            bytes,
            processes,
        ))
    }
}

/// Where a server said that it listens.
pub(crate) fn address(server: &Served) -> Result<SocketAddr, Error> {
    let line = &server.line;
    line.parse()
        .map_err(Error::of("a server", "say where it listens"))
}
