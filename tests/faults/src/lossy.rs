//! `faults lossy`: nothing crashes, but the network between the modules, each on a node of its own,
//! does its worst. Every purchase still ends once.

use std::process::ExitCode;

use crate::{
    campaign::{self, Campaign, Options},
    simulation::Plan,
};

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
pub(crate) fn run(options: &Options) -> ExitCode {
    campaign::run(&CAMPAIGN, options)
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
