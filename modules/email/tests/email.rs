//! Email alone, through its contract: letters in a folder, and letters to a mail server.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod mail_server;

use std::{fs, num::NonZeroU32, path::Path, time::Duration};

use cart_contract::{CartItem, ShopperId};
use catalog_contract::ProductId;
use checkout_contract::{EmailAddress, Order, OrderId, OrderItem};
use currency_contract::{CurrencyCode, Money};
use email::{Email, EmailSettings};
use email_contract::SendConfirmation;
use futures_util::future::{join, join_all};
use mail_server::MailServer;
use modulith_kernel::{Fault, FlowLine, FlowStand, Stop, Timestamp};
use modulith_testkit::{DiskFault, World, until};
use shipping_contract::{Address, TrackingId};

fn dollars(units: i64, cents: i32) -> Money {
    Money::new(CurrencyCode::new("USD").unwrap(), units, cents * 10_000_000).unwrap()
}

fn confirmation(order: &str) -> SendConfirmation {
    SendConfirmation {
        to: EmailAddress::new("someone@example.com").unwrap(),
        order: Order {
            id: OrderId::new(order).unwrap(),
            shopper: ShopperId::new("shopper-1").unwrap(),
            tracking: TrackingId::new("AB-12345-678901234").unwrap(),
            shipping_cost: dollars(8, 99),
            address: Address {
                street: "1 Main Street".to_string(),
                city: "Springfield".to_string(),
                state: "OR".to_string(),
                country: "United States".to_string(),
                zip_code: 97477,
            },
            items: vec![OrderItem {
                item: CartItem {
                    product: ProductId::new("6E92ZMYYFZ").unwrap(),
                    quantity: NonZeroU32::new(2).unwrap(),
                },
                cost: dollars(8, 99),
            }],
            total: dollars(26, 97),
            placed_at: Timestamp(0),
        },
    }
}

fn by_server(server: &MailServer) -> EmailSettings {
    EmailSettings {
        smtp: Some(server.url()),
        from: Some("The Boutique <shop@example.com>".to_string()),
        letters: None,
    }
}

fn letter(world: &World, order: &str) -> String {
    let path = world
        .folder()
        .join("email/letters")
        .join(format!("{order}.eml"));
    fs::read_to_string(path).unwrap()
}

/// Asks for a letter and waits until it is sent.
async fn send(world: &World, order: &str) {
    world.ask(confirmation(order)).await.unwrap();
    all_sent(world).await;
}

/// Waits until no letter is on its way.
async fn all_sent(world: &World) {
    let ended = |line: &FlowLine| matches!(line.stand, FlowStand::Ended(_));
    until(|| {
        let flows = world.node().flows("email", 100).unwrap().unwrap();
        flows.iter().all(ended)
    })
    .await;
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_letter_is_a_file_named_after_its_order() {
    World::of::<Email>(EmailSettings::default()).run(async |world: &World| {
        send(world, "order-1").await;
        let letter = letter(world, "order-1");
        for line in [
            "From: \"The Boutique\" <orders@boutique.example>",
            "To: someone@example.com",
            "Subject: Your order order-1 is on its way",
            "Date: Mon, 23 Nov 2026 12:00:00 +0000",
            "Message-ID: <order-1@boutique.example>",
            "Order number:     order-1",
            "Tracking number:  AB-12345-678901234",
            "2 x 6E92ZMYYFZ            at 8.99 USD           17.98 USD",
            "Total                                           26.97 USD",
            "Springfield, OR 97477",
        ] {
            assert!(
                letter.lines().any(|own| own == line),
                "{line:?} is not in\n{letter}"
            );
        }
        assert_eq!(count(&world.folder().join("email/letters")), 1);
    });
}

#[test]
fn a_second_confirmation_of_an_order_changes_nothing_even_after_a_restart() {
    World::of::<Email>(EmailSettings::default()).run(async |world: &World| {
        send(world, "order-1").await;
        let first = letter(world, "order-1");
        world.clock().set(Timestamp(1_800_000_000_000));
        world.restart().await;
        send(world, "order-1").await;
        assert_eq!(letter(world, "order-1"), first);

        send(world, "order-2").await;
        assert_ne!(letter(world, "order-2"), first);
    });
}

#[test]
fn letters_go_into_the_folder_that_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("outbox");
    let settings = EmailSettings {
        letters: Some(letters.clone()),
        ..EmailSettings::default()
    };
    World::of::<Email>(settings).run(async |world: &World| {
        send(world, "order-1").await;
        assert!(letters.join("order-1.eml").is_file());
        assert_eq!(count(&world.folder().join("email/letters")), 0);
    });
}

#[test]
fn a_letter_that_cannot_be_written_is_taken_on_and_written_when_it_can_be() {
    World::of::<Email>(EmailSettings::default()).run(async |world: &World| {
        let letters = world.folder().join("email/letters");
        fs::write(&letters, "in the way").unwrap();
        world.ask(confirmation("order-1")).await.unwrap();

        fs::remove_file(&letters).unwrap();
        all_sent(world).await;
        assert_eq!(count(&letters), 1);
    });
}

#[test]
fn a_mail_server_gets_one_letter_per_order() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        for order in ["order-1", "order-2", "order-1"] {
            send(world, order).await;
        }
        let letters = server.take_letters();
        assert_eq!(letters.len(), 2);
        assert_eq!(letters[0].from, "<shop@example.com>");
        assert_eq!(letters[0].to, "<someone@example.com>");
        assert!(
            letters[0]
                .text
                .contains("\r\nMessage-ID: <order-1@example.com>\r\n")
        );
        assert!(
            letters[1]
                .text
                .contains("\r\nOrder number:     order-2\r\n")
        );
        assert_eq!(count(&world.folder().join("email/letters")), 0);
    });
}

#[test]
fn two_confirmations_of_one_order_at_once_send_one_letter() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        let ask = || world.ask(confirmation("order-1"));
        let (first, second) = join(ask(), ask()).await;
        assert_eq!((first, second), (Ok(()), Ok(())));
        all_sent(world).await;
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn more_letters_than_are_delivered_at_once_are_all_delivered() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        let orders = (0..20).map(|order| confirmation(&format!("order-{order}")));
        let taken_on = join_all(orders.map(|letter| world.ask(letter))).await;
        assert!(taken_on.iter().all(Result::is_ok), "{taken_on:?}");
        all_sent(world).await;
        assert_eq!(server.take_letters().len(), 20);
    });
}

#[test]
fn a_letter_is_not_taken_on_before_the_store_has_it() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        world.disk().set_fault(DiskFault::Writes);
        let limit = Duration::from_millis(200);
        let asked = world.port().ask_within(confirmation("order-1"), limit).await;
        assert_eq!(asked, Err(Stop::Fault(Fault::Late)));
        assert_eq!(server.take_letters().len(), 0);

        world.disk().set_fault(DiskFault::None);
        send(world, "order-1").await;
        world.restart().await;
        send(world, "order-1").await;
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn a_mail_server_that_says_no_is_asked_again_until_it_takes_the_letter() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        server.refuse_recipients(true);
        world.ask(confirmation("order-1")).await.unwrap();
        world.crash();
        assert_eq!(server.take_letters().len(), 0);

        server.refuse_recipients(false);
        all_sent(world).await;
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn settings_that_contradict_each_other_keep_the_module_from_starting() {
    let settings = EmailSettings {
        smtp: Some("smtp://127.0.0.1:2525".to_string()),
        ..EmailSettings::default()
    };
    let error = World::of::<Email>(settings).start_error();
    assert!(
        format!("{error:?}").contains("from is not set"),
        "{error:?}"
    );
}
