//! Restarting and scaling a shop that is full of shoppers, none of whom may notice.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use modulith_testkit::{Deployment, Placement};
use tempfile::TempDir;

use crate::{
    BOUTIQUE, config,
    shopper::{GOOD_CARD, Shopper},
};

/// How many shop at the same time, each over a connection that is kept.
const SHOPPERS: u32 = 4;

/// How many orders a crowd places before anything is done to the shop, and after.
const ORDERS: u32 = 8;

/// Shoppers who browse, fill carts and place orders until told to leave. Each stops at the first
/// page that is not what it should be, and says so.
struct Crowd {
    leave: Arc<AtomicBool>,
    orders: Arc<AtomicU32>,
    shoppers: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn enter(shop: &Deployment) -> Self {
        let leave = Arc::<AtomicBool>::default();
        let orders = Arc::<AtomicU32>::default();
        let enter = |_| {
            let mut shopper = Shopper::enter(shop);
            let (leave, orders) = (leave.clone(), orders.clone());
            std::thread::spawn(move || {
                while !leave.load(Ordering::Relaxed) {
                    shop_around(&mut shopper);
                    orders.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let shoppers = (0..SHOPPERS).map(enter).collect();
        let crowd = Self {
            leave,
            orders,
            shoppers,
        };
        crowd.orders_more(shop);
        crowd
    }

    /// Waits until as many orders again were placed.
    #[track_caller]
    fn orders_more(&self, shop: &Deployment) {
        let enough = self.orders.load(Ordering::Relaxed) + ORDERS;
        shop.wait_until("the shoppers place orders", || {
            self.are_content(shop);
            self.orders.load(Ordering::Relaxed) >= enough
        });
    }

    #[track_caller]
    fn are_content(&self, shop: &Deployment) {
        let mut shoppers = self.shoppers.iter();
        assert!(
            !shoppers.any(JoinHandle::is_finished),
            "a shopper got a page that is not right; the shop said:\n{}",
            shop.log()
        );
    }

    /// Has them leave, none having had anything to complain of.
    #[track_caller]
    fn leave(self, shop: &Deployment) {
        self.are_content(shop);
        self.leave.store(true, Ordering::Relaxed);
        for shopper in self.shoppers {
            assert!(shopper.join().is_ok(), "{}", shop.log());
        }
        let config = shop.config_file().display().to_string();
        let report = operate(shop, &["verify", "--config", &config]);
        assert!(report.ends_with(" 0 violations\n"), "{report}");
    }
}

fn shop_around(shopper: &mut Shopper) {
    shopper.get("/").with(200);
    shopper
        .post("/setCurrency", &[("currency_code", "EUR")])
        .leads_to("/");
    shopper.get("/product/OLJCESPC7Z").with(200).shows("€17.68");
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    shopper.get("/cart").with(200);
    shopper.check_out(GOOD_CARD).with(200);
}

#[track_caller]
fn operate(shop: &Deployment, arguments: &[&str]) -> String {
    let mut command = Command::new(BOUTIQUE);
    let output = command.args(arguments).arg("--data").arg(shop.data());
    let output = output.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {text}{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        shop.log()
    );
    text
}

/// The instances of a process that have written themselves down.
fn instances(shop: &Deployment, process: &str) -> Vec<(String, u32)> {
    let numbered = (0..8).map(|replica| format!("{process}.{replica}"));
    let names = std::iter::once(process.to_string()).chain(numbered);
    names
        .filter_map(|name| Some((name.clone(), shop.process(&name)?.pid)))
        .collect()
}

fn pids(instances: &[(String, u32)]) -> Vec<u32> {
    instances.iter().map(|(_, pid)| *pid).collect()
}

const PROCESSES: [&str; 10] = [
    "storefront",
    "catalog",
    "currency",
    "cart",
    "recommendation",
    "ad",
    "checkout",
    "payment",
    "shipping",
    "email",
];

pub(crate) fn everything_is_restarted_one_by_one_and_no_request_fails(shop: Deployment) {
    let before = PROCESSES.map(|process| pids(&instances(&shop, process)));
    let crowd = Crowd::enter(&shop);
    let steps = operate(&shop, &["restart"]);
    assert!(steps.ends_with("done\n"), "{steps}");
    crowd.orders_more(&shop);
    crowd.leave(&shop);
    for (process, before) in PROCESSES.iter().zip(before) {
        let after = pids(&instances(&shop, process));
        assert_eq!((before.len(), after.len()), (1, 1), "{process}");
        assert_ne!(before, after, "{process} runs anew");
    }
    let status = operate(&shop, &["status"]);
    assert!(!status.contains("restarted"), "nothing crashed: {status}");
}

pub(crate) fn a_process_without_stores_is_scaled_and_no_request_fails(shop: Deployment) {
    let first = instances(&shop, "currency");
    let crowd = Crowd::enter(&shop);
    let steps = operate(&shop, &["scale", "currency", "3"]);
    assert!(steps.contains("currency.2 is ready"), "{steps}");
    assert_eq!(instances(&shop, "currency").len(), 3);
    assert_eq!(instances(&shop, "currency")[0], first[0], "it went on");
    crowd.orders_more(&shop);
    operate(&shop, &["restart", "currency"]);
    assert_eq!(instances(&shop, "currency").len(), 3);
    operate(&shop, &["scale", "currency", "1"]);
    assert_eq!(instances(&shop, "currency").len(), 1);
    operate(&shop, &["scale", "storefront", "2"]);
    crowd.orders_more(&shop);
    operate(&shop, &["scale", "storefront", "1"]);
    crowd.orders_more(&shop);
    crowd.leave(&shop);
}

pub(crate) fn a_process_with_stores_is_scaled_and_no_request_fails(shop: Deployment) {
    let crowd = Crowd::enter(&shop);
    operate(&shop, &["scale", "cart", "2"]);
    let names: Vec<_> = instances(&shop, "cart")
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert_eq!(names, ["cart.0", "cart.1"]);
    crowd.orders_more(&shop);
    operate(&shop, &["restart", "cart"]);
    crowd.orders_more(&shop);
    operate(&shop, &["scale", "cart", "1"]);
    assert_eq!(instances(&shop, "cart")[0].0, "cart");
    crowd.orders_more(&shop);
    crowd.leave(&shop);
}

/// Partition p of a module is where p modulo the number of instances leads: they move.
pub(crate) fn partitions_move_with_the_number_of_instances_and_no_request_fails(shop: Deployment) {
    let crowd = Crowd::enter(&shop);
    operate(&shop, &["scale", "cart", "3"]);
    crowd.orders_more(&shop);
    operate(&shop, &["scale", "checkout", "2"]);
    operate(&shop, &["scale", "payment", "2"]);
    crowd.orders_more(&shop);
    let config = shop.config_file().display().to_string();
    let stores = operate(&shop, &["store", "info", "cart", "--config", &config]);
    for partition in 0..4 {
        let name = format!("cart/{partition}");
        assert!(stores.contains(&name), "{name} is not in: {stores}");
    }
    operate(&shop, &["restart"]);
    crowd.orders_more(&shop);
    operate(&shop, &["scale", "cart", "1"]);
    crowd.orders_more(&shop);
    crowd.leave(&shop);
}

pub(crate) fn an_instance_that_is_killed_comes_back_in_its_place(shop: Deployment) {
    operate(&shop, &["scale", "currency", "3"]);
    let before = instances(&shop, "currency");
    shop.process(&before[1].0).unwrap().kill();
    shop.wait_until("the launcher starts the instance again", || {
        let now = instances(&shop, "currency");
        now.len() == 3 && now[1].1 != before[1].1
    });
    let after = instances(&shop, "currency");
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    let mut shopper = Shopper::enter(&shop);
    shop.wait_until("prices are there again", || shopper.get("/").status == 200);
    let status = operate(&shop, &["status"]);
    assert!(status.contains("running, restarted 1x"), "{status}");
}

pub(crate) fn orders_that_cannot_be_carried_out_are_refused_with_the_reason(mut shop: Deployment) {
    let refused = |shop: &Deployment, arguments: &[&str], says: &str| {
        let mut command = Command::new(BOUTIQUE);
        let output = command.args(arguments).arg("--data").arg(shop.data());
        let output = output.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{says:?} is not in: {error}");
    };
    refused(
        &shop,
        &["scale", "crrency", "2"],
        "there is no process crrency",
    );
    refused(
        &shop,
        &["restart", "crrency"],
        "there is no process crrency",
    );
    refused(&shop, &["scale", "currency", "0"], "expected 1 to 64");
    refused(&shop, &["scale", "currency", "65"], "expected 1 to 64");
    let told = operate(&shop, &["scale", "currency", "1", "--json"]);
    assert!(told.contains("currency has 1 already"), "{told}");
    shop.stop();
    refused(
        &shop,
        &["scale", "currency", "2"],
        "no launcher runs on data folder",
    );
    refused(&shop, &["restart"], "no launcher runs on data folder");
}

// The front has stores, so nobody takes its place while it restarts: connections wait.
pub(crate) fn a_front_with_stores_is_restarted_and_no_request_fails(shop: Deployment) {
    let before = shop.process("shop");
    let crowd = Crowd::enter(&shop);
    operate(&shop, &["restart"]);
    assert_ne!(shop.process("shop"), before);
    crowd.orders_more(&shop);
    crowd.leave(&shop);
}

/// A process of which each instance has the pages and one has the stores.
pub(crate) fn everything_twice() -> (TempDir, Placement) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("twice.toml");
    let one = fs::read_to_string(config("one-process.toml")).unwrap();
    let twice = one.replace("[process.boutique]\n", "[process.boutique]\nreplicas = 2\n");
    assert_ne!(one, twice);
    fs::write(&path, twice).unwrap();
    (folder, Placement::File(path))
}

pub(crate) fn a_process_with_everything_has_instances_that_share_its_address(shop: Deployment) {
    let names: Vec<_> = instances(&shop, "boutique");
    let names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["boutique.0", "boutique.1"]);
    let crowd = Crowd::enter(&shop);
    operate(&shop, &["restart"]);
    operate(&shop, &["scale", "boutique", "1"]);
    crowd.orders_more(&shop);
    crowd.leave(&shop);
    let status = operate(&shop, &["status"]);
    assert!(!status.contains("boutique."), "{status}");
}

// What the shop is started with is in a file that may change, as the program may.
pub(crate) fn an_order_that_would_end_badly_leaves_everything_as_it_is(shop: Deployment) {
    let file = shop.data().with_file_name("placement.toml");
    let good = fs::read_to_string(&file).unwrap();
    let before = PROCESSES.map(|process| instances(&shop, process));
    let failed = |arguments: &[&str], says: &str| {
        let mut command = Command::new(BOUTIQUE);
        let output = command.args(arguments).arg("--data").arg(shop.data());
        let output = output.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(says), "{says:?} is not in: {error}");
    };
    fs::write(&file, format!("{good}\n[module.cart]\nlines = 5\n")).unwrap();
    failed(
        &["restart"],
        "nothing was done, because no process could start",
    );
    failed(&["scale", "currency", "2"], "module.cart: ");
    // This passes the check, and the new instance finds out.
    fs::write(
        &file,
        format!("{good}\n[module.catalog]\nproducts = \"none.toml\"\n"),
    )
    .unwrap();
    failed(
        &["restart", "catalog"],
        "catalog.1 is not ready: it cannot start",
    );
    failed(&["scale", "catalog", "3"], "is not ready: it cannot start");
    assert_eq!(before, PROCESSES.map(|process| instances(&shop, process)));
    fs::write(&file, good).unwrap();
    let mut shopper = Shopper::enter(&shop);
    shopper.get("/product/OLJCESPC7Z").with(200);
    operate(&shop, &["restart", "catalog"]);
    shopper.get("/product/OLJCESPC7Z").with(200);
}
