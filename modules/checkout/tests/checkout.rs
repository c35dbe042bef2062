//! Checkout alone, through its contract, with stand-ins for all it asks.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod shop;

use std::{fs, path::Path, time::Duration};

use cart_contract::{GetCart, TakeBought};
use catalog_contract::{FindProducts, ProductId};
use checkout::Checkout;
use checkout_contract::{GetOrder, GetOrderRefusal, Order, OrderId, OrderItem, PlaceOrderRefusal};
use currency_contract::{ConvertAll, ConvertRefusal, CurrencyCode};
use email_contract::SendConfirmation;
use modulith_kernel::{Fault, Message, Module, Stop, Timestamp};
use modulith_testkit::{DiskFault, World, until};
use payment_contract::{Charge, ChargeRefusal, Refund};
use shipping_contract::{GetQuote, ShipOrder, ShipOrderRefusal};
use tokio::join;

use crate::shop::{Script, item, money, place_order, shop};

const TO_CHARGE: [&str; 5] = [
    GetCart::NAME,
    FindProducts::NAME,
    GetQuote::NAME,
    ConvertAll::NAME,
    Charge::NAME,
];

/// The steps of an order that goes well.
const ALL: [&str; 8] = [
    GetCart::NAME,
    FindProducts::NAME,
    GetQuote::NAME,
    ConvertAll::NAME,
    Charge::NAME,
    ShipOrder::NAME,
    TakeBought::NAME,
    SendConfirmation::NAME,
];

#[test]
fn an_order_takes_its_steps_in_their_order() {
    shop(async |world, script| {
        let order = world.ask(place_order()).await.unwrap();
        has_letter(script).await;
        assert_eq!(script.asked(), ALL);
        let line = |(product, quantity, euros)| OrderItem {
            item: item(product, quantity),
            cost: money("EUR", euros),
        };
        assert_eq!(
            order,
            Order {
                id: order.id.clone(),
                shopper: place_order().shopper,
                tracking: order.tracking.clone(),
                shipping_cost: money("EUR", 18),
                address: place_order().address,
                items: vec![line(("MUG", 2, 16)), line(("WATCH", 1, 218))],
                total: money("EUR", 268),
                placed_at: Timestamp(1_795_435_200_000),
            }
        );
        script.read(|play| {
            assert_eq!(only(&play.charged).0.as_str(), order.id.as_str());
            assert_eq!(only(&play.charged).1, order.total);
            assert_eq!(only(&play.shipped).as_str(), order.id.as_str());
            let letter = (place_order().email, order.id.clone());
            assert_eq!(*only(&play.letters), letter);
            let taken = only(&play.taken);
            assert_eq!((taken.generation, &taken.items), (7, &play.cart.items));
        });
    });
}

#[test]
fn an_order_is_kept_and_told_once() {
    shop(async |world, script| {
        let order = world.ask(place_order()).await.unwrap();
        world.settled().await;
        world.crash();
        assert_eq!(
            world
                .ask(GetOrder {
                    id: order.id.clone()
                })
                .await,
            Ok(order.clone())
        );
        world.settled().await;
        script.read(|play| {
            let heard = only(&play.heard);
            assert_eq!((&heard.order, heard.cart_generation), (&order, 7));
            assert_eq!(heard.shopper, order.shopper);
        });
    });
}

#[test]
fn an_order_nobody_placed_is_unknown() {
    shop(async |world, _| {
        let id = OrderId::new("0000-0000-0000-0000").unwrap();
        let unknown = GetOrderRefusal::UnknownOrder { id: id.clone() };
        assert_eq!(
            world.ask(GetOrder { id }).await,
            Err(Stop::Refused(unknown))
        );
    });
}

#[test]
fn an_empty_cart_is_not_bought() {
    shop(async |world, script| {
        script.set(|play| play.cart.items.clear());
        assert_refused(world, PlaceOrderRefusal::CartIsEmpty).await;
        assert_eq!(script.asked(), [GetCart::NAME]);
    });
}

#[test]
fn a_product_no_longer_sold_stops_the_order_before_the_charge() {
    shop(async |world, script| {
        script.set(|play| play.cart.items.push(item("LAMP", 1)));
        let id = ProductId::new("LAMP").unwrap();
        assert_refused(world, PlaceOrderRefusal::UnknownProduct { id }).await;
        assert_eq!(script.asked(), [GetCart::NAME, FindProducts::NAME]);
    });
}

