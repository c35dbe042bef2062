//! Why nothing can be measured.

use std::path::PathBuf;

use modulith_kernel::{Fault, Never, NodeError, Stop};
use tokio::signal::unix::{SignalKind, signal};

/// A contender, a server or the disk failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("cannot {doing}")]
    Io {
        doing: String,
        source: std::io::Error,
    },
    #[error("cannot start Modulith")]
    Node(#[source] NodeError),
    #[error("Modulith did not do as it was asked")]
    Modulith(#[source] Fault),
    #[error("{0} has lost a row")]
    RowLost(&'static str),
    #[error("PostgreSQL did not do as it was asked")]
    Postgres(#[source] tokio_postgres::Error),
    #[error("Redis did not do as it was asked, but answered {0:?}")]
    Redis(String),
    #[error("NATS did not do as it was asked, but answered {0:?}")]
    Nats(String),
    #[error("{server} ended, or did not answer in time; the end of its log:\n{log}")]
    NotStarted { server: &'static str, log: String },
    #[error("cannot write the report to {}", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the callers' thread stopped before it handed over its figures, see its panic above")]
    CallersLost,
    #[error(
        "the boutique is not built; build it beside this program (cargo build --release -p boutique), \
         or say with --url where one runs"
    )]
    NotBuilt,
    #[error("interrupted")]
    Interrupted,
    #[error("{who} cannot {doing}")]
    Contender {
        who: &'static str,
        doing: &'static str,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{0} did not answer what it was asked")]
    WrongReply(&'static str),
    #[error("the server of {0} ended before it said where it listens")]
    NoAddress(&'static str),
}

impl Error {
    /// For `map_err` on whatever the operating system does.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl Error {
    /// For `map_err` on whatever a contender's own library does.
    pub(crate) fn of<E>(who: &'static str, doing: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Contender {
            who,
            doing,
            source: source.into(),
        }
    }
}

impl From<Stop<Never>> for Error {
    fn from(stop: Stop<Never>) -> Self {
        Self::Modulith(stop.into_fault())
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// All that caused an error, each after a colon.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |cause| cause.source())
        .map(|cause| format!(": {cause}"))
        .collect()
}

/// Waits to be told to stop: servers and folders must not be left behind.
pub(crate) async fn interrupted() -> Error {
    let signals = signal(SignalKind::interrupt()).and_then(|interrupt| {
        let terminate = signal(SignalKind::terminate())?;
        Ok((interrupt, terminate))
    });
    match signals {
        Ok((mut interrupt, mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            Error::Interrupted
        }
        Err(source) => Error::Io {
            doing: "listen to signals".to_owned(),
            source,
        },
    }
}
