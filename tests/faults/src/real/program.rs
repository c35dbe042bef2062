//! The real program: where it is, how long it may take, and what it leaves in a log.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use tokio::time::sleep;

use super::Failure;

pub(crate) const BOUTIQUE: &str = "boutique";

/// How long a process may take to be ready, and to stop.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const GLANCE: Duration = Duration::from_millis(10);

/// The last lines of a log that are shown when a process does not do what it should.
const LOG_LINES_SHOWN: usize = 20;

/// The program, which lies next to this one.
pub(crate) fn find() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?.with_file_name(BOUTIQUE);
    if !program.exists() {
        let release = if cfg!(debug_assertions) {
            ""
        } else {
            " --release"
        };
        let program = program.display();
        return Err(format!(
            "there is no {program}; build it with: cargo build{release} -p {BOUTIQUE}"
        )
        .into());
    }
    Ok(program)
}

/// Waits until a process that was asked to stop has done so, and well.
pub(crate) async fn ended(child: &mut Child) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("ended with {status}")),
            Ok(None) if begun.elapsed() > PATIENCE => {
                return Err("does not stop".to_string());
            }
            Ok(None) => sleep(GLANCE).await,
            Err(error) => return Err(format!("cannot be waited for: {error}")),
        }
    }
}

/// The first line about a panic.
pub(crate) fn panic_in(log: &Path) -> Option<String> {
    let log = fs::read_to_string(log).unwrap_or_default();
    let panic = log.lines().find(|line| line.contains("panicked"));
    panic.map(str::to_string)
}

pub(crate) fn end_of_log(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
