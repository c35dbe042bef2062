//! The programs that put a number on things: `shop` loads the boutique with shoppers, `durable`
//! sets the kernel's store beside PostgreSQL, Redis and NATS, `compare` sets everything beside
//! whatever else does it, in one table; `overload` asks the boutique for more than it can do.
//!
//! `shop` and `overload` talk to the boutique as strangers do, over HTTP, and `shop` can be run
//! against its rivals too; `durable` and `compare` have nodes and modules of their own. All callers
//! of those two are driven by `load`.

mod boutique;
mod compare;
mod durable;
mod error;
mod http;
mod load;
mod overload;
mod server;
mod shop;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load and comparison programs.
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
    /// Make changes durable as fast as callers can ask for them, beside PostgreSQL, Redis and NATS.
    ///
    /// Exits with 0 whatever the figures, 2 when something broke.
    Durable(durable::Options),
    /// Set Modulith beside actors, RPC frameworks, databases and itself in other placements.
    ///
    /// Exits with 0 whatever the figures, 2 when something broke.
    Compare(compare::Options),
    /// Ask the boutique for more than it can do and report what it still does.
    ///
    /// Exits with 0 whatever the figures, 2 when something broke.
    Overload(overload::Options),
    /// Answer one contender's calls until standard input ends; started by `compare`.
    #[command(hide = true)]
    Serve(compare::Serve),
}

fn main() -> ExitCode {
    match Cli::parse().program {
        Program::Shop(options) => shop::run(&options),
        Program::Durable(options) => durable::run(&options),
        Program::Compare(options) => compare::run(&options),
        Program::Overload(options) => overload::run(&options),
        Program::Serve(serve) => compare::serve(&serve),
    }
}
