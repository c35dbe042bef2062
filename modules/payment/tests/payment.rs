//! Payment alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{fs, path::Path, time::Duration};

use currency_contract::{CurrencyCode, Money};
use modulith_kernel::{Secret, Stop, codec};
use modulith_testkit::World;
use payment::Payment;
use payment_contract::{
    CardNumber, Charge, ChargeReference, ChargeRefusal, ChargeState, CreditCard, Cvv, FindCharge,
    Refund,
};

/// A card whose security code would be seen in a file: five digits no amount or time has.
const NUMBER: &str = "4432801561520454";
const CVV: u16 = 60_867;

#[test]
fn a_charge_is_made_once_however_often_it_is_sent() {
    payment(async |world| {
        let first = world.ask(charge("order-1")).await.unwrap();
        assert_eq!(world.ask(charge("order-1")).await, Ok(first.clone()));
        world.restart().await;
        assert_eq!(world.ask(charge("order-1")).await, Ok(first.clone()));

        let other = world.ask(charge("order-2")).await.unwrap();
        assert_ne!(other, first);
    });
}

#[test]
fn sent_again_with_another_amount_or_card_the_first_charge_stands() {
    payment(async |world| {
        let first = world.ask(charge("order-1")).await.unwrap();
        let dearer = Charge {
            amount: usd(500),
            ..charge("order-1")
        };
        assert_eq!(world.ask(dearer).await, Ok(first.clone()));
        let invalid = Charge {
            card: Secret::new(card("4432801561520455")),
            ..charge("order-1")
        };
        assert_eq!(world.ask(invalid).await, Ok(first.clone()));

        let state = ChargeState::Charged {
            transaction: first,
            amount: usd(20),
        };
        assert_eq!(world.ask(find("order-1")).await, Ok(Some(state)));
    });
}

#[test]
fn a_charge_outlives_its_cards_expiry() {
    payment(async |world| {
        let first = world.ask(charge("order-1")).await.unwrap();
        world
            .clock()
            .advance(Duration::from_secs(10 * 366 * 86_400));
        assert_eq!(world.ask(charge("order-1")).await, Ok(first));
        let expired = ChargeRefusal::Expired {
            last_four: "0454".to_string(),
            month: 1,
            year: 2030,
        };
        assert_eq!(
            world.ask(charge("order-2")).await,
            Err(Stop::Refused(expired))
        );
    });
}

#[test]
fn a_refused_charge_leaves_its_reference_free_for_another_card() {
    payment(async |world| {
        let invalid = Charge {
            card: Secret::new(card("4432801561520455")),
            ..charge("order-1")
        };
        let refusal = world.ask(invalid).await;
        assert_eq!(refusal, Err(Stop::Refused(ChargeRefusal::InvalidCard)));
        assert_eq!(world.ask(find("order-1")).await, Ok(None));
        assert!(world.ask(charge("order-1")).await.is_ok());
    });
}

#[test]
fn without_its_card_a_charge_is_refused_unless_it_was_made_before() {
    payment(async |world| {
        let withheld = || Charge {
            card: codec::decode(&codec::encode(&None::<CreditCard>).unwrap()).unwrap(),
            ..charge("order-1")
        };
        let refusal = Err(Stop::Refused(ChargeRefusal::CardWithheld));
        assert_eq!(world.ask(withheld()).await, refusal);
        assert_eq!(world.ask(find("order-1")).await, Ok(None));
        let charged = world.ask(charge("order-1")).await;
        assert!(charged.is_ok(), "{charged:?}");
        assert_eq!(world.ask(withheld()).await, charged);
    });
}

#[test]
fn a_refunded_charge_stays_refunded() {
    payment(async |world| {
        world.ask(charge("order-1")).await.unwrap();
        world.ask(refund("order-1")).await.unwrap();
        world.ask(refund("order-1")).await.unwrap();
        assert_eq!(
            world.ask(find("order-1")).await,
            Ok(Some(ChargeState::Refunded))
        );
        let refusal = ChargeRefusal::Refunded {
            reference: reference("order-1"),
        };
        assert_eq!(
            world.ask(charge("order-1")).await,
            Err(Stop::Refused(refusal))
        );
    });
}

#[test]
fn a_refund_that_overtakes_its_charge_wins() {
    payment(async |world| {
        world.ask(refund("order-1")).await.unwrap();
        world.restart().await;
        let refusal = ChargeRefusal::Refunded {
            reference: reference("order-1"),
        };
        assert_eq!(
            world.ask(charge("order-1")).await,
            Err(Stop::Refused(refusal))
        );
        assert_eq!(
            world.ask(find("order-1")).await,
            Ok(Some(ChargeState::Refunded))
        );
    });
}

#[test]
fn neither_card_number_nor_security_code_is_ever_in_a_file() {
    payment(async |world| {
        world.ask(charge("order-1")).await.unwrap();
        world.ask(charge("order-2")).await.unwrap();
        world.ask(refund("order-2")).await.unwrap();
        _ = world
            .ask(Charge {
                card: Secret::new(card("4432801561520455")),
                ..charge("order-3")
            })
            .await;
        world.restart().await;

        let files = files_below(world.folder());
        let holds = |needle: &[u8]| files.windows(needle.len()).any(|bytes| bytes == needle);
        assert!(holds(b"order-1"), "the store is among the files");
        assert!(holds(b"0454"), "the last four digits are kept");
        for secret in ["443280156152", "80156152", CVV.to_string().as_str()] {
            assert!(!holds(secret.as_bytes()), "{secret} is in a file");
        }
        // As the codec and as machines write the numbers.
        let number: u64 = NUMBER.parse().unwrap();
        assert!(!holds(&number.to_le_bytes()));
        assert!(!holds(&number.to_be_bytes()));
        assert!(!holds(&[&[251], CVV.to_le_bytes().as_slice()].concat()));
    });
}

fn payment(scenario: impl AsyncFn(&World)) {
    World::of::<Payment>(()).run(scenario);
}

fn charge(reference_: &str) -> Charge {
    Charge {
        reference: reference(reference_),
        amount: usd(20),
        card: Secret::new(card(NUMBER)),
    }
}

fn refund(reference_: &str) -> Refund {
    Refund {
        reference: reference(reference_),
    }
}

fn find(reference_: &str) -> FindCharge {
    FindCharge {
        reference: reference(reference_),
    }
}

fn reference(text: &str) -> ChargeReference {
    ChargeReference::new(text).unwrap()
}

fn card(number: &str) -> CreditCard {
    CreditCard {
        number: CardNumber::new(number).unwrap(),
        cvv: Cvv(CVV),
        expiration_year: 2030,
        expiration_month: 1,
    }
}

fn usd(units: i64) -> Money {
    Money::new(CurrencyCode::new("USD").unwrap(), units, 0).unwrap()
}

/// The bytes of every file in a folder and the folders in it.
fn files_below(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                fs::read(path).unwrap()
            }
        })
        .collect()
}
