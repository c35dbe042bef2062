//! Looking around: pages, currencies, and what is not there.

use modulith_testkit::Deployment;

use crate::shopper::Shopper;

pub(crate) fn every_page_a_shopper_can_reach_is_there(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    let home = shopper.get("/").with(200);
    for name in [
        "Sunglasses",
        "Tank Top",
        "Watch",
        "Loafers",
        "Hairdryer",
        "Candle Holder",
        "Salt &amp; Pepper Shakers",
        "Bamboo Glass Jar",
        "Mug",
    ] {
        assert!(home.body.contains(name), "{name} is not on the home page");
    }
    // Everything the pages lead to or show is there: no dead link, picture, ad or style.
    let mut seen = std::collections::BTreeSet::new();
    let mut next = vec!["/".to_string(), "/cart".to_string()];
    while let Some(path) = next.pop() {
        if path == "/logout" || !seen.insert(path.clone()) {
            continue;
        }
        let page = shopper.get(&path).with(200);
        for attribute in ["href=\"/", "src=\"/"] {
            for rest in page.body.split(attribute).skip(1) {
                next.push(format!("/{}", rest.split(['"', '#']).next().unwrap()));
            }
        }
    }
    assert!(
        seen.len() > 20,
        "nine products, their pictures, styles and pages: {seen:?}"
    );
    shopper.get("/_healthz").with(200).shows("ok");
    shopper.get("/robots.txt").with(200);
}

pub(crate) fn prices_follow_the_chosen_currency(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    shopper.get("/product/OLJCESPC7Z").with(200).shows("$19.99");
    for (code, price) in [
        ("EUR", "€17.68"),
        ("JPY", "¥2,235"),
        ("GBP", "£15.20"),
        ("CAD", "26.75"),
    ] {
        shopper
            .post("/setCurrency", &[("currency_code", code)])
            .leads_to("/");
        shopper.get("/product/OLJCESPC7Z").with(200).shows(price);
        shopper.get("/").with(200).shows(price);
    }
    shopper
        .post("/setCurrency", &[("currency_code", "XXX")])
        .with(422);
    assert_eq!(
        shopper.cookie("shop_currency"),
        Some("CAD"),
        "a refused currency changes nothing"
    );
    shopper.set_cookie("shop_currency", "XXX");
    shopper.get("/").with(422).shows("XXX");
}

pub(crate) fn what_does_not_exist_is_a_friendly_404(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    for path in [
        "/product/NOSUCHTHING",
        "/product/..%2f..%2fetc",
        "/nowhere",
        "/order/NONE",
    ] {
        shopper
            .get(path)
            .with(404)
            .shows("<html")
            .shows("href=\"/\"");
    }
    shopper.get("/static/../Cargo.toml").with(404);
    shopper.get("/static/img/none.svg").with(404);
}

pub(crate) fn forms_that_do_not_hold_are_422_and_change_nothing(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    for (product, quantity) in [
        ("OLJCESPC7Z", "0"),
        ("OLJCESPC7Z", "11"),
        ("OLJCESPC7Z", "-1"),
        ("OLJCESPC7Z", "two"),
        ("OLJCESPC7Z", ""),
        ("NOSUCHTHING", "1"),
        ("<script>", "1"),
        ("", "1"),
    ] {
        shopper.add(product, quantity).with(422).lacks("<script>");
    }
    shopper.post("/cart", &[]).with(422);
    shopper.post("/cart/checkout", &[]).with(422);
    let large = "x".repeat(100_000);
    shopper.add("OLJCESPC7Z", &large).with(413);
    shopper.get("/cart").with(200).shows("Your cart is empty");
}

pub(crate) fn a_shopper_is_led_back_to_our_own_pages_only(shop: Deployment) {
    let mut shopper = Shopper::enter(&shop);
    let form = [("currency_code", "EUR")];
    let own = format!("{}/product/OLJCESPC7Z", shop.address());
    shopper
        .post_from("/setCurrency", &form, &own)
        .leads_to("/product/OLJCESPC7Z");
    for foreign in ["http://elsewhere.example/x", "garbage", ""] {
        shopper
            .post_from("/setCurrency", &form, foreign)
            .leads_to("/");
    }
    let sly = format!("{}//elsewhere.example", shop.address());
    shopper.post_from("/setCurrency", &form, &sly).leads_to("/");
}
