//! Checkout alone, through its contract, with stand-ins for all it asks.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod shop;

use std::time::Duration;

use cart_contract::{EmptyCart, GetCart};
use catalog_contract::{FindProducts, ProductId};
use checkout_contract::{GetOrder, GetOrderRefusal, Order, OrderId, OrderItem, PlaceOrderRefusal};
use currency_contract::{ConvertAll, ConvertRefusal, CurrencyCode};
use email_contract::SendConfirmation;
use modulith_kernel::{Fault, Message, Stop, Timestamp};
use modulith_testkit::{DiskFault, World};
use payment_contract::{Charge, ChargeRefusal, Refund};
use shipping_contract::{CancelShipment, GetQuote, ShipOrder, ShipOrderRefusal};
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
    EmptyCart::NAME,
    SendConfirmation::NAME,
];

#[test]
fn an_order_takes_its_steps_in_their_order() {
    shop(async |world, script| {
        let order = world.ask(place_order()).await.unwrap();
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
            assert_eq!(
                *only(&play.letters),
                (place_order().email, order.id.clone())
            );
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
        assert_eq!(script.asked(), ALL);
    });
}

#[test]
fn a_charge_that_may_have_been_made_is_refunded() {
    shop(async |world, script| {
        for fault in [Fault::Late, unreachable("payment")] {
            script.fail::<Charge>(fault.clone(), 1);
            assert_eq!(world.ask(place_order()).await, Err(Stop::Fault(fault)));
            assert_eq!(
                script.asked(),
                [TO_CHARGE.as_slice(), &[Refund::NAME]].concat()
            );
        }
        world.ask(place_order()).await.unwrap();
    });
}

#[test]
fn a_charge_that_was_never_started_is_not_refunded() {
    shop(async |world, script| {
        let full = Fault::Overloaded {
            module: "payment".to_string(),
            retry_after_ms: 100,
        };
        script.fail::<Charge>(full.clone(), 1);
        assert_eq!(world.ask(place_order()).await, Err(Stop::Fault(full)));
        assert_eq!(script.asked(), TO_CHARGE);
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
fn an_order_that_may_have_been_shipped_is_cancelled_and_refunded() {
    shop(async |world, script| {
        script.fail::<ShipOrder>(unreachable("shipping"), 1);
        let fault = Stop::Fault(unreachable("shipping"));
        assert_eq!(world.ask(place_order()).await, Err(fault));
        let undone = [ShipOrder::NAME, CancelShipment::NAME, Refund::NAME];
        assert_eq!(script.asked(), [TO_CHARGE.as_slice(), &undone].concat());
        assert_all_charges_refunded(script);
    });
}

#[test]
fn an_undo_is_tried_again_until_it_is_done() {
    shop(async |world, script| {
        script.fail::<ShipOrder>(Fault::Late, 1);
        script.fail::<CancelShipment>(unreachable("shipping"), 1);
        script.fail::<Refund>(Fault::Late, 2);
        assert_eq!(
            world.ask(place_order()).await,
            Err(Stop::Fault(Fault::Late))
        );
        let undone = [
            ShipOrder::NAME,
            CancelShipment::NAME,
            CancelShipment::NAME,
            Refund::NAME,
            Refund::NAME,
            Refund::NAME,
        ];
        assert_eq!(script.asked(), [TO_CHARGE.as_slice(), &undone].concat());
        assert_all_charges_refunded(script);
    });
}

#[test]
fn an_undo_in_vain_is_a_fault_and_done_before_the_next_order() {
    shop(async |world, script| {
        script.set(|play| play.ship_refusal = Some(ShipOrderRefusal::NothingToShip));
        script.fail::<Refund>(unreachable("payment"), 5);
        let fault = Stop::Fault(unreachable("payment"));
        assert_eq!(world.ask(place_order()).await, Err(fault));
        assert_refused(world, PlaceOrderRefusal::InProgress).await;

        script.set(|play| play.ship_refusal = None);
        assert_taken_over(world, script).await;
    });
}

#[test]
fn an_order_given_up_by_its_asker_is_undone_all_the_same() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let placed = world
            .port()
            .ask_within(place_order(), Duration::from_millis(200))
            .await;
        assert_eq!(placed, Err(Stop::Fault(Fault::Late)));
        script.until(|play| !play.refunded.is_empty()).await;
        script.read(|play| assert_eq!(play.cancelled.len(), 1));
        assert_all_charges_refunded(script);
    });
}

