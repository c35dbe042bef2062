//! Traffic policy on the real binary: two versions of a module, a header that chooses between
//! them, and a game day.

use std::{
    fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output},
};

use modulith_testkit::{Deployment, Placement};
use tempfile::TempDir;

use crate::{
    BOUTIQUE, apart,
    shopper::{GOOD_CARD, Shopper},
    start,
};

/// `currency` in two processes; who names the next version gets it, and nobody else.
const CANARY: &str = r#"
[app]
tag_header = "x-modulith-tag"

[process.shop]
modules = ["storefront", "catalog", "cart", "recommendation", "ad", "checkout", "payment", "shipping", "email"]

[process.currency]
modules = ["currency"]

[process.currency-next]
modules = ["currency"]
program = "PROGRAM"

[traffic."currency"]
split = { currency = 100, currency-next = 0 }
split_tag = { next = "currency-next" }

[traffic."currency.ConvertAll"]
timeout_ms = 1500
retries = 1
"#;

fn boutique(arguments: &[&str]) -> Output {
    Command::new(BOUTIQUE).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn canary(folder: &TempDir) -> PathBuf {
    // Another build of the application; here, this one under another name.
    let program = folder.path().join("boutique-next");
    symlink(BOUTIQUE, &program).unwrap();
    let path = folder.path().join("canary.toml");
    let text = CANARY.replace("PROGRAM", &program.display().to_string());
    fs::write(&path, text).unwrap();
    path
}

/// How many queries the only module of a process has answered.
fn queries(shop: &Deployment, process: &str) -> u64 {
    let data = shop.data().display().to_string();
    let table = text(&boutique(&["status", "--data", &data]).stdout);
    let row = table.lines().find_map(|line| {
        let cells: Vec<_> = line.split_whitespace().collect();
        (cells.first() == Some(&process)).then(|| cells[5].parse().unwrap())
    });
    row.unwrap_or_else(|| panic!("{process} is not in:\n{table}"))
}

#[test]
fn policy_is_shown_by_check_and_graph() {
    let folder = TempDir::new().unwrap();
    let path = canary(&folder).display().to_string();
    let check = boutique(&["check", "--config", &path]);
    let shown = text(&check.stdout);
    assert!(check.status.success(), "{}", text(&check.stderr));
    for part in [
        "currency 100, currency-next 0, tag next to currency-next",
        "within 1500 ms, 1 retries",
    ] {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
    let graph = text(&boutique(&["graph", "--config", &path]).stdout);
    for part in ["currency (100 of 100)", "currency (0 of 100)"] {
        assert!(graph.contains(part), "{part:?} is not in:\n{graph}");
    }
}

#[test]
fn a_header_leads_to_the_next_version_and_only_whoever_sends_it() {
    let folder = TempDir::new().unwrap();
    let shop = start(Placement::File(canary(&folder)));
    let next = shop.process("currency-next").unwrap().pid;
    let command = text(&fs::read(format!("/proc/{next}/cmdline")).unwrap());
    assert!(command.contains("boutique-next"), "{command}");
    let mut shopper = Shopper::enter(&shop);
    shopper.get("/").with(200);
    assert!(queries(&shop, "currency") > 0);
    assert_eq!(queries(&shop, "currency-next"), 0);
    let before = queries(&shop, "currency");
    let tagged = ureq::get(shop.address())
        .header("x-modulith-tag", "next")
        .call();
    assert_eq!(tagged.unwrap().status(), 200);
    assert!(queries(&shop, "currency-next") > 0);
    assert_eq!(queries(&shop, "currency"), before);
}

#[test]
fn a_game_day_kills_and_drops_and_the_audit_finds_nothing_wrong() {
    let shop = start(apart());
    let mut shopper = Shopper::enter(&shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    shopper.check_out(GOOD_CARD).with(200);
    let data = shop.data().display().to_string();
    let before = shop.process("currency").unwrap().pid;
    let output = boutique(&[
        "chaos", "--for", "2s", "--every", "1s", "--kill", "currency", "--drop", "ad=100",
        "--delay", "cart=5", "--data", &data, "--json",
    ]);
    let said = text(&output.stdout);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{error}");
    assert!(said.contains("\"instance\": \"currency\""), "{said}");
    assert!(said.contains("\"violations\": 0"), "{said}");
    assert_ne!(shop.process("currency").unwrap().pid, before);
    // What was put in is gone.
    shopper.get("/").with(200);
}

#[test]
fn a_game_day_that_cannot_be_is_refused() {
    let shop = start(apart());
    let data = shop.data().display().to_string();
    for (arguments, says) in [
        (&["--for", "1s"][..], "nothing to do"),
        (&["--kill", "curency"], "no such process"),
        (&["--drop", "curency=5"], "no module or message"),
        (&["--drop", "ad=500"], "expected a module and a number"),
        (&["--for", "2h", "--kill", "ad"], "a number and ms, s or m"),
    ] {
        let arguments = [&["chaos", "--data", &data], arguments].concat();
        let output = boutique(&arguments);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{says:?} is not in: {error}");
    }
}
