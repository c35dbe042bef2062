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
        expectations::Expectations,
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
            // redb panics on some files that such a disk leaves behind.
            campaign::run_guarded(&plan).violations
        };
        let found: Vec<_> = (1..=60).flat_map(lies).collect();
        let lost = found.iter().filter(|found| found.contains("surely"));
        assert!(lost.count() > 0, "{found:?}");
    }

    #[test]
    fn a_command_that_arrives_twice_takes_effect_twice_today() {
        check_gap("were heard of", |expected| expected.commands_once = true);
    }

    #[test]
    fn an_order_that_a_crash_cut_short_stays_half_placed_today() {
        check_gap("is charged, and no order", |expected| {
            expected.orders_resume = true;
        });
    }

    #[test]
    fn an_order_whose_record_failed_to_sync_is_placed_and_refunded_today() {
        check_gap("its charge is Some(Refunded)", |expected| {
            expected.recorded_or_undone = true;
        });
    }

    #[test]
    fn what_is_added_to_a_cart_while_it_is_bought_is_lost_today() {
        check_gap("are in the cart", |expected| {
            expected.added_while_bought_stays = true;
        });
    }

    /// Sees that what is not expected today does not hold, among the first seeds and those that
    /// once found something.
    fn check_gap(violation: &str, expect: fn(&mut Expectations)) {
        let mut seeds = campaign::seeds_in(REGRESSIONS).into_iter().chain(1..=200);
        let fails = |seed| {
            let mut plan = Plan::of_anything(seed);
            expect(&mut plan.expected);
            let violations = simulation::run(&plan, false).violations;
            violations.iter().any(|found| found.contains(violation))
        };
        assert!(
            seeds.any(fails),
            "the gap seems closed: switch the expectation on in expectations::TODAY"
        );
    }

    #[test]
    fn another_seed_is_another_course_of_events() {
        let hash = |seed| simulation::run(&Plan::of_anything(seed), false).hash;
        assert_ne!(hash(1), hash(2));
    }
}
