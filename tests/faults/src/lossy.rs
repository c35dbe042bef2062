//! `faults lossy`: nothing crashes, but the network between the modules, each on a node of its own,
//! does its worst. Every purchase still ends once.
//!
//! The network is simulated, and loses whole calls; `wire` has a real one, which loses datagrams.

use std::process::ExitCode;

use clap::Args;

use crate::{
    campaign::{self, Campaign},
    simulation::Plan,
    wire,
};

/// How many seeds to run, and of what.
#[derive(Args)]
pub(crate) struct LossyOptions {
    #[command(flatten)]
    campaign: campaign::Options,
    /// Run the real program instead, in processes that a bad network lies between.
    #[arg(long, conflicts_with_all = ["seeds", "from"])]
    wire: bool,
}

/// Seeds that once found something. They are run first.
const REGRESSIONS: &str = include_str!("../seeds/lossy.txt");

const CAMPAIGN: Campaign = Campaign {
    name: "lossy",
    plan: Plan::of_purchases,
    regressions: REGRESSIONS,
    seeds: 5_000,
    seeds_quick: 250,
    never: &[
        "processes killed",
        "machines without power",
        "failed writes and syncs",
        "slow syncs",
        "unsynced writes dropped",
        "unsynced writes torn",
    ],
};

/// Runs it.
pub(crate) fn run(options: &LossyOptions) -> ExitCode {
    let LossyOptions { campaign, wire } = options;
    if *wire {
        return wire::run(campaign.seed.unwrap_or(1), campaign.quick);
    }
    campaign::run(&CAMPAIGN, campaign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation;

    #[test]
    fn every_purchase_over_a_lossy_network_ends_once() {
        for seed in campaign::seeds_in(REGRESSIONS).into_iter().chain(1..=20) {
            let report = simulation::run(&Plan::of_purchases(seed), false);
            assert_eq!(report.violations, [""; 0], "seed {seed}");
        }
    }
}
