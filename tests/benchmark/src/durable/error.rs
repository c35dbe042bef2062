//! Why nothing can be measured.

use std::path::PathBuf;

use modulith_kernel::{Fault, Never, NodeError, Stop};

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
    #[error("{server} ended, or did not answer in time; the end of its log:\n{log}")]
    NotStarted { server: &'static str, log: String },
    #[error("cannot write the report to {}", path.display())]
    Unwritable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("the callers' thread stopped before it handed over its figures, see its panic above")]
    CallersLost,
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// For `map_err` on whatever the operating system does.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
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