#[test]
fn prices_that_cannot_be_told_stop_the_order_before_the_charge() {
    shop(async |world, script| {
        let code = CurrencyCode::new("EUR").unwrap();
        let unknown = ConvertRefusal::UnknownCurrency { code: code.clone() };
        script.set(|play| play.convert_refusal = Some(unknown));
        assert_refused(
            world,
            PlaceOrderRefusal::UnknownCurrency { code: code.clone() },
        )
        .await;

        let too_large = ConvertRefusal::AmountTooLarge { to: code };
        script.set(|play| play.convert_refusal = Some(too_large));
        assert_refused(world, PlaceOrderRefusal::TotalTooLarge).await;
        assert!(!script.asked().contains(&Charge::NAME));
    });
}

#[test]
fn a_declined_card_costs_nothing_and_another_is_taken_at_once() {
    shop(async |world, script| {
        script.set(|play| play.charge_refusal = Some(ChargeRefusal::UnacceptedType));
        assert_refused(
            world,
            PlaceOrderRefusal::Payment(ChargeRefusal::UnacceptedType),
        )
        .await;
        assert_eq!(script.asked(), TO_CHARGE);

        script.set(|play| play.charge_refusal = None);
        world.ask(place_order()).await.unwrap();
        has_letter(script).await;
        assert_eq!(script.asked(), ALL);
    });
}

#[test]
fn a_payment_that_is_down_is_a_fault_refunded_in_case_and_a_later_order_works() {
    shop(async |world, script| {
        for fault in [Fault::Late, unreachable("payment")] {
            script.fail_always::<Charge>(fault.clone());
            assert_eq!(world.ask(place_order()).await, Err(Stop::Fault(fault)));
            let asked = script.asked();
            assert_eq!(asked[..5], TO_CHARGE);
            assert_eq!(asked.last(), Some(&Refund::NAME));
            assert!(!asked.contains(&ShipOrder::NAME));
        }
        script.mend::<Charge>();
        world.ask(place_order()).await.unwrap();
    });
}

#[test]
fn a_payment_that_is_back_at_once_goes_unnoticed() {
    shop(async |world, script| {
        script.fail::<Charge>(unreachable("payment"), 2);
        world.ask(place_order()).await.unwrap();
        script.read(|play| assert_eq!((play.charged.len(), play.refunded.len()), (1, 0)));
    });
}

#[test]
fn a_module_that_is_down_before_the_charge_is_a_fault_and_costs_nothing() {
    shop(async |world, script| {
        script.fail_always::<GetQuote>(unreachable("shipping"));
        let fault = Stop::Fault(unreachable("shipping"));
        assert_eq!(world.ask(place_order()).await, Err(fault));
        assert!(!script.asked().contains(&Charge::NAME));
        script.mend::<GetQuote>();
        world.ask(place_order()).await.unwrap();
    });
}

#[test]
fn an_order_that_cannot_be_shipped_is_refunded() {
    shop(async |world, script| {
        let nowhere = ShipOrderRefusal::NoDelivery {
            country: "Atlantis".to_string(),
        };
        script.set(|play| play.ship_refusal = Some(nowhere.clone()));
        assert_refused(world, PlaceOrderRefusal::Shipping(nowhere)).await;
        assert_eq!(
            script.asked(),
            [TO_CHARGE.as_slice(), &[ShipOrder::NAME, Refund::NAME]].concat()
        );
        assert_all_charges_refunded(script);

        script.set(|play| play.ship_refusal = None);
        world.ask(place_order()).await.unwrap();
    });
}

#[test]
fn a_refund_is_tried_until_it_is_done() {
    shop(async |world, script| {
        script.set(|play| play.ship_refusal = Some(ShipOrderRefusal::NothingToShip));
        script.fail::<Refund>(Fault::Late, 3);
        assert_refused(
            world,
            PlaceOrderRefusal::Shipping(ShipOrderRefusal::NothingToShip),
        )
        .await;
        let tries = script
            .asked()
            .into_iter()
            .filter(|one| *one == Refund::NAME);
        assert_eq!(tries.count(), 4);
        assert_all_charges_refunded(script);
    });
}

#[test]
fn an_order_that_is_paid_waits_for_shipping() {
    shop(async |world, script| {
        script.fail_always::<ShipOrder>(unreachable("shipping"));
        let give_up = Duration::from_millis(200);
        let placed = world.port().ask_within(place_order(), give_up).await;
        assert_eq!(placed, Err(Stop::Fault(Fault::Late)));
        assert_refused(world, PlaceOrderRefusal::InProgress).await;
        script.mend::<ShipOrder>();
        has_letter(script).await;
        script.read(|play| assert_eq!((play.charged.len(), play.refunded.len()), (1, 0)));
    });
}

