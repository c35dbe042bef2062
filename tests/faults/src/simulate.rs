//! `faults simulate`: anything may go wrong, as the seed has it.

use std::process::ExitCode;

use crate::{
    campaign::{self, Campaign, Options},
    simulation::Plan,
};

/// Seeds that once found something. They are run first.
const REGRESSIONS: &str = include_str!("../seeds/simulate.txt");

const CAMPAIGN: Campaign = Campaign {
    name: "simulate",
    plan: Plan::of_anything,
    regressions: REGRESSIONS,
    seeds: 10_000,
    seeds_quick: 500,
    never: &[],
};

/// Runs it.
pub(crate) fn run(options: &Options) -> ExitCode {
    campaign::run(&CAMPAIGN, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk::DiskFault,
        simulation::{self, Mishap, What},
    };

    #[test]
    fn whatever_goes_wrong_what_shoppers_were_told_holds() {
        let regressions = campaign::seeds_in(REGRESSIONS);
        for seed in regressions.into_iter().chain(1..=40) {
            let report = simulation::run(&Plan::of_anything(seed), false);
            assert_eq!(report.violations, [""; 0], "seed {seed}");
        }
    }

    #[test]
    fn one_seed_is_one_course_of_events() {
        for seed in 1..=20 {
            let hash = || simulation::run(&Plan::of_anything(seed), false).hash;
            assert_eq!(hash(), hash(), "seed {seed}");
        }
    }

    /// A simulation that finds nothing may have looked at nothing.
    #[test]
    fn disks_that_lie_about_syncs_are_found_out() {
        let lies = |seed| {
            let mut plan = Plan::of_anything(seed);
            let nodes = 1..=plan.homes.iter().copied().max().unwrap();
            plan.mishaps.splice(
                0..0,
                nodes.map(|node| Mishap {
                    at_ms: 0,
                    what: What::Disk {
                        node,
                        fault: DiskFault::Lies,
                        for_ms: 1_000_000,
                    },
                }),
            );
            simulation::run(&plan, false).violations
        };
        let found: Vec<_> = (1..=60).flat_map(lies).collect();
        let lost = found.iter().filter(|found| found.contains("surely"));
        assert!(lost.count() > 0, "{found:?}");
    }

    #[test]
    fn another_seed_is_another_course_of_events() {
        let hash = |seed| simulation::run(&Plan::of_anything(seed), false).hash;
        assert_ne!(hash(1), hash(2));
    }
}
