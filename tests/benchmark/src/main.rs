//! The programs that put a number on things: `shop` loads the boutique with shoppers, `durable`
//! sets the kernel's store beside PostgreSQL and Redis.
//!
//! `shop` talks to the boutique as strangers do, over HTTP, and so can be run against its rivals
//! too; `durable` has a node and a module of its own.

mod durable;
mod shop;

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
    /// Make changes durable as fast as callers can ask for them, beside PostgreSQL and Redis.
    ///
    /// Exits with 0 whatever the figures, 2 when something broke.
    Durable(durable::Options),
}

fn main() -> ExitCode {
    match Cli::parse().program {
        Program::Shop(options) => shop::run(&options),
        Program::Durable(options) => durable::run(&options),
    }
}
