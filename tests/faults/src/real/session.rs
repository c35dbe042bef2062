//! A run of the real program from its first line to its exit code.

use std::{fmt::Display, pin::pin, process::ExitCode};

use futures_util::future::{Either, select};
use tokio::{runtime::Builder, signal::ctrl_c};

use super::Failure;
use crate::{campaign, shop::audit::Findings};

/// How a shell hears of Ctrl-C.
const INTERRUPTED: u8 = 130;

/// What is run, as its last lines name it.
#[derive(Clone, Copy)]
pub(crate) struct Session<'a> {
    pub(crate) name: &'a str,
    /// The arguments that run it once more.
    pub(crate) again: &'a str,
}

impl Session<'_> {
    /// Runs it. Whatever was started is ended, also after Ctrl-C.
    pub(crate) fn run(self, work: impl Future<Output = Result<Findings, Failure>>) -> ExitCode {
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return self.cannot("start", &error),
        };
        let code = runtime.block_on(async {
            let interrupted = pin!(ctrl_c());
            match select(pin!(work), interrupted).await {
                Either::Left((Ok(findings), _)) => self.conclude(&findings),
                Either::Left((Err(error), _)) => self.cannot("carry on", &error),
                Either::Right(_) => ExitCode::from(INTERRUPTED),
            }
        });
        // Shoppers may still wait for a page.
        runtime.shutdown_background();
        code
    }

    fn cannot(self, attempt: &str, error: &dyn Display) -> ExitCode {
        eprintln!("{}: cannot {attempt}: {error}", self.name);
        ExitCode::FAILURE
    }

    fn conclude(self, findings: &Findings) -> ExitCode {
        for violation in &findings.violations {
            println!("  VIOLATION: {violation}");
        }
        let violations = findings.violations.len();
        if violations > 0 {
            println!("again: cargo run --release -p faults -- {}", self.again);
        }
        let (name, checked) = (self.name, findings.checked);
        println!("{name}: {checked} checked, {violations} violations");
        campaign::verdict(violations)
    }
}
