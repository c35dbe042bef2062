//! Who may speak with whom.

use std::time::Duration;

use modulith_quic::{Counters, Endpoint, Options, Refused, StartError};

use crate::support::{World, call, echo, unreachable, until};

/// Waits until something was counted. Gives the counter, after making sure that all others are 0.
async fn only(endpoint: &Endpoint, counter: impl Fn(&Refused) -> u64) -> u64 {
    let counted = || counter(&endpoint.counters().refused) > 0;
    until("the refusal is counted", counted).await;
    let refused = endpoint.counters().refused;
    let Refused {
        no_certificate,
        unknown_root,
        expired,
        wrong_name,
        other_application,
        other_definitions,
        violation,
        other,
    } = refused;
    let all = no_certificate
        + unknown_root
        + expired
        + wrong_name
        + other_application
        + other_definitions
        + violation
        + other;
    assert_eq!(all, counter(&refused), "{refused:?}");
    all
}

#[tokio::test]
async fn a_process_with_a_certificate_of_another_authority_is_refused() {
    let world = World::new();
    let elsewhere = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let shop = elsewhere.start(elsewhere.options("shop"), echo());
    let address = orders.address().unwrap();
    elsewhere.name("orders", address);
    let reason = unreachable(call(&shop, *b"").await);
    let expected = format!(
        "process orders at {address}: its certificate is from another authority; processes of \
         one application trust the same roots"
    );
    assert_eq!(reason, expected);
    assert_eq!(orders.peers(), []);
    assert_eq!(only(&shop, |refused| refused.unknown_root).await, 1);
    assert_eq!(
        orders.counters(),
        Counters::default(),
        "it was the shop that refused"
    );
}

#[tokio::test]
async fn another_process_at_the_address_is_refused() {
    let world = World::new();
    let payment = world.start(world.listening("payment"), echo());
    let shop = world.start(world.options("shop"), echo());
    world.name("orders", payment.address().unwrap());
    let reason = unreachable(call(&shop, *b"").await);
    assert!(reason.contains("another process answers there"), "{reason}");
    assert!(
        reason.contains("payment.process.boutique.modulith"),
        "{reason}"
    );
    assert_eq!(only(&shop, |refused| refused.wrong_name).await, 1);
}

#[tokio::test]
async fn a_process_of_another_application_is_refused() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let bank = Options {
        application: "bank".into(),
        ..world.options("shop")
    };
    let shop = world.start(bank, echo());
    world.name("orders", orders.address().unwrap());
    let reason = unreachable(call(&shop, *b"").await);
    assert!(reason.contains("another process answers there"), "{reason}");
}

#[tokio::test]
async fn messages_defined_differently_are_named() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let mut options = world.options("shop");
    options.messages[0].fingerprint += 1;
    let shop = world.start(options, echo());
    let reason = unreachable(call(&shop, *b"").await);
    let expected =
        "cart.AddItem is defined differently by orders and shop; run one version of both";
    assert!(reason.ends_with(expected), "{reason}");
    assert_eq!(only(&orders, |refused| refused.other_definitions).await, 1);
}

#[tokio::test]
async fn a_name_that_fits_no_certificate_is_an_error_at_the_start() {
    let world = World::new();
    let error = world.try_start(world.options("Shop!"), echo()).unwrap_err();
    assert!(matches!(error, StartError::Name(_)), "{error}");
}

#[tokio::test]
async fn a_refused_process_is_accepted_once_both_run_one_version() {
    let world = World::new();
    let orders = world.start(world.listening("orders"), echo());
    let mut options = world.options("shop");
    options.messages[0].fingerprint += 1;
    options.timing.backoff_max = Duration::from_millis(20);
    let shop = world.start(options.clone(), echo());
    unreachable(call(&shop, *b"").await);
    orders.close(Duration::ZERO);
    let mut update = world.listening("orders");
    update.messages = options.messages;
    let _orders = world.start(update, echo());
    assert_eq!(call(&shop, *b"").await, Ok(Vec::new()));
}