/// A sync that failed used to be taken for an order not recorded: it was refunded, and could turn
/// up as placed nonetheless.
#[test]
fn an_order_waits_for_a_store_that_cannot_record_it() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let give_up = Duration::from_millis(500);
        let port = world.port();
        let (placed, ()) = join!(port.ask_within(place_order(), give_up), async {
            script.reached::<ShipOrder>().await;
            world.disk().set_fault(DiskFault::Writes);
            script.release::<ShipOrder>();
        });
        assert_eq!(placed, Err(Stop::Fault(Fault::Late)));
        script.read(|play| assert!(play.refunded.is_empty() && play.letters.is_empty()));

        world.disk().set_fault(DiskFault::None);
        has_letter(script).await;
        world.settled().await;
        script.read(|play| {
            assert_eq!((play.charged.len(), play.heard.len()), (1, 1));
            assert!(play.refunded.is_empty() && play.cancelled.is_empty());
        });
    });
}

#[test]
fn a_cart_that_cannot_be_emptied_fails_no_order() {
    shop(async |world, script| {
        script.fail::<TakeBought>(unreachable("cart"), 1);
        world.ask(place_order()).await.unwrap();
        has_letter(script).await;
        assert_eq!(script.asked(), ALL);
    });
}

#[test]
fn a_letter_that_cannot_be_asked_for_holds_up_no_order_and_is_asked_for_until_it_is() {
    shop(async |world, script| {
        script.fail_always::<SendConfirmation>(unreachable("email"));
        let order = world.ask(place_order()).await.unwrap();
        script.reached::<SendConfirmation>().await;
        world.crash();
        let id = order.id.clone();
        assert_eq!(world.ask(GetOrder { id }).await, Ok(order));
        script.mend::<SendConfirmation>();
        has_letter(script).await;
        world.settled().await;
        script.read(|play| assert_eq!((play.letters.len(), play.charged.len()), (1, 1)));
    });
}

#[test]
fn a_letter_that_is_never_sent_holds_up_no_order() {
    shop(async |world, script| {
        script.hold::<SendConfirmation>();
        world.ask(place_order()).await.unwrap();
        script.reached::<SendConfirmation>().await;
    });
}

#[test]
fn an_order_asked_twice_under_one_key_is_one_order_told_twice() {
    shop(async |world, script| {
        let port = world.port().idempotent("form-1");
        let (first, beside) = join!(port.ask(place_order()), port.ask(place_order()));
        let first = first.unwrap();
        assert_eq!(beside, Ok(first.clone()));
        has_letter(script).await;
        // Until the letter is in the flow's journal, a crash asks for it again.
        until(|| has_ended(world)).await;
        world.crash();
        let again = world.port().idempotent("form-1").ask(place_order()).await;
        assert_eq!(again, Ok(first));
        world.settled().await;
        script.read(|play| {
            let done = [play.charged.len(), play.shipped.len(), play.letters.len()];
            assert_eq!(done, [1, 1, 1]);
            assert_eq!(play.heard.len(), 1);
        });

        let mut other = place_order();
        other.address.city = "Elsewhere".to_string();
        let reused = world.port().idempotent("form-1").ask(other).await;
        assert!(
            matches!(reused, Err(Stop::Fault(Fault::KeyReused { .. }))),
            "{reused:?}"
        );
    });
}

#[test]
fn of_two_orders_at_once_one_is_charged_and_placed() {
    shop(async |world, script| {
        script.hold::<Charge>();
        let (first, ()) = join!(world.ask(place_order()), async {
            script.reached::<Charge>().await;
            assert_refused(world, PlaceOrderRefusal::InProgress).await;
            script.release::<Charge>();
        });
        assert!(first.is_ok(), "{first:?}");
        // The cart is not emptied yet, as the stand-in never does.
        assert_refused(world, PlaceOrderRefusal::CartIsEmpty).await;
        script.read(|play| assert_eq!(play.charged.len(), 1));

        script.set(|play| play.cart.generation += 1);
        world.ask(place_order()).await.unwrap();
    });
}

