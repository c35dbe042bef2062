//! Operating the boutique: the audit, its stores, and who may give orders.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output},
};

use modulith_testkit::Deployment;

use crate::{
    BOUTIQUE,
    shopper::{GOOD_CARD, Shopper},
};

/// Has the boutique's command line work on a shop.
fn operate(shop: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(BOUTIQUE);
    command.args(arguments).arg("--data").arg(shop.data());
    command.output().unwrap()
}

#[track_caller]
fn done(shop: &Deployment, arguments: &[&str]) -> String {
    let output = operate(shop, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{error}");
    text
}

#[track_caller]
fn failed(shop: &Deployment, arguments: &[&str], code: i32, says: &str) {
    let output = operate(shop, arguments);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {text}");
    assert!(text.contains(says), "{says:?} is not in: {text}");
}

pub(crate) fn tools_know_the_partitions_of_a_divided_shop(mut shop: Deployment) {
    let config = shop.config_file().display().to_string();
    let with = |arguments: &[&str]| {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--config", &config]);
        arguments.into_iter().map(String::from).collect::<Vec<_>>()
    };
    let told = |shop: &Deployment, arguments: &[&str]| {
        let arguments = with(arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        done(shop, &arguments)
    };
    let refused = |shop: &Deployment, arguments: &[&str], says: &str| {
        let arguments = with(arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        failed(shop, &arguments, 2, says);
    };
    let numbers: Vec<_> = (0..6).map(|_| order(&shop)).collect();
    let report = told(&shop, &["verify"]);
    assert!(report.ends_with(" 0 violations\n"), "{report}");
    let mut check = Command::new(BOUTIQUE);
    let checked = check.args(["check", "--config", &config]).output().unwrap();
    let placement = String::from_utf8_lossy(&checked.stdout);
    assert!(placement.contains("cart (4 partitions)"), "{placement}");
    let events = told(&shop, &["events", "list", "checkout", "--json"]);
    assert!(
        numbers.iter().all(|number| events.contains(number)),
        "{events}"
    );
    assert!(events.contains("\"module\": \"checkout/"), "{events}");
    refused(
        &shop,
        &["events", "list", "checkout", "--after", "1"],
        "say which: --partition 0 to 1",
    );
    refused(
        &shop,
        &["events", "list", "checkout/2"],
        "module checkout has 2 partitions, 0 to 1; there is no partition 2",
    );
    let flows = told(&shop, &["flows", "list", "checkout"]);
    let id = flows.lines().last().unwrap().split_whitespace().nth(1);
    let steps = told(&shop, &["flows", "show", "checkout", &id.unwrap()[..12]]);
    assert!(steps.contains("payment.Charge"), "{steps}");
    let info = told(&shop, &["store", "info", "cart"]);
    for partition in 0..4 {
        assert!(info.contains(&format!("cart/{partition}")), "{info}");
        let store = format!("cart/{partition}/store.redb");
        assert!(shop.data().join(store).exists());
    }
    let backup = shop.data().join("cart.backup").display().to_string();
    refused(
        &shop,
        &["store", "backup", "cart", &backup],
        "--partition 0 to 3",
    );
    told(
        &shop,
        &["store", "backup", "cart", &backup, "--partition", "3"],
    );
    assert!(shop.stop().success(), "{}", shop.log());
    refused(
        &shop,
        &["store", "restore", "cart", &backup, "--partition", "2"],
        "is partition 3 of 4 of module cart, not partition 2 of 4",
    );
    told(&shop, &["store", "restore", "cart/3", &backup]);
    let report = told(&shop, &["verify"]);
    assert!(report.ends_with(" 0 violations\n"), "{report}");
    // Without the configuration the carts are not divided, and their stores are.
    failed(
        &shop,
        &["verify"],
        2,
        "the number of partitions is fixed when the stores are created: set partitions = 4",
    );
}

/// Places an order. Gives its number.
fn order(shop: &Deployment) -> String {
    let mut shopper = Shopper::enter(shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    let placed = shopper.check_out(GOOD_CARD).with(200);
    placed.fact("Confirmation number")
}

pub(crate) fn the_audit_holds_while_the_shop_runs_and_at_rest(mut shop: Deployment) {
    let number = order(&shop);
    let report = done(&shop, &["verify"]);
    assert!(
        report.contains("orders = charges = shipments = letters"),
        "{report}"
    );
    assert!(report.ends_with(" 0 violations\n"), "{report}");
    let events = done(&shop, &["events", "list", "checkout", "--json"]);
    assert!(events.contains(&number), "{events}");
    let flows = done(&shop, &["flows", "list", "checkout"]);
    assert!(flows.contains("PlaceOrder"), "{flows}");
    let id = flows.lines().last().unwrap().split_whitespace().nth(1);
    let id = &id.unwrap()[..8];
    let steps = done(&shop, &["flows", "show", "checkout", id]);
    assert!(steps.contains("payment.Charge"), "{steps}");
    let graph = done(&shop, &["flows", "show", "checkout", id, "--graph"]);
    assert!(graph.contains("checkout->>payment: "), "{graph}");
    assert_eq!(done(&shop, &["dead", "list"]), "no dead letters\n");
    failed(&shop, &["flows", "retry", "checkout", id], 1, "is ended");
    failed(
        &shop,
        &["events", "list", "chekout"],
        2,
        "there is no module chekout",
    );
    shop.stop();
    let report = done(&shop, &["verify"]);
    assert!(
        report.contains("store"),
        "at rest, files are checked: {report}"
    );
    let events = done(&shop, &["events", "list", "checkout"]);
    assert!(events.contains("OrderPlaced"), "{events}");
    failed(
        &shop,
        &["events", "tail", "checkout"],
        2,
        "while the application runs",
    );
}

pub(crate) fn an_order_that_is_in_one_store_and_not_in_another_is_told(mut shop: Deployment) {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("payment.backup").display().to_string();
    let kept = order(&shop);
    done(&shop, &["store", "backup", "payment", &backup]);
    let lost = order(&shop);
    let restore = ["store", "restore", "payment", &backup];
    failed(&shop, &restore, 2, "stop the application");
    shop.stop();
    failed(
        &shop,
        &["store", "restore", "cart", &backup],
        2,
        "of module payment",
    );
    done(&shop, &restore);
    let what = format!("{lost}: in orders, not in charges");
    failed(&shop, &["verify"], 1, &what);
    let report = operate(&shop, &["verify"]).stdout;
    assert!(!String::from_utf8_lossy(&report).contains(&kept));
    shop.resume();
    failed(&shop, &["verify"], 1, &what);
}

pub(crate) fn orders_are_taken_from_whoever_has_the_token_alone(shop: Deployment) {
    let name = if shop.is_apart() {
        "checkout"
    } else {
        "boutique"
    };
    let notes = fs::read_dir(shop.data().join("run")).unwrap();
    let mut notes = notes.map(|entry| entry.unwrap().path());
    let note = notes.find(|path| {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        path.extension().is_some_and(|ending| ending == "json")
            && (stem == name || !shop.is_apart())
    });
    let note = note.unwrap();
    assert_eq!(
        fs::metadata(&note).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let text = fs::read_to_string(&note).unwrap();
    let value = |name: &str| {
        let (_, rest) = text.split_once(&format!("\"{name}\":\"")).unwrap();
        rest.split('"').next().unwrap().to_string()
    };
    let (admin, token) = (value("admin"), value("token"));
    assert_eq!(token.len(), 64);
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let order = r#"{"module":"checkout","operation":"list_dead"}"#;
    let send = |token: &str, kind: &str| {
        let request = agent.post(format!("http://{admin}/operate"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let answer = request.header("content-type", kind).send(order).unwrap();
        answer.status().as_u16()
    };
    assert_eq!(send(&token, "application/json"), 200);
    assert_eq!(send(&token, "text/plain"), 415);
    assert_eq!(send("", "application/json"), 401);
    assert_eq!(send(&token[1..], "application/json"), 401);
    assert_eq!(
        send(&token.replace(&token[..1], "x"), "application/json"),
        401
    );
    let status = agent.get(format!("http://{admin}/status")).call().unwrap();
    assert_eq!(status.status().as_u16(), 200, "the status is anybody's");
}
