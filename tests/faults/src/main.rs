//! The boutique under faults: whatever goes wrong, what shoppers were told must hold in the end.
//!
//! Each subcommand does its own kind of harm and ends in a line that says how much was checked and
//! how much did not hold. `simulate` and `lossy` run the real modules in a simulation: `shop` is
//! what is simulated, on a `disk` and a `network` that fail as told; `simulation` runs a plan drawn
//! from a seed, and `campaign` runs many of them. `wire` and `kill` run the `real` program: on a bad network,
//! and killed time and again.
//! `crash_points` needs no shop: it crashes three small modules at every point of what they write.

mod bytes;
mod campaign;
mod crash_points;
mod disk;
mod expectations;
mod kill;
mod lossy;
mod network;
mod real;
mod shop;
mod simulate;
mod simulation;
mod tally;
mod trace;
mod wire;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Checks what the boutique promises while things go wrong.
///
/// Every subcommand exits with 0 when all that was checked holds, and with 1 when something does
/// not.
#[derive(Parser)]
#[command(name = "faults", version)]
struct Cli {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Simulate the modules with crashes, failing disks and a bad network.
    Simulate(campaign::Options),
    /// Simulate purchases over a network that loses, delays, reorders and duplicates.
    Lossy(lossy::LossyOptions),
    /// Crash at every write and sync of a recorded run, and start on what that leaves.
    CrashPoints(crash_points::Options),
    /// Kill processes of the real program under load, and the launcher too.
    Kill(kill::Options),
}

fn main() -> ExitCode {
    match Cli::parse().program {
        Program::Simulate(options) => simulate::run(&options),
        Program::Lossy(options) => lossy::run(&options),
        Program::CrashPoints(options) => crash_points::run(&options),
        Program::Kill(options) => kill::run(&options),
    }
}