/// Here all read the cart before any has claimed it.
#[test]
fn of_many_orders_side_by_side_one_is_charged_and_placed() {
    shop(async |world, script| {
        script.hold::<ConvertAll>();
        let place = || world.ask(place_order());
        let (a, b, c, d, ()) = join!(place(), place(), place(), place(), async {
            let asked = |play: &shop::Play| {
                play.asked
                    .iter()
                    .filter(|m| **m == ConvertAll::NAME)
                    .count()
            };
            script.until(|play| asked(play) == 4).await;
            script.release::<ConvertAll>();
        });
        assert_eq!(
            [a, b, c, d].iter().filter(|placed| placed.is_ok()).count(),
            1
        );
        world.settled().await;
        script.read(|play| {
            assert_eq!(
                (play.charged.len(), play.shipped.len(), play.heard.len()),
                (1, 1, 1)
            );
        });
    });
}

#[test]
fn an_order_that_a_crash_cuts_short_after_the_charge_is_completed() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let old = world.port().idempotent("form-1");
        let limit = Duration::from_millis(200);
        let (_, ()) = join!(old.ask_within(place_order(), limit), async {
            script.reached::<ShipOrder>().await;
            world.crash();
        });
        script.release::<ShipOrder>();
        has_letter(script).await;
        let order = world.port().idempotent("form-1").ask(place_order()).await;
        world.settled().await;
        script.read(|play| {
            assert_eq!(only(&play.charged).0.as_str(), order.unwrap().id.as_str());
            assert_eq!(play.refunded, []);
            assert_eq!((play.heard.len(), play.letters.len()), (1, 1));
        });
    });
}

/// The card went with the crash. Payment keeps no reply here: its own flow had not begun.
#[test]
fn an_order_that_a_crash_cuts_short_before_the_charge_is_none_and_the_next_one_works() {
    shop(async |world, script| {
        script.fail_always::<Charge>(unreachable("payment"));
        let old = world.port().idempotent("form-1");
        let limit = Duration::from_millis(200);
        let (_, ()) = join!(old.ask_within(place_order(), limit), async {
            script.reached::<Charge>().await;
            world.crash();
        });
        script.mend::<Charge>();
        let told = world.port().idempotent("form-1").ask(place_order()).await;
        let interrupted = Stop::Refused(PlaceOrderRefusal::Interrupted);
        assert_eq!(told, Err(interrupted));
        script.read(|play| assert!(play.charged.is_empty() && play.shipped.is_empty()));

        world.ask(place_order()).await.unwrap();
        world.settled().await;
        script.read(|play| assert_eq!((play.charged.len(), play.heard.len()), (1, 1)));
    });
}

#[test]
fn no_file_ever_holds_a_card() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let port = world.port();
        let limit = Duration::from_millis(200);
        let (_, ()) = join!(port.ask_within(place_order(), limit), async {
            script.reached::<ShipOrder>().await;
            let files = files_below(world.folder());
            let holds = |text: &str| {
                files
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            };
            assert!(holds("ann@example.com"), "the flow is among the files");
            assert!(!holds("4432801561520454") && !holds("80156152"));
        });
        script.release::<ShipOrder>();
        has_letter(script).await;
        let files = files_below(world.folder());
        assert!(!files.windows(8).any(|part| part == b"80156152"));
    });
}

/// The bytes of every file in a folder and the folders in it.
fn files_below(folder: &Path) -> Vec<u8> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files_below(&path),
            false => fs::read(path).unwrap(),
        })
        .collect()
}

/// Waits for an order's letter, the last of its steps.
/// Whether the order's flow has come to its end.
fn has_ended(world: &World) -> bool {
    let flows = world.node().flows(Checkout::NAME, 10);
    let flows = flows.expect("the store can be read").unwrap_or_default();
    flows.iter().all(|flow| flow.ended_at.is_some())
}

async fn has_letter(script: &Script) {
    script.until(|play| !play.letters.is_empty()).await;
}

async fn assert_refused(world: &World, refusal: PlaceOrderRefusal) {
    assert_eq!(world.ask(place_order()).await, Err(Stop::Refused(refusal)));
}

fn assert_all_charges_refunded(script: &Script) {
    script.read(|play| {
        let charged: Vec<_> = play.charged.iter().map(|(one, _)| one.clone()).collect();
        assert_eq!(charged, play.refunded);
    });
}

fn only<T>(all: &[T]) -> &T {
    assert_eq!(all.len(), 1);
    &all[0]
}

fn unreachable(module: &str) -> Fault {
    Fault::Unreachable {
        module: module.to_string(),
        reason: "it is a test".to_string(),
    }
}
