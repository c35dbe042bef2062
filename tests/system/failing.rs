//! Neighbours that are down, hang or refuse.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use modulith_testkit::Deployment;

use crate::shopper::{GOOD_CARD, Shopper};

/// Starts the shop of a scenario again, with settings of its own.
fn with_settings(mut shop: Deployment, settings: &str) -> Deployment {
    shop.stop();
    shop.set(settings);
    shop.resume();
    shop
}

pub(crate) fn a_letter_that_cannot_be_sent_fails_no_order_and_is_sent_when_it_can_be(
    shop: Deployment,
) {
    // A file where the folder of letters should be.
    let letters = shop.data().join("letters");
    fs::write(&letters, "in the way").unwrap();
    let settings = format!("[module.email]\nletters = {:?}\n", letters.join("inside"));
    let shop = with_settings(shop, &settings);
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let number = shopper
        .check_out(GOOD_CARD)
        .with(200)
        .fact("Confirmation number");
    shopper.get("/cart").with(200).lacks("$28.98");

    fs::remove_file(&letters).unwrap();
    let letter = letters.join("inside").join(format!("{number}.eml"));
    shop.wait_until("the letter is written after all", || letter.exists());
}

pub(crate) fn a_country_we_do_not_deliver_to_is_refused_and_the_charge_given_back(
    shop: Deployment,
) {
    let shop = with_settings(shop, "[module.shipping]\nno_delivery_to = [\"Atlantis\"]\n");
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let page = shopper.check_out_with(&[("country", "Atlantis")]).with(422);
    page.shows("We do not deliver to Atlantis").shows("$28.98");
    // The cart is kept, and the next try pays once.
    shopper.check_out(GOOD_CARD).with(200).shows("$28.98");
}

/// Payment hangs, so the order stands at its charge when checkout is killed, and its card is gone.
/// What was sent to payment counts nonetheless: it reads it when it wakes.
pub(crate) fn an_order_whose_payment_or_checkout_is_killed_is_one_order_or_none(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let key = shopper.order_key();
    let payment = shop.process("payment").unwrap();
    let checkout = shop.process("checkout").unwrap();
    payment.suspend();
    let mut window = shopper.window(&shop);
    let form = key.clone();
    let sent = std::thread::spawn(move || window.check_out_with(&[("order_key", &form)]));
    shop.wait_until("the order is journaled, and stands at its charge", || {
        holds(&shop.data().join("checkout"), b"someone@example.com")
    });
    checkout.kill();
    payment.wake();
    sent.join().unwrap();
    shop.wait_until("the form sent again has an answer", || {
        let page = shopper.check_out_with(&[("order_key", &key)]);
        assert!(matches!(page.status, 200 | 409 | 503), "{page:?}");
        match page.status {
            200 => return true,
            // Nothing was charged, the cart is as it was, and the next form works.
            409 => shopper.check_out(GOOD_CARD).with(200),
            _ => return false,
        };
        true
    });
    shopper.get("/cart").with(200).lacks("$28.98");
}

/// Whether a file in a folder holds a text.
fn holds(folder: &Path, text: &[u8]) -> bool {
    let entries = fs::read_dir(folder).unwrap();
    let mut files = entries.filter_map(|entry| fs::read(entry.unwrap().path()).ok());
    files.any(|bytes| bytes.windows(text.len()).any(|part| part == text))
}

pub(crate) fn a_page_goes_without_ads_and_recommendations_that_hang(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.get("/product/OLJCESPC7Z").with(200);
    let hanging = ["ad", "recommendation"].map(|name| shop.process(name).unwrap());
    hanging.iter().for_each(|process| process.suspend());
    let begun = Instant::now();
    shopper.get("/product/OLJCESPC7Z").with(200).shows("$19.99");
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    hanging.iter().for_each(|process| process.wake());
}

pub(crate) fn a_page_whose_module_hangs_is_a_503_in_time(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let cart = shop.process("cart").unwrap();
    cart.suspend();
    let begun = Instant::now();
    shopper.get("/cart").with(503).shows("your cart");
    shopper.check_out(GOOD_CARD).with(503);
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
    // What does not need it is as it was.
    shopper.get("/").with(200).shows("Sunglasses");
    cart.wake();
    shop.wait_until("the cart answers again", || {
        shopper.get("/cart").status == 200
    });
    shopper.get("/cart").with(200).shows("$28.98");
    shopper.check_out(GOOD_CARD).with(200);
}
