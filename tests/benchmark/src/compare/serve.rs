//! The other end of a contender: what `benchmark serve NAME` does in its own process.
//!
//! One current-thread runtime, as on the callers' side. The first line printed says where it
//! listens; the end of standard input ends it.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::sync::oneshot;

use super::frames::{self, Carrier};
use super::ours::Side;
use super::{grpc, home, scale, tarpc};
use crate::error::{Error, causes};

/// The arguments of `benchmark serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Who answers
    name: Name,

    /// Where its certificates and files are
    #[arg(long)]
    folder: PathBuf,

    /// How much of it, for a trial
    #[arg(long, default_value_t = 0)]
    count: u64,

    /// How long to measure, for a trial
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,

    /// How long network threads look for news before they sleep, in microseconds
    #[arg(long, default_value_t = 0)]
    spin: u64,
}

/// Whom to be.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    Modulith,
    Tonic,
    TonicTls,
    Tarpc,
    Tcp,
    TcpTls,
    Unix,
    /// The least that a web server can be.
    Hello,
    /// Not a server: measures a node with many modules, and prints what it saw.
    Modules,
    /// Measures a module in partitions.
    Partitions,
    /// Fills a store with many rows.
    Fill,
    /// Measures a node with a filled store.
    Rows,
}

/// Serves until standard input ends.
pub(crate) fn serve(serve: &Serve) -> ExitCode {
    let (end, ended) = oneshot::channel();
    let watch = move || {
        _ = std::io::stdin().read_to_end(&mut Vec::new());
        // Nobody listens once serving failed.
        _ = end.send(());
    };
    let watching = thread::Builder::new().spawn(watch);
    let served = watching
        .map_err(Error::io("watch standard input"))
        .and_then(|_| {
            actix_rt::System::new().block_on(async {
                tokio::select! {
                    served = answer(serve) => served,
                    _ = ended => Ok(()),
                }
            })
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}{}", causes(&error));
            ExitCode::from(2)
        }
    }
}

async fn answer(serve: &Serve) -> Result<(), Error> {
    let folder = &serve.folder;
    let at = |address: std::net::SocketAddr| say(&address.to_string());
    match serve.name {
        Name::Modulith => {
            let side = Side::serve(folder, Duration::from_micros(serve.spin))?;
            at(side.address()?)?;
            std::future::pending().await
        }
        Name::Tonic => grpc::serve(folder, false, at).await,
        Name::TonicTls => grpc::serve(folder, true, at).await,
        Name::Tarpc => tarpc::serve(at).await,
        Name::Tcp => frames::serve(folder, Carrier::Tcp, |address| say(&address)).await,
        Name::TcpTls => frames::serve(folder, Carrier::Tls, |address| say(&address)).await,
        Name::Unix => frames::serve(folder, Carrier::Unix, |address| say(&address)).await,
        Name::Hello => home::serve(at).await,
        Name::Modules => say(&scale::try_modules(folder, serve.count, serve.seconds).await?),
        Name::Partitions => say(&scale::try_partitions(folder, serve.count, serve.seconds).await?),
        Name::Fill => say(&scale::fill(folder, serve.count).await?),
        Name::Rows => say(&scale::try_rows(folder, serve.count, serve.seconds).await?),
    }
}

fn say(line: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let said = writeln!(out, "{line}").and_then(|()| out.flush());
    said.map_err(Error::io("say where it listens"))
}
