//! Certificates that change while processes run, and certificates of others.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use modulith_quic::{
    Authority, Endpoint, Foreign, ForeignError, ForeignPeer, Incoming, Options, Rotation, Stage,
    StartError,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, SanType, SignatureAlgorithm,
};
use tempfile::TempDir;

use crate::support::{World, call, echo, service, unreachable, until};

fn issuer(endpoint: &Endpoint) -> String {
    endpoint.certificates().issuer.unwrap()
}

/// Calls one after the other until told to stop. Gives how many there were; each must succeed.
struct Caller {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Caller {
    fn start(shop: &Arc<Endpoint>) -> Self {
        let (stop, made) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (shop, stopped, count) = (shop.clone(), stop.clone(), made.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                assert_eq!(call(&shop, *b"go on").await, Ok(b"go on".to_vec()));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, made, task }
    }

    /// Waits for some more calls.
    async fn more(&self) {
        let before = self.made.load(Ordering::Relaxed);
        let task = &self.task;
        until("calls go on", || {
            task.is_finished() || self.made.load(Ordering::Relaxed) > before + 10
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
    }
}

#[tokio::test]
async fn a_rotation_under_calls_fails_none_of_them_and_leaves_nothing_of_the_old_root() {
    let world = World::new();
    let (shop, orders) = world.pair(echo());
    let caller = Caller::start(&shop);
    caller.more().await;
    let authority = world.authority();
    let rotation = Rotation::begin(&authority).unwrap();
    let old = issuer(&shop);

    let new = rotation.prepare().unwrap();
    until("both trust both", || {
        let both = [old.clone(), new.clone()];
        [&shop, &orders]
            .iter()
            .all(|it| it.certificates().roots == both)
    })
    .await;
    assert_eq!(issuer(&shop), old);
    caller.more().await;

    rotation.promote().unwrap();
    until("both show the new, on every connection", || {
        let renewed = |it: &Arc<Endpoint>| {
            let status = it.certificates();
            status.issuer.as_ref() == Some(&new) && status.connections_outdated == 0
        };
        renewed(&shop) && renewed(&orders)
    })
    .await;
    caller.more().await;

    rotation.retire().unwrap();
    until("the old one is forgotten", || {
        let only = [new.clone()];
        [&shop, &orders]
            .iter()
            .all(|it| it.certificates().roots == only)
    })
    .await;
    caller.more().await;
    caller.stop().await;
    assert_eq!(shop.counters(), Default::default());
    assert_eq!(orders.counters(), Default::default());
}

#[tokio::test]
async fn a_process_with_a_certificate_of_a_retired_root_is_refused_and_cut_off() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    // It has a copy of the folder as it was, and does not follow it.
    let stale = world.copy();
    let mut options = stale.options("shop");
    options.timing.restart_grace = Duration::ZERO;
    let shop = world.start(options, echo());
    assert_eq!(call(&shop, *b"").await, Ok(Vec::new()));
    let authority = world.authority();
    let rotation = Rotation::begin(&authority).unwrap();
    rotation.prepare().unwrap();
    rotation.promote().unwrap();
    rotation.retire().unwrap();
    until("the connection is cut", || {
        orders.counters().refused.unknown_root >= 1
    })
    .await;
    let reason = unreachable(call(&shop, *b"").await);
    assert!(reason.contains("another authority"), "{reason}");
    assert!(shop.counters().refused.unknown_root >= 1);
}

/// Killed with a new root made, after it was trusted, and after it issues: each time processes
/// start, speak with those that run, and the rotation goes on to its end.
#[tokio::test]
async fn a_rotation_that_was_broken_off_can_be_lived_with_and_finished() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let authority = world.authority();
    let first = issuer(&orders);
    let steps: [fn(&Rotation); 3] = [
        |rotation| _ = rotation.prepare().unwrap(),
        |rotation| rotation.promote().unwrap(),
        |rotation| rotation.retire().unwrap(),
    ];
    let stages = [Stage::Prepared, Stage::Promoted, Stage::Settled];
    for (step, stage) in steps.into_iter().zip(stages) {
        let rotation = Rotation::begin(&authority).unwrap();
        step(&rotation);
        assert_eq!(rotation.stage().unwrap(), stage);
        let roots: Vec<_> = authority.roots().unwrap();
        until("the process follows", || {
            let trusted = orders.certificates().roots;
            trusted
                .iter()
                .eq(roots.iter().map(|root| &root.fingerprint))
        })
        .await;
        let shop = world.start(world.options("shop"), echo());
        assert_eq!(call(&shop, *b"").await, Ok(Vec::new()), "{stage:?}");
    }
    assert_ne!(issuer(&orders), first);
}

#[tokio::test]
async fn a_connection_is_renewed_when_it_is_old_and_what_is_in_flight_finishes() {
    let world = World::new();
    let (begun, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (finish, release) = tokio::sync::watch::channel(false);
    let _orders = world.start(
        world.listening("orders"),
        service(move |request: Incoming| {
            let (begun, mut release) = (begun.clone(), release.clone());
            async move {
                if request.body == b"slow" {
                    begun.send(()).unwrap();
                    release.wait_for(|released| *released).await.unwrap();
                }
                request.body
            }
        }),
    );
    let mut options = world.options("shop");
    options.timing.connection_age_max = Duration::from_secs(1);
    let shop = world.start(options, echo());
    let slow = call(&shop, *b"slow");
    told.recv().await.unwrap();
    let first = shop.certificates();
    assert_eq!(first.connections_outdated, 0);
    let caller = Caller::start(&shop);
    let orders = &_orders;
    until("there are two connections", || orders.peers().len() == 2).await;
    caller.more().await;
    finish.send(true).unwrap();
    assert_eq!(slow.await, Ok(b"slow".to_vec()));
    until("the old one is closed", || orders.peers().len() == 1).await;
    caller.stop().await;
}

/// An authority of somebody else, and the certificates it gives to `shop` and `orders`.
struct Issuer {
    folder: TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
    algorithm: &'static SignatureAlgorithm,
    peers: Vec<ForeignPeer>,
}

fn spiffe(process: &str) -> String {
    format!("spiffe://example.org/ns/shop/sa/{process}")
}

impl Issuer {
    fn new(
        algorithm: &'static SignatureAlgorithm,
        identity: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(algorithm).unwrap();
        let name = format!("authority {}", key.public_key_raw()[5]);
        params.distinguished_name.push(DnType::CommonName, name);
        let peers = ["shop", "orders"].map(|process| ForeignPeer {
            process: process.to_owned(),
            identity: identity(process),
            modules: vec![process.to_owned()],
        });
        Self {
            folder: tempfile::tempdir().unwrap(),
            ca: CertifiedIssuer::self_signed(params, key).unwrap(),
            algorithm,
            peers: peers.into(),
        }
    }

    fn params(&self, name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![if name.contains("://") {
            SanType::URI(name.try_into().unwrap())
        } else {
            SanType::DnsName(name.try_into().unwrap())
        }];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params
    }

    /// Writes a process's three files, each replaced as a whole.
    fn give(&self, process: &str, params: &CertificateParams) -> Foreign {
        let folder = self.folder.path().join(process);
        std::fs::create_dir_all(&folder).unwrap();
        let key = KeyPair::generate_for(self.algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let put = |file: &str, text: String| put(&folder, file, &text);
        Foreign {
            key: put("tls.key", key.serialize_pem()),
            certificate: put("tls.crt", certificate.pem()),
            roots: put("ca.crt", self.ca.pem()),
            peers: self.peers.clone(),
        }
    }

    fn options(&self, world: &World, process: &str, name: &str) -> Options {
        let foreign = self.give(process, &self.params(name));
        Options {
            credentials: foreign.into(),
            ..world.listening(process)
        }
    }
}

fn put(folder: &Path, file: &str, text: &str) -> std::path::PathBuf {
    let (path, new) = (folder.join(file), folder.join(format!("{file}.new")));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, &path).unwrap();
    path
}

async fn processes_speak_with(issuer: Issuer, name: impl Fn(&str) -> String) {
    let world = World::new();
    let orders = world.start(
        issuer.options(&world, "orders", &name("orders")),
        service(|request: Incoming| async move {
            assert_eq!(&*request.peer.process, "shop");
            assert_eq!(&*request.caller, "shop");
            request.body
        }),
    );
    let shop = world.start(issuer.options(&world, "shop", &name("shop")), echo());
    assert_eq!(call(&shop, *b"hello").await, Ok(b"hello".to_vec()));
    assert_eq!(orders.certificates().issuer, None);
    assert_eq!(orders.counters(), Default::default());
}

#[tokio::test]
async fn processes_speak_with_spiffe_ids() {
    let issuer = Issuer::new(&PKCS_ECDSA_P256_SHA256, |process| Some(spiffe(process)));
    processes_speak_with(issuer, spiffe).await;
}

#[tokio::test]
async fn processes_speak_with_dns_names_of_others() {
    let name = |process: &str| format!("{process}.shop.svc.cluster.local");
    let issuer = Issuer::new(&PKCS_ED25519, |process| Some(name(process)));
    processes_speak_with(issuer, name).await;
}

#[tokio::test]
async fn processes_speak_with_the_names_modulith_gives() {
    let name = |process: &str| format!("{process}.process.boutique.modulith");
    processes_speak_with(Issuer::new(&PKCS_ED25519, |_| None), name).await;
}

#[tokio::test]
async fn a_foreign_certificate_of_no_process_is_refused_by_its_name() {
    let world = World::new();
    let issuer = Issuer::new(&PKCS_ECDSA_P256_SHA256, |process| Some(spiffe(process)));
    let orders = world.start(issuer.options(&world, "orders", &spiffe("orders")), echo());
    // What `shop` believes it is called, nobody else does.
    let mut foreign = issuer.give("shop", &issuer.params(&spiffe("mallory")));
    foreign.peers[0].identity = Some(spiffe("mallory"));
    let shop = Options {
        credentials: foreign.into(),
        ..world.options("shop")
    };
    let shop = world.start(shop, echo());
    let reason = unreachable(call(&shop, *b"").await);
    let expected = "it refused: its certificate is for spiffe://example.org/ns/shop/sa/mallory, \
                    which is no process of this configuration";
    assert!(reason.contains(expected), "{reason}");
    assert_eq!(orders.counters().refused.wrong_name, 1);
}

#[tokio::test]
async fn a_server_with_the_certificate_of_another_process_is_not_the_one_meant() {
    let world = World::new();
    let issuer = Issuer::new(&PKCS_ED25519, |process| Some(spiffe(process)));
    let orders = world.start(issuer.options(&world, "orders", &spiffe("orders")), echo());
    let mut foreign = issuer.give("shop", &issuer.params(&spiffe("shop")));
    foreign.peers[1].identity = Some(spiffe("warehouse"));
    let shop = Options {
        credentials: foreign.into(),
        ..world.options("shop")
    };
    let shop = world.start(shop, echo());
    let reason = unreachable(call(&shop, *b"").await);
    assert!(reason.contains("another process answers there"), "{reason}");
    assert!(
        reason.contains(&spiffe("orders")),
        "what it shows: {reason}"
    );
    assert!(
        reason.ends_with(&format!("expected {}", spiffe("warehouse"))),
        "{reason}"
    );
    assert!(shop.counters().refused.wrong_name >= 1);
    assert_eq!(orders.counters(), Default::default());
}

#[tokio::test]
async fn a_certificate_with_two_uris_is_nobodys() {
    let world = World::new();
    let issuer = Issuer::new(&PKCS_ED25519, |process| Some(spiffe(process)));
    let mut params = issuer.params(&spiffe("shop"));
    let second = SanType::URI(spiffe("orders").try_into().unwrap());
    params.subject_alt_names.push(second);
    let shop = Options {
        credentials: issuer.give("shop", &params).into(),
        ..world.options("shop")
    };
    let error = world.try_start(shop, echo()).unwrap_err();
    assert!(matches!(error, StartError::Certificate(_)), "{error}");
}

#[tokio::test]
async fn foreign_certificates_that_are_renewed_are_taken_over_while_calls_go_on() {
    let world = World::new();
    let issuer = Issuer::new(&PKCS_ECDSA_P256_SHA256, |process| Some(spiffe(process)));
    let orders = world.start(issuer.options(&world, "orders", &spiffe("orders")), echo());
    let shop = world.start(issuer.options(&world, "shop", &spiffe("shop")), echo());
    let caller = Caller::start(&shop);
    caller.more().await;
    let day = 24 * 60 * 60;
    for (process, endpoint) in [("shop", &shop), ("orders", &orders)] {
        let before = endpoint.certificates().valid_until;
        let mut params = issuer.params(&spiffe(process));
        params.not_after = rcgen::date_time_ymd(2090, 1, 1);
        issuer.give(process, &params);
        until("the new certificate is shown", || {
            endpoint.certificates().valid_until.abs_diff(before) > day
        })
        .await;
        caller.more().await;
    }
    // Half of a renewal, or rubbish, is not taken over.
    let until_then = shop.certificates().valid_until;
    put(&issuer.folder.path().join("shop"), "tls.key", "rubbish");
    caller.more().await;
    assert_eq!(shop.certificates().valid_until, until_then);
    caller.stop().await;
    assert_eq!(orders.counters(), Default::default());
}

#[test]
fn mistakes_in_foreign_certificates_are_told_before_they_matter() {
    let issuer = Issuer::new(&PKCS_ED25519, |process| Some(spiffe(process)));
    let right = || issuer.give("shop", &issuer.params(&spiffe("shop")));
    let found = |foreign: &Foreign| foreign.check("boutique", "shop");
    found(&right()).unwrap();

    let mut missing = right();
    missing.key = issuer.folder.path().join("nowhere");
    let error = found(&missing).unwrap_err();
    assert!(matches!(error, ForeignError::File { .. }), "{error}");

    let mut swapped = right();
    swapped.certificate = swapped.key.clone();
    let error = found(&swapped).unwrap_err();
    assert!(matches!(error, ForeignError::Pem { .. }), "{error}");

    let first = right();
    let other = issuer.give("other", &issuer.params(&spiffe("shop")));
    let mixed = Foreign {
        key: other.key,
        ..first
    };
    let error = found(&mixed).unwrap_err();
    assert!(matches!(error, ForeignError::Mismatch { .. }), "{error}");

    let mut over = issuer.params(&spiffe("shop"));
    over.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let error = found(&issuer.give("shop", &over)).unwrap_err();
    assert!(matches!(error, ForeignError::Expired { .. }), "{error}");

    let other = issuer.give("shop", &issuer.params(&spiffe("orders")));
    let error = found(&other).unwrap_err().to_string();
    assert!(
        error.contains("is for spiffe://example.org/ns/shop/sa/orders, process shop needs one for"),
        "{error}"
    );

    let elsewhere = Issuer::new(&PKCS_ED25519, |_| None);
    let untrusted = Foreign {
        roots: elsewhere.give("shop", &elsewhere.params("a.example")).roots,
        ..right()
    };
    let error = found(&untrusted).unwrap_err();
    assert!(matches!(error, ForeignError::Untrusted { .. }), "{error}");

    let mut server_only = issuer.params(&spiffe("shop"));
    server_only.extended_key_usages.pop();
    let error = found(&issuer.give("shop", &server_only)).unwrap_err();
    assert!(error.to_string().contains("as a client"), "{error}");
}

#[test]
fn an_authority_says_what_it_trusts() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!Authority::exists(folder.path()));
    let authority = Authority::open(folder.path()).unwrap();
    assert!(Authority::exists(folder.path()));
    let roots = authority.roots().unwrap();
    let [root] = roots.as_slice() else {
        panic!("expected one root, found {roots:?}");
    };
    assert!(root.issues);
    assert!(root.subject.starts_with("Modulith authority "), "{root:?}");
    assert_eq!(root.fingerprint.len(), 64);
    // The last of December 2049.
    assert_eq!(root.valid_until, 2_524_521_600);
}
