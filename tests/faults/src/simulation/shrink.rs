//! Making a plan that fails smaller: what can be left out, and it still fails, is no part of why.

use super::plan::Plan;
use crate::network::Rates;

/// How many plans are tried at most.
const TRIES_MAX: usize = 300;

/// The smallest plan found that still fails.
pub(crate) fn shrink(plan: Plan, fails: impl Fn(&Plan) -> bool) -> Plan {
    let mut smallest = plan;
    let mut tries = 0;
    'smaller: loop {
        for smaller in smaller(&smallest) {
            if tries == TRIES_MAX {
                return smallest;
            }
            tries += 1;
            if fails(&smaller) {
                smallest = smaller;
                continue 'smaller;
            }
        }
        return smallest;
    }
}

/// Every plan that has one thing less.
fn smaller(plan: &Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        plans.push(smaller);
    };
    if plan.shoppers.len() > 1 {
        for shopper in 0..plan.shoppers.len() {
            with(&|plan| _ = plan.shoppers.remove(shopper));
        }
    }
    for mishap in 0..plan.mishaps.len() {
        with(&|plan| _ = plan.mishaps.remove(mishap));
    }
    for shopper in 0..plan.shoppers.len() {
        for action in 0..plan.shoppers[shopper].len() {
            with(&|plan| _ = plan.shoppers[shopper].remove(action));
        }
    }
    let quiet: [fn(&mut Rates); 4] = [
        |rates| rates.request_lost = 0,
        |rates| rates.reply_lost = 0,
        |rates| rates.duplicated = 0,
        |rates| rates.delay_max_ms = 1,
    ];
    for quiet in quiet {
        let mut rates = plan.rates;
        quiet(&mut rates);
        if rates != plan.rates {
            with(&|plan| plan.rates = rates);
        }
    }
    plans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_shrinks_to_what_makes_it_fail() {
        let plan = (1..).map(Plan::of_anything);
        let mut plan = plan.filter(|plan| plan.mishaps.len() > 3 && plan.shoppers.len() > 1);
        let plan = plan.next().unwrap();
        let culprit = plan.mishaps[2];
        let smallest = shrink(plan, |plan| plan.mishaps.contains(&culprit));
        assert_eq!(smallest.mishaps, [culprit]);
        assert_eq!(smallest.shoppers, [vec![]]);
        assert_eq!(smallest.rates.request_lost, 0);
    }
}
