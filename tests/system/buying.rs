//! Carts, cards and orders.

use modulith_testkit::Deployment;

use crate::shopper::{GOOD_CARD, Page, Shopper};

pub(crate) fn an_item_added_twice_gains_in_quantity(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "2").leads_to("/cart");
    shopper.add("6E92ZMYYFZ", "1").leads_to("/cart");
    shopper.add("OLJCESPC7Z", "3").leads_to("/cart");
    // 5 × 19.99, and with a mug and delivery: 99.95 + 8.99 + 8.99.
    shopper
        .get("/cart")
        .with(200)
        .shows("$99.95")
        .shows("$117.93");
}

pub(crate) fn an_emptied_cart_is_empty(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "2").leads_to("/cart");
    shopper.post("/cart/empty", &[]).leads_to("/");
    shopper.get("/cart").with(200).lacks("$39.98");
    shopper.check_out(GOOD_CARD).with(422);
}

pub(crate) fn an_order_is_confirmed_shipped_and_paid_and_the_cart_emptied(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper
        .post("/setCurrency", &[("currency_code", "EUR")])
        .leads_to("/");
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    // 17.682441398 for the glasses and 7.952233525 for delivery.
    let order = shopper.check_out(GOOD_CARD).with(200).shows("€25.63");
    let number = order.fact("Confirmation number");
    assert!(number.len() >= 16, "{number}");
    let tracking = order.fact("Tracking number");
    assert!(
        tracking.starts_with(|c: char| c.is_ascii_uppercase()),
        "{tracking}"
    );
    shopper.get("/cart").with(200).lacks("€17.68 each");
    shopper.check_out(GOOD_CARD).with(422);
    let letter = shop
        .data()
        .join("email")
        .join("letters")
        .join(format!("{number}.eml"));
    shop.wait_until("the letter is written", || letter.exists());
    let letter = std::fs::read_to_string(letter).unwrap();
    assert!(
        letter.contains(&tracking) && letter.contains("someone@example.com"),
        "{letter}"
    );
}

pub(crate) fn a_declined_card_says_why_and_keeps_the_cart(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let expired = [("credit_card_expiration_year", "2020")];
    shopper
        .check_out_with(&expired)
        .with(402)
        .shows("0454")
        .shows("expired")
        .lacks("8015");
    // American Express, and a VISA Electron.
    for unaccepted in ["3782 822463 10005", "4917 4845 8989 7107"] {
        shopper
            .check_out(unaccepted)
            .with(402)
            .shows("VISA and Mastercard");
    }
    shopper.get("/cart").with(200).shows("$28.98");
    shopper
        .check_out("5555 5555 5555 4444")
        .with(200)
        .shows("Confirmation number");
}

pub(crate) fn a_form_with_mistakes_keeps_what_was_typed_but_never_the_card(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let mistakes = [("email", "nobody"), ("city", "<script>alert(1)</script>")];
    shopper
        .check_out_with(&mistakes)
        .with(422)
        .shows("aria-invalid")
        .shows("1600 Amphitheatre Parkway")
        .shows("&lt;script&gt;")
        .lacks("<script>")
        .lacks("4432")
        .lacks("672");
    shopper
        .check_out("4432 8015 6152 0455")
        .with(422)
        .lacks("0455");
}

pub(crate) fn an_order_is_shown_again_to_the_shopper_who_placed_it_alone(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("9SIQT8TOJO", "10").leads_to("/cart");
    let number = shopper
        .check_out(GOOD_CARD)
        .with(200)
        .fact("Confirmation number");
    let path = format!("/order/{number}");
    shopper.get(&path).with(200).shows("$63.89").shows(&number);
    Shopper::enter(&shop).get(&path).with(404).lacks(&number);
}

pub(crate) fn two_shoppers_have_nothing_in_common(shop: Deployment) {
    let (mut one, mut other) = (Shopper::enter(&shop), Shopper::enter(&shop));
    one.add("OLJCESPC7Z", "1").leads_to("/cart");
    other.add("6E92ZMYYFZ", "1").leads_to("/cart");
    assert_ne!(
        one.cookie("shop_session-id"),
        other.cookie("shop_session-id")
    );
    one.get("/cart").with(200).shows("$28.98");
    other.get("/cart").with(200).shows("$17.98");
    one.check_out(GOOD_CARD).with(200);
    other.get("/cart").with(200).shows("$17.98");
}

pub(crate) fn a_checkout_sent_twice_at_once_is_one_order(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let windows: Vec<_> = (0..4).map(|_| shopper.window(&shop)).collect();
    let check_out = |mut window: Shopper| std::thread::spawn(move || window.check_out(GOOD_CARD));
    let sent: Vec<_> = windows.into_iter().map(check_out).collect();
    let pages: Vec<_> = sent
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    let orders = pages.iter().filter(|page| page.status == 200).count();
    assert_eq!(orders, 1, "{pages:#?}");
    assert!(
        pages.iter().all(|page| matches!(page.status, 200 | 422)),
        "{pages:#?}"
    );
}

pub(crate) fn a_form_sent_twice_at_once_or_again_is_one_order_shown_every_time(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let key = shopper.order_key();
    assert_ne!(key, shopper.order_key(), "every form has its own");
    let windows: Vec<_> = (0..3).map(|_| shopper.window(&shop)).collect();
    let check_out = |mut window: Shopper| {
        let key = key.clone();
        std::thread::spawn(move || window.check_out_with(&[("order_key", &key)]))
    };
    let sent: Vec<_> = windows.into_iter().map(check_out).collect();
    let mut pages: Vec<_> = sent
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    pages.push(shopper.check_out_with(&[("order_key", &key)]));
    let number = |page: Page| page.with(200).fact("Confirmation number");
    let mut numbers: Vec<_> = pages.into_iter().map(number).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), 1, "{numbers:?}");

    // The same form with other details is no second order.
    let elsewhere = [("order_key", key.as_str()), ("city", "Elsewhere")];
    shopper
        .check_out_with(&elsewhere)
        .with(422)
        .shows("was sent before with other details");
}

pub(crate) fn logging_out_forgets_the_shopper(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    shopper.get("/logout").leads_to("/");
    assert_eq!(shopper.cookie("shop_session-id"), None);
    shopper.get("/cart").with(200).lacks("$28.98");
}
