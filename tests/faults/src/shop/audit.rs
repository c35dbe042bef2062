//! What must hold in the end, whatever went wrong on the way.

use std::collections::{BTreeMap, BTreeSet};

use checkout_contract::{GetOrder, Order, OrderId};
use modulith_kernel::{Outcome, Request, codec};
use payment_contract::{Charge, ChargeReference, ChargeState, FindCharge};

use super::{
    Shop,
    shopper::Shopper,
    stand_in::{FindLetter, ListAdded, ListPlaced, Placed},
};
use crate::expectations::Expectations;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Facts that were checked.
    pub(crate) checked: u64,
    /// Those that did not hold.
    pub(crate) violations: Vec<String>,
}

impl Findings {
    pub(crate) fn check(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.violations.push(what());
        }
    }
}

/// Checks a shop that was healed and has settled.
pub(crate) async fn audit(shop: &Shop, shoppers: &[Shopper], expected: Expectations) -> Findings {
    let mut findings = Findings::default();
    for status in shop.status() {
        let is_sound = status.stopped.is_none() && status.panics == 0;
        findings.check(is_sound, || format!("module is not sound: {status:?}"));
    }
    let placed = ask(shop, ListPlaced {}, &mut findings)
        .await
        .unwrap_or_default();
    heard_once(&placed, &mut findings);
    let placed: BTreeMap<_, _> = placed
        .into_iter()
        .map(|one| (one.order.clone(), one))
        .collect();
    for order in shoppers.iter().flat_map(|shopper| &shopper.orders) {
        shown(shop, order, &placed, &mut findings).await;
    }
    let orders = shoppers.iter().flat_map(|shopper| &shopper.orders);
    let shown: BTreeSet<_> = orders.map(|order| &order.id).collect();
    charges(shop, &placed, &shown, expected, &mut findings).await;
    let added = ask(shop, ListAdded {}, &mut findings)
        .await
        .unwrap_or_default();
    let added: BTreeMap<_, _> = added
        .into_iter()
        .map(|one| (one.shopper, one.pieces))
        .collect();
    for shopper in shoppers {
        let added = added.get(&shopper.id).copied().unwrap_or_default();
        pieces(shopper, added, &placed, expected, &mut findings).await;
    }
    findings
}

/// Every order is heard of once, and no cart is bought twice.
fn heard_once(placed: &[Placed], findings: &mut Findings) {
    let mut bought = BTreeSet::new();
    for one in placed {
        let order = &one.order;
        findings.check(one.times == 1, || {
            format!("order {order} was heard of {} times", one.times)
        });
        let is_first = bought.insert((&one.shopper, one.generation));
        findings.check(is_first, || {
            format!("order {order} bought a cart already bought")
        });
    }
}

/// An order that a shopper was shown is there, as shown, and heard of.
async fn shown(
    shop: &Shop,
    order: &Order,
    placed: &BTreeMap<OrderId, Placed>,
    findings: &mut Findings,
) {
    let id = &order.id;
    let found = ask(shop, GetOrder { id: id.clone() }, findings).await;
    findings.check(found.as_ref() == Some(order), || {
        format!("order {id} was shown, and is now {found:?}")
    });
    findings.check(placed.contains_key(id), || {
        format!("order {id} was shown, and nobody heard of it")
    });
}

/// Every order is charged, what it comes to; and nothing else is.
///
/// Of charges without an order only those are known that were asked for over the network.
async fn charges(
    shop: &Shop,
    placed: &BTreeMap<OrderId, Placed>,
    shown: &BTreeSet<&OrderId>,
    expected: Expectations,
    findings: &mut Findings,
) {
    let bodies = shop.net.seen("payment.Charge");
    let sent = bodies
        .iter()
        .filter_map(|body| codec::decode::<Charge>(body).ok());
    let mut references: BTreeSet<_> = sent.map(|charge| charge.reference).collect();
    references.extend(placed.keys().map(reference));
    for reference in references {
        let query = FindCharge {
            reference: reference.clone(),
        };
        let state = ask(shop, query, findings).await.flatten();
        let mut orders = placed.keys();
        match orders.find(|order| order.as_str() == reference.as_str()) {
            Some(order) => {
                let may_be_undone = !expected.recorded_or_undone
                    && shop.tally().faults.disk_failures > 0
                    && !shown.contains(order);
                if !(may_be_undone && state == Some(ChargeState::Refunded)) {
                    paid(shop, order, state.as_ref(), findings).await;
                }
                if expected.orders_resume {
                    confirmed(shop, order, findings).await;
                }
            }
            None => {
                let is_charged = matches!(state, Some(ChargeState::Charged { .. }));
                findings.check(!is_charged, || {
                    format!("{reference} is charged, and no order")
                });
            }
        }
    }
}

/// An order is charged, what it comes to.
async fn paid(shop: &Shop, order: &OrderId, state: Option<&ChargeState>, findings: &mut Findings) {
    let get = GetOrder { id: order.clone() };
    let total = ask(shop, get, findings).await.map(|order| order.total);
    let charged = match state {
        Some(ChargeState::Charged { amount, .. }) => Some(amount),
        Some(ChargeState::Refunded) | None => None,
    };
    let is_paid = total.is_some() && charged == total.as_ref();
    findings.check(is_paid, || {
        format!("order {order} comes to {total:?}, and its charge is {state:?}")
    });
}

/// An order is confirmed by a letter.
async fn confirmed(shop: &Shop, order: &OrderId, findings: &mut Findings) {
    let find = FindLetter {
        order: order.clone(),
    };
    let has_letter = ask(shop, find, findings).await == Some(true);
    findings.check(has_letter, || format!("order {order} has no letter"));
}

/// What was added is in the cart or was bought, and nothing else is.
async fn pieces(
    shopper: &Shopper,
    added: u64,
    placed: &BTreeMap<OrderId, Placed>,
    expected: Expectations,
    findings: &mut Findings,
) {
    let id = &shopper.id;
    let Ok(cart) = shopper.cart().await else {
        findings.check(false, || format!("the cart of {id} cannot be read"));
        return;
    };
    let in_cart: u64 = cart
        .items
        .iter()
        .map(|item| u64::from(item.quantity.get()))
        .sum();
    let own = placed.values().filter(|one| one.shopper == *id);
    let bought: u64 = own.map(|one| one.pieces).sum();
    let may_miss = if expected.added_while_bought_stays {
        0
    } else {
        // What failed may have been added later than it seemed, too.
        shopper.added_amid_order + shopper.perhaps_added
    };
    let least = added.saturating_sub(may_miss);
    findings.check((least..=added).contains(&(in_cart + bought)), || {
        format!("{id} added {added} pieces; {in_cart} are in the cart and {bought} were bought")
    });
    let (sure, perhaps) = (shopper.surely_added, shopper.perhaps_added);
    findings.check((sure..=sure + perhaps).contains(&added), || {
        format!("{id} added {sure} pieces surely and {perhaps} perhaps; {added} were heard of")
    });
}

/// Asks what must be answered by now.
async fn ask<R: Request + std::fmt::Debug>(
    shop: &Shop,
    request: R,
    findings: &mut Findings,
) -> Option<R::Reply>
where
    Outcome<R>: std::fmt::Debug,
{
    let text = format!("{request:?}");
    let outcome = shop.port().ask(request).await;
    findings.check(outcome.is_ok(), || {
        format!("{text} ends in {:?}", outcome.as_ref().err())
    });
    outcome.ok()
}

fn reference(order: &OrderId) -> ChargeReference {
    ChargeReference::new(order.as_str()).expect("what is one plain id is another")
}
