//! Email alone, through its contract: letters in a folder, and letters to a mail server.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod mail_server;

use std::{fs, num::NonZeroU32, path::Path};

use cart_contract::{CartItem, ShopperId};
use catalog_contract::ProductId;
use checkout_contract::{EmailAddress, Order, OrderId, OrderItem};
use currency_contract::{CurrencyCode, Money};
use email::{Email, EmailSettings};
use email_contract::SendConfirmation;
use futures_util::future::join;
use mail_server::MailServer;
use modulith_kernel::{Fault, Stop, Timestamp};
use modulith_testkit::{DiskFault, World};
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

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn a_letter_is_a_file_named_after_its_order() {
    World::of::<Email>(EmailSettings::default()).run(async |world: &World| {
        world.ask(confirmation("order-1")).await.unwrap();
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
        world.ask(confirmation("order-1")).await.unwrap();
        let first = letter(world, "order-1");
        world.clock().set(Timestamp(1_800_000_000_000));
        world.restart().await;
        world.ask(confirmation("order-1")).await.unwrap();
        assert_eq!(letter(world, "order-1"), first);

        world.ask(confirmation("order-2")).await.unwrap();
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
        world.ask(confirmation("order-1")).await.unwrap();
        assert!(letters.join("order-1.eml").is_file());
        assert_eq!(count(&world.folder().join("email/letters")), 0);
    });
}

#[test]
fn a_letter_that_cannot_be_written_is_a_fault_and_sent_by_the_next_try() {
    World::of::<Email>(EmailSettings::default()).run(async |world: &World| {
        let letters = world.folder().join("email/letters");
        fs::write(&letters, "in the way").unwrap();
        let outcome = world.ask(confirmation("order-1")).await;
        assert!(
            matches!(outcome, Err(Stop::Fault(Fault::Store { .. }))),
            "{outcome:?}"
        );

        fs::remove_file(&letters).unwrap();
        world.ask(confirmation("order-1")).await.unwrap();
        assert_eq!(count(&letters), 1);
    });
}

#[test]
fn a_mail_server_gets_one_letter_per_order() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        for order in ["order-1", "order-2", "order-1"] {
            world.ask(confirmation(order)).await.unwrap();
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
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn a_letter_whose_note_failed_is_noted_by_the_next_try_and_not_sent_again() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        world.disk().set_fault(DiskFault::Writes);
        let outcome = world.ask(confirmation("order-1")).await;
        assert!(
            matches!(outcome, Err(Stop::Fault(Fault::Store { .. }))),
            "{outcome:?}"
        );

        world.disk().set_fault(DiskFault::None);
        world.ask(confirmation("order-1")).await.unwrap();
        world.restart().await;
        world.ask(confirmation("order-1")).await.unwrap();
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn a_mail_server_that_says_no_is_a_fault_without_its_words_and_the_next_try_sends() {
    let server = MailServer::start();
    World::of::<Email>(by_server(&server)).run(async |world: &World| {
        server.refuse_recipients(true);
        let outcome = world.ask(confirmation("order-1")).await;
        let Err(Stop::Fault(fault)) = outcome else {
            panic!("not a fault: {outcome:?}")
        };
        assert_eq!(
            fault.to_string(),
            "module email is unreachable: the mail server did not take the letter: it answered 550"
        );

        server.refuse_recipients(false);
        world.ask(confirmation("order-1")).await.unwrap();
        assert_eq!(server.take_letters().len(), 1);
    });
}

#[test]
fn a_mail_server_that_is_not_there_is_a_fault() {
    // A port that was free a moment ago, on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = EmailSettings {
        smtp: Some(format!("smtp://{free}")),
        from: Some("shop@example.com".to_string()),
        letters: None,
    };
    World::of::<Email>(settings).run(async |world: &World| {
        let outcome = world.ask(confirmation("order-1")).await;
        assert!(
            matches!(outcome, Err(Stop::Fault(Fault::Unreachable { .. }))),
            "{outcome:?}"
        );
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
