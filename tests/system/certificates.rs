//! Certificates of the real program: its own authority replaced while shoppers shop, and
//! certificates that somebody else issues.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use modulith_testkit::{Deployment, Placement};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use tempfile::TempDir;

use crate::{
    BOUTIQUE, config,
    shopper::{GOOD_CARD, Shopper},
};

fn checkout_apart() -> Deployment {
    Deployment::start(BOUTIQUE, Placement::File(config("checkout-apart.toml")))
}

fn pki(shop: &Deployment, arguments: &[&str]) -> Output {
    let mut command = Command::new(BOUTIQUE);
    command.arg("pki").args(arguments).arg("--data");
    command.arg(shop.data()).output().unwrap()
}

#[track_caller]
fn done(shop: &Deployment, arguments: &[&str]) -> String {
    let output = pki(shop, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The fingerprints in what `pki show --json` says of roots and processes.
fn fingerprints(text: &str) -> Vec<String> {
    let texts = text.split('"').filter(|text| text.len() == 64);
    let mut found: Vec<String> = texts.map(str::to_string).collect();
    found.sort();
    found.dedup();
    found
}

fn order(shop: &Deployment) {
    let mut shopper = Shopper::enter(shop);
    shopper.add("OLJCESPC7Z", "1").leads_to("/cart");
    shopper.check_out(GOOD_CARD).with(200);
}

#[test]
fn the_authority_is_replaced_while_shoppers_order() {
    let shop = checkout_apart();
    order(&shop);
    let old = fingerprints(&done(&shop, &["show", "--json"]));
    assert_eq!(old.len(), 1, "{old:?}");
    let (stop, orders) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        // Each order asks both processes; none may fail.
        let shopping = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                order(&shop);
                orders.fetch_add(1, Ordering::Relaxed);
            }
        });
        let rotated = std::panic::catch_unwind(|| done(&shop, &["rotate"]));
        stop.store(true, Ordering::Relaxed);
        shopping.join().unwrap();
        assert!(rotated.unwrap().contains("the old root is retired"));
    });
    assert!(orders.load(Ordering::Relaxed) > 0);
    let shown = done(&shop, &["show", "--json"]);
    let new = fingerprints(&shown);
    assert_eq!(new.len(), 1, "in the folder and in both processes: {shown}");
    assert_ne!(new, old);
    assert!(shown.contains("\"process\": \"shop\""), "{shown}");
    assert!(shown.contains("\"process\": \"orders\""), "{shown}");
    order(&shop);
    assert!(!shop.log().contains("refused"), "{}", shop.log());
}

#[test]
fn a_rotation_waits_for_a_process_that_does_not_follow_and_goes_on_when_it_does() {
    let shop = checkout_apart();
    order(&shop);
    let before = fingerprints(&done(&shop, &["show", "--json"]));
    let hanging = shop.process("orders").unwrap();
    hanging.suspend();
    let output = pki(&shop, &["rotate", "--wait", "1"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(
        error.contains("the new root is not trusted yet by orders"),
        "{error}"
    );
    let output = pki(&shop, &["retire", "--wait", "1"]);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("does not issue yet"), "{error}");
    hanging.wake();
    let shown = done(&shop, &["show"]);
    assert!(shown.contains("a rotation is under way"), "{shown}");
    order(&shop);
    done(&shop, &["rotate"]);
    let after = fingerprints(&done(&shop, &["show", "--json"]));
    assert_eq!(after.len(), 1);
    assert_ne!(after, before);
    order(&shop);
    // At rest there is nobody to wait for.
    let mut shop = shop;
    shop.stop();
    for says in ["is trusted", "issues", "is retired"] {
        let text = done(&shop, &["rotate", "--step"]);
        assert!(text.contains(says), "{text}");
    }
    shop.resume();
    order(&shop);
}

/// An authority of somebody else, with files for both processes of a placement.
struct Elsewhere {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Elsewhere {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self {
            folder: TempDir::new().unwrap(),
            ca: CertifiedIssuer::self_signed(params, key).unwrap(),
        }
    }

    fn give(&self, process: &str, identity: &str) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(identity.try_into().unwrap())];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let folder = self.folder.path().join(process);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
        fs::write(folder.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(folder.join("ca.crt"), self.ca.pem()).unwrap();
    }

    /// The placement with checkout apart, with certificates from here.
    fn config(&self) -> String {
        let placement = fs::read_to_string(config("checkout-apart.toml")).unwrap();
        let mut text = String::new();
        for line in placement.lines() {
            text.push_str(line);
            text.push('\n');
            if let Some(process) = line.strip_prefix("[process.") {
                let process = process.trim_end_matches(']');
                text.push_str(&format!("identity = \"{}\"\n", spiffe(process)));
            }
        }
        let file = |name: &str| self.folder.path().join("{process}").join(name);
        let (certificate, key, roots) = (file("tls.crt"), file("tls.key"), file("ca.crt"));
        text.push_str(&format!(
            "[pki]\ncertificate = \"{}\"\nkey = \"{}\"\nroots = \"{}\"\n",
            certificate.display(),
            key.display(),
            roots.display()
        ));
        let path = self.folder.path().join("app.toml");
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

fn spiffe(process: &str) -> String {
    format!("spiffe://example.org/ns/shop/sa/{process}")
}

fn check(config: &str) -> Output {
    let mut command = Command::new(BOUTIQUE);
    command
        .args(["check", "--config", config])
        .output()
        .unwrap()
}

#[test]
fn a_shop_runs_with_certificates_from_elsewhere() {
    let elsewhere = Elsewhere::new();
    for process in ["shop", "orders"] {
        elsewhere.give(process, &spiffe(process));
    }
    let config = elsewhere.config();
    let output = check(&config);
    assert!(output.status.success(), "{output:?}");
    let shop = Deployment::start(BOUTIQUE, Placement::File(Path::new(&config).into()));
    order(&shop);
    assert!(!shop.data().join("pki").exists(), "it needs no authority");
    let shown = Command::new(BOUTIQUE)
        .args(["pki", "show", "--config", &config, "--data"])
        .arg(shop.data())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("certificates come from elsewhere"), "{text}");
    let rotated = Command::new(BOUTIQUE)
        .args(["pki", "rotate", "--config", &config, "--data"])
        .arg(shop.data())
        .output()
        .unwrap();
    assert_eq!(rotated.status.code(), Some(2));
    // Renewed while it runs: the next orders are placed with the new ones.
    for process in ["shop", "orders"] {
        elsewhere.give(process, &spiffe(process));
    }
    order(&shop);
}

#[test]
fn certificates_from_elsewhere_that_do_not_fit_are_told_by_check() {
    let elsewhere = Elsewhere::new();
    elsewhere.give("shop", &spiffe("shop"));
    elsewhere.give("orders", &spiffe("warehouse"));
    let config = elsewhere.config();
    let says = |part: &str| {
        let output = check(&config);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(part), "{part:?} is not in: {error}");
    };
    says("is for spiffe://example.org/ns/shop/sa/warehouse, process orders needs one for");
    fs::remove_file(elsewhere.folder.path().join("orders/tls.key")).unwrap();
    says("cannot read");
    elsewhere.give("orders", &spiffe("orders"));
    let (shops, orders) = ("shop/tls.key", "orders/tls.key");
    let at = |file: &str| elsewhere.folder.path().join(file);
    fs::copy(at(shops), at(orders)).unwrap();
    says("does not belong to the certificate");
    fs::write(at("shop/ca.crt"), "rubbish").unwrap();
    says("holds no certificate of an authority as PEM");
}
