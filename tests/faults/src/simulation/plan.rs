//! A plan: where modules live, what shoppers do, and what goes wrong, all drawn from a seed.

use fastrand::Rng;

use super::mishap::{Mishap, What};
use crate::{
    disk::DiskFault,
    expectations::{Expectations, TODAY},
    network::Rates,
    shop::{
        MODULES, Module, SHOPPERS,
        shopper::{Action, Card},
    },
};

/// All that a simulation does, but for what its own dice decide on the way.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The seed it was drawn from, which is also that of the dice.
    pub(crate) seed: u64,
    /// For each module, its node.
    pub(crate) homes: Vec<usize>,
    pub(crate) rates: Rates,
    /// What each shopper does.
    pub(crate) shoppers: Vec<Vec<Action>>,
    pub(crate) mishaps: Vec<Mishap>,
    pub(crate) expected: Expectations,
}

const SHOPPERS_MAX: usize = 3;
const ACTIONS_MAX: usize = 6;
const MISHAPS_MAX: usize = 6;

impl Plan {
    /// Anything may go wrong.
    pub(crate) fn of_anything(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let homes = homes(rng);
        let nodes = homes.iter().copied().max().unwrap_or(SHOPPERS);
        let rate = |rng: &mut Rng| *rng.choice(&[0, 0, 20, 80, 200]).unwrap_or(&0);
        let rates = Rates {
            request_lost: rate(rng),
            reply_lost: rate(rng),
            duplicated: rate(rng),
            delay_max_ms: *rng.choice(&[1, 5, 40, 300]).unwrap_or(&1),
        };
        // Shoppers are quicker on a quicker network, and mishaps are to meet them.
        let within_ms = 200 + rates.delay_max_ms * 40;
        Self {
            seed,
            homes,
            rates,
            shoppers: (0..rng.usize(1..=SHOPPERS_MAX))
                .map(|_| {
                    (0..rng.usize(2..=ACTIONS_MAX))
                        .map(|_| action(rng))
                        .collect()
                })
                .collect(),
            mishaps: (0..rng.usize(..=MISHAPS_MAX))
                .map(|_| Mishap {
                    at_ms: rng.u64(..within_ms),
                    what: what(nodes, rng),
                })
                .collect(),
            expected: TODAY,
        }
    }

    /// Purchases, over a network that does its worst.
    pub(crate) fn of_purchases(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let rate = |rng: &mut Rng| rng.u32(20..=300);
        let purchase = |rng: &mut Rng| {
            let mut actions = vec![add(rng), add(rng)];
            actions.extend([order(rng, true), Action::Look, add(rng), order(rng, true)]);
            actions
        };
        Self {
            seed,
            homes: (1..=MODULES.len()).collect(),
            rates: Rates {
                request_lost: rate(rng),
                reply_lost: rate(rng),
                duplicated: rate(rng),
                delay_max_ms: rng.u64(1..=150),
            },
            shoppers: (0..rng.usize(1..=2)).map(|_| purchase(rng)).collect(),
            mishaps: (0..rng.usize(1..=4))
                .map(|_| Mishap {
                    at_ms: rng.u64(..4_000),
                    what: between_nodes(MODULES.len(), rng),
                })
                .collect(),
            expected: TODAY,
        }
    }
}

/// Each module on its own node, or all on a few.
///
/// Payment and checkout are together only where all are: what they say to each other within a
/// node the audit does not hear.
fn homes(rng: &mut Rng) -> Vec<usize> {
    if rng.bool() {
        return (1..=MODULES.len()).collect();
    }
    let nodes = rng.usize(1..=4);
    let mut homes: Vec<_> = MODULES.iter().map(|_| rng.usize(1..=nodes)).collect();
    if nodes > 1 {
        let of = |module| MODULES.iter().position(|one| *one == module).unwrap_or(0);
        homes[of(Module::Payment)] = homes[of(Module::Checkout)] % nodes + 1;
    }
    // Nodes are numbered without gaps.
    let mut used = homes.clone();
    used.sort_unstable();
    used.dedup();
    for home in &mut homes {
        *home = used.partition_point(|node| node < home) + 1;
    }
    homes
}

fn action(rng: &mut Rng) -> Action {
    match rng.u8(..10) {
        0..4 => add(rng),
        4..8 => {
            let until_done = rng.bool();
            order(rng, until_done)
        }
        8 => Action::Look,
        _ => Action::Wait(rng.u64(..3_000)),
    }
}

fn add(rng: &mut Rng) -> Action {
    Action::Add {
        product: rng.u8(..),
        pieces: rng.u8(1..=5),
        again: rng.bool(),
    }
}

fn order(rng: &mut Rng, until_done: bool) -> Action {
    Action::Order {
        card: if rng.u8(..8) == 0 {
            Card::Expired
        } else {
            Card::Good
        },
        currency: rng.u8(..),
        until_done,
    }
}

fn what(nodes: usize, rng: &mut Rng) -> What {
    let node = rng.usize(1..=nodes);
    let down_ms = rng.u64(1..3_000);
    match rng.u8(..8) {
        0 | 1 => What::Kill { node, down_ms },
        2 | 3 => What::Power {
            node,
            writes: rng.u32(..12),
            down_ms,
        },
        4 | 5 => What::Disk {
            node,
            fault: match rng.u8(..3) {
                0 => DiskFault::Writes,
                1 => DiskFault::Syncs,
                _ => DiskFault::Slow(rng.u64(10..800)),
            },
            for_ms: rng.u64(100..4_000),
        },
        _ => between_nodes(nodes, rng),
    }
}

fn between_nodes(nodes: usize, rng: &mut Rng) -> What {
    let one = rng.usize(SHOPPERS..=nodes);
    let other = rng.usize(SHOPPERS..=nodes);
    if rng.bool() {
        What::Cut { one, other }
    } else {
        What::Part {
            one,
            other,
            for_ms: rng.u64(100..4_000),
        }
    }
}
