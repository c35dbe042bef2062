//! Log lines on standard error: one short sentence and its fields each.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The variable that sets levels: `debug`, or `info,modulith_kernel=debug`.
const VARIABLE: &str = "MODULITH_LOG";

/// Starts logging. A later call, such as in a test, changes nothing.
pub(crate) fn start() {
    let wanted = std::env::var(VARIABLE).ok();
    let parsed = wanted.as_deref().map(str::parse::<Targets>);
    let quiet = Targets::new()
        .with_default(LevelFilter::INFO)
        .with_target("actix_server", LevelFilter::WARN);
    let (levels, mistaken) = match parsed {
        Some(Ok(levels)) => (levels, false),
        Some(Err(_)) => (quiet, true),
        None => (quiet, false),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal())
        .with_target(false);
    _ = tracing_subscriber::registry()
        .with(levels)
        .with(lines)
        .try_init();
    if mistaken {
        tracing::warn!(
            variable = VARIABLE,
            found = wanted,
            "log levels are not understood, info is used; expected such as info,cart=debug"
        );
    }
}