#[test]
fn an_order_that_cannot_be_recorded_is_cancelled_and_refunded() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let (placed, ()) = join!(world.ask(place_order()), async {
            script.reached::<ShipOrder>().await;
            world.disk().set_fault(DiskFault::Writes);
            script.release::<ShipOrder>();
        });
        assert!(
            matches!(placed, Err(Stop::Fault(Fault::Store { .. }))),
            "{placed:?}"
        );
        let undone = [ShipOrder::NAME, CancelShipment::NAME, Refund::NAME];
        assert_eq!(script.asked(), [TO_CHARGE.as_slice(), &undone].concat());
        assert_all_charges_refunded(script);

        world.disk().set_fault(DiskFault::None);
        assert_refused(world, PlaceOrderRefusal::InProgress).await;
        assert_taken_over(world, script).await;
        world.settled().await;
        script.read(|play| assert_eq!(play.heard.len(), 1));
    });
}

/// Shipping replies in time, but nobody gets to read the reply before the deadline, and so there
/// is no time left to record the order.
#[test]
fn an_order_too_late_to_be_recorded_is_cancelled_and_refunded() {
    shop(async |world, script| {
        script.set(|play| play.ship_blocks = Duration::from_millis(300));
        let placed = world
            .port()
            .ask_within(place_order(), Duration::from_millis(200))
            .await;
        assert_eq!(placed, Err(Stop::Fault(Fault::Late)));
        script.until(|play| !play.refunded.is_empty()).await;
        script.read(|play| assert_eq!((play.shipped.len(), play.cancelled.len()), (1, 1)));
        assert_all_charges_refunded(script);

        // What was undone is noted beyond the deadline, so the shopper need not wait.
        script.set(|play| play.ship_blocks = Duration::ZERO);
        let mut placed = world.ask(place_order()).await;
        while placed == Err(Stop::Refused(PlaceOrderRefusal::InProgress)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
            placed = world.ask(place_order()).await;
        }
        placed.unwrap();
        world.settled().await;
        script.read(|play| assert_eq!(play.heard.len(), 1));
    });
}

#[test]
fn a_cart_that_cannot_be_emptied_fails_no_order() {
    shop(async |world, script| {
        script.fail::<EmptyCart>(unreachable("cart"), 1);
        world.ask(place_order()).await.unwrap();
        assert_eq!(script.asked(), ALL);
    });
}

#[test]
fn a_letter_that_cannot_be_sent_fails_no_order() {
    shop(async |world, script| {
        script.fail::<SendConfirmation>(unreachable("email"), 1);
        let order = world.ask(place_order()).await.unwrap();
        assert_eq!(
            world
                .ask(GetOrder {
                    id: order.id.clone()
                })
                .await,
            Ok(order)
        );
    });
}

#[test]
fn a_letter_that_is_never_sent_holds_up_no_order() {
    shop(async |world, script| {
        script.hold::<SendConfirmation>();
        world.ask(place_order()).await.unwrap();
        assert_eq!(script.asked(), ALL);
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
fn an_order_cut_short_by_a_crash_is_undone_before_the_next() {
    shop(async |world, script| {
        script.hold::<ShipOrder>();
        let old = world.port();
        let (_, ()) = join!(
            old.ask_within(place_order(), Duration::from_millis(200)),
            async {
                script.reached::<ShipOrder>().await;
                // What the old node's order still wants undone, its stopped stand-ins do not do.
                world.crash();
            }
        );
        script.release::<ShipOrder>();
        script.read(|play| assert_eq!((play.charged.len(), play.refunded.len()), (1, 0)));
        assert_refused(world, PlaceOrderRefusal::InProgress).await;
        assert_taken_over(world, script).await;
    });
}

/// A minute later, the order left half-placed is undone and the next is placed.
async fn assert_taken_over(world: &World, script: &Script) {
    let left = script.read(|play| play.charged[0].0.clone());
    world.clock().advance(Duration::from_secs(60));
    script.asked();
    let order = world.ask(place_order()).await.unwrap();
    let asked = script.asked();
    assert_eq!(
        asked[4..7],
        [CancelShipment::NAME, Refund::NAME, Charge::NAME]
    );
    script.read(|play| {
        assert_eq!(play.refunded.last(), Some(&left));
        let kept: Vec<_> = play
            .charged
            .iter()
            .filter(|(one, _)| !play.refunded.contains(one))
            .collect();
        assert_eq!(only(&kept).0.as_str(), order.id.as_str());
    });
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
