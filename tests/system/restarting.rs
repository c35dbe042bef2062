//! Stopping, killing, starting again: what was acknowledged stays.

use modulith_testkit::Deployment;

use crate::shopper::{GOOD_CARD, Shopper};

/// A shopper with one order and something new in the cart, and the order's page.
fn shopper_with_an_order(shop: &Deployment) -> (Shopper, String) {
    let mut shopper = Shopper::enter(shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let number = shopper
        .check_out(GOOD_CARD)
        .with(200)
        .fact("Confirmation number");
    shopper.add("6E92ZMYYFZ", "2").leads_to("/cart");
    (shopper, format!("/order/{number}"))
}

fn everything_is_there(shopper: &mut Shopper, order: &str) {
    shopper.get("/cart").with(200).shows("$26.97");
    shopper.get(order).with(200).shows("$28.98");
}

pub(crate) fn carts_and_orders_survive_a_stop(mut shop: Deployment) {
    let (mut shopper, order) = shopper_with_an_order(&shop);
    assert!(shop.stop().success(), "{}", shop.log());
    shop.resume();
    shopper.follow(&shop);
    everything_is_there(&mut shopper, &order);
    shopper.check_out(GOOD_CARD).with(200);
}

pub(crate) fn carts_and_orders_survive_a_kill(mut shop: Deployment) {
    let (mut shopper, order) = shopper_with_an_order(&shop);
    let others: Vec<_> = ["cart", "checkout"]
        .iter()
        .filter_map(|name| shop.process(name))
        .collect();
    shop.kill();
    // A launcher's processes notice that it is gone; until then they hold the stores.
    shop.wait_until("the processes of a killed launcher end", || {
        others.iter().all(|process| !is_alive(process.pid))
    });
    shop.resume();
    shopper.follow(&shop);
    everything_is_there(&mut shopper, &order);
}

pub(crate) fn a_killed_process_comes_back_with_what_it_stored(mut shop: Deployment) {
    let (mut shopper, order) = shopper_with_an_order(&shop);
    if !shop.is_apart() {
        // Here the process is all there is, and whoever runs it starts it again.
        shop.kill();
        shop.resume();
        shopper.follow(&shop);
        return everything_is_there(&mut shopper, &order);
    }
    for name in ["cart", "checkout", "catalog", "storefront"] {
        let before = shop.process(name).unwrap();
        let neighbour = shop.process("currency").unwrap();
        before.kill();
        shop.wait_until("the launcher starts the process again", || {
            shop.process(name).is_some_and(|process| process != before)
        });
        // Never a hang: a slower success or a clear page, and soon the former alone.
        shop.wait_until("the pages work again", || {
            let page = shopper.get("/cart");
            assert!(matches!(page.status, 200 | 503), "{page:?}");
            page.status == 200 && shopper.get(&order).status == 200
        });
        everything_is_there(&mut shopper, &order);
        assert_eq!(
            shop.process("currency"),
            Some(neighbour),
            "no other process died"
        );
    }
}

fn is_alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}
