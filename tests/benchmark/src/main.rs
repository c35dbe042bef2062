//! The programs that put a number on the boutique: `shop` loads it with shoppers.
//!
//! They talk to it as strangers do, over HTTP, and so can be run against its rivals too.

mod shop;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load programs for the boutique and whatever behaves like it.
#[derive(Parser)]
#[command(name = "benchmark", version)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Shop in a closed loop and report what the shoppers waited for.
    ///
    /// Exits with 0 when every request succeeded, 1 when some failed, 2 when nothing could be
    /// measured.
    Shop(shop::Options),
}

fn main() -> ExitCode {
    match Cli::parse().program {
        Program::Shop(options) => shop::run(&options),
    }
}
