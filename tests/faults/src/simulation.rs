//! One simulation: a plan drawn from a seed, carried out, and what was found in the end.

mod mishap;
mod plan;
mod shrink;

use std::{sync::Arc, time::Duration};

use futures_util::future::{join, join_all};
use tokio::{
    runtime::Builder,
    task::LocalSet,
    time::{Instant, sleep, timeout},
};

#[cfg(test)]
pub(crate) use self::mishap::{Mishap, What};
pub(crate) use self::{plan::Plan, shrink::shrink};
use crate::{
    disk::DiskFault,
    shop::{
        Shop,
        audit::{Findings, audit},
        shopper::{Card, Shopper},
    },
    tally::Tally,
    trace::Trace,
};

/// How much virtual time a plan may take before it counts as hanging.
const PLAN_MAX: Duration = Duration::from_secs(20 * 60);

/// After how long an order that was cut short was given up when orders did not go on by themselves.
const GIVEN_UP: Duration = Duration::from_secs(61);

/// How long it takes at most, without faults, until every event has been handled and every flow
/// has ended: the longest pauses of a step and of the one it waits for (`Retry::PAUSE_MAX`), which
/// are longer than those of subscriptions.
const SETTLED: Duration = Duration::from_secs(90);

/// What came of a plan.
pub(crate) struct Report {
    /// What did not hold.
    pub(crate) violations: Vec<String>,
    pub(crate) tally: Tally,
    /// Of everything that happened.
    pub(crate) hash: u64,
}

/// Carries a plan out.
pub(crate) fn run(plan: &Plan, is_shown: bool) -> Report {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without files and sockets needs nothing of the system");
    LocalSet::new().block_on(&runtime, carry_out(plan, is_shown))
}

async fn carry_out(plan: &Plan, is_shown: bool) -> Report {
    let begun = Instant::now();
    let trace = Arc::new(Trace::begin(is_shown));
    let shop = match Shop::start(plan.seed, &plan.homes, plan.rates, trace.clone()) {
        Ok(shop) => shop,
        Err(error) => {
            return Report {
                violations: vec![format!("the shop does not start: {error}")],
                tally: Tally::default(),
                hash: trace.hash(),
            };
        }
    };
    let mut findings = Findings::default();
    let mut orders = 0;
    let life = live_through(plan, &shop, &mut findings, &mut orders);
    if timeout(PLAN_MAX, life).await.is_err() {
        findings.check(false, || {
            format!("not over after {PLAN_MAX:?} of virtual time")
        });
    }
    let mut tally = shop.tally();
    tally.checked = findings.checked;
    tally.orders = orders;
    tally.virtual_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    shop.end();
    Report {
        violations: findings.violations,
        tally,
        hash: trace.hash(),
    }
}

async fn live_through(plan: &Plan, shop: &Shop, findings: &mut Findings, orders: &mut u64) {
    if !plan.expected.commands_once {
        shop.net.spare_commands();
    }
    let mut shoppers: Vec<_> = (0..plan.shoppers.len())
        .map(|number| Shopper::new(number, shop.port().clone()))
        .collect();
    let visits = shoppers
        .iter_mut()
        .zip(&plan.shoppers)
        .map(|(shopper, actions)| async move {
            for action in actions {
                shopper.act(*action).await;
            }
        });
    let mishaps = plan.mishaps.iter().map(|mishap| mishap.befall(shop));
    let (_, befallen) = join(join_all(visits), join_all(mishaps)).await;
    for outcome in befallen {
        findings.check(outcome.is_ok(), || outcome.err().unwrap_or_default());
    }
    heal(shop);
    if !plan.expected.orders_resume {
        sleep(GIVEN_UP).await;
        for (number, shopper) in shoppers.iter_mut().enumerate() {
            shopper.add_surely().await;
            let has_ordered = shopper.order(Card::Good, 0, 2).await;
            findings.check(has_ordered, || {
                format!("shopper-{number} cannot order in the end")
            });
        }
    }
    sleep(SETTLED).await;
    *orders = shoppers
        .iter()
        .map(|shopper| shopper.orders.len() as u64)
        .sum();
    let audited = audit(shop, &shoppers, plan.expected).await;
    findings.checked += audited.checked;
    findings.violations.extend(audited.violations);
}

/// Nothing goes wrong from now on.
fn heal(shop: &Shop) {
    shop.trace.line(format_args!("all is healed"));
    shop.net.heal();
    for node in 0..shop.size() {
        shop.disk(node).set_fault(DiskFault::None);
    }
}
