//! Shipping alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::num::NonZeroU32;

use cart_contract::CartItem;
use catalog_contract::ProductId;
use currency_contract::{CurrencyCode, Money};
use modulith_kernel::Stop;
use modulith_testkit::World;
use shipping::{Shipping, ShippingSettings};
use shipping_contract::{
    Address, CancelShipment, GetQuote, ShipOrder, ShipOrderRefusal, ShipmentReference,
};

#[test]
fn a_quote_needs_no_address_and_is_flat() {
    shipping(async |world| {
        let usd = || CurrencyCode::new("USD").unwrap();
        let nothing = GetQuote {
            address: None,
            items: Vec::new(),
        };
        assert_eq!(world.ask(nothing).await, Ok(Money::zero(usd())));
        let flat = Money::new(usd(), 8, 990_000_000).unwrap();
        for address in [None, Some(address("Switzerland"))] {
            let quote = GetQuote {
                address,
                items: vec![item()],
            };
            assert_eq!(world.ask(quote).await, Ok(flat.clone()));
        }
    });
}

#[test]
fn one_reference_ships_once() {
    shipping(async |world| {
        let first = world.ask(ship("order-1")).await.unwrap();
        assert_eq!(world.ask(ship("order-1")).await, Ok(first.clone()));
        world.restart().await;
        let elsewhere = ShipOrder {
            address: address("Atlantis"),
            ..ship("order-1")
        };
        assert_eq!(world.ask(elsewhere).await, Ok(first.clone()));
        assert_ne!(world.ask(ship("order-2")).await, Ok(first));
    });
}

#[test]
fn what_cannot_be_shipped_is_refused_and_its_reference_stays_free() {
    shipping(async |world| {
        let nothing = ShipOrder {
            items: Vec::new(),
            ..ship("order-1")
        };
        assert_eq!(
            world.ask(nothing).await,
            refused(ShipOrderRefusal::NothingToShip)
        );
        let nowhere = ShipOrder {
            address: address("atlantis"),
            ..ship("order-1")
        };
        let no_delivery = ShipOrderRefusal::NoDelivery {
            country: "atlantis".to_string(),
        };
        assert_eq!(world.ask(nowhere).await, refused(no_delivery));
        assert!(world.ask(ship("order-1")).await.is_ok());
    });
}

#[test]
fn a_cancelled_reference_ships_no_more() {
    shipping(async |world| {
        world.ask(ship("order-1")).await.unwrap();
        world.ask(cancel("order-1")).await.unwrap();
        world.ask(cancel("order-1")).await.unwrap();
        world.restart().await;
        assert_eq!(
            world.ask(ship("order-1")).await,
            refused(cancelled("order-1"))
        );
    });
}

#[test]
fn a_cancellation_that_overtakes_its_shipment_wins() {
    shipping(async |world| {
        world.ask(cancel("order-1")).await.unwrap();
        assert_eq!(
            world.ask(ship("order-1")).await,
            refused(cancelled("order-1"))
        );
        assert!(world.ask(ship("order-2")).await.is_ok());
    });
}

fn shipping(scenario: impl AsyncFn(&World)) {
    let settings = ShippingSettings {
        no_delivery_to: vec!["Atlantis".to_string()],
    };
    World::of::<Shipping>(settings).run(scenario);
}

fn refused<T>(refusal: ShipOrderRefusal) -> Result<T, Stop<ShipOrderRefusal>> {
    Err(Stop::Refused(refusal))
}

fn cancelled(text: &str) -> ShipOrderRefusal {
    ShipOrderRefusal::Cancelled {
        reference: reference(text),
    }
}

fn ship(text: &str) -> ShipOrder {
    ShipOrder {
        reference: reference(text),
        address: address("Switzerland"),
        items: vec![item()],
    }
}

fn cancel(text: &str) -> CancelShipment {
    CancelShipment {
        reference: reference(text),
    }
}

fn reference(text: &str) -> ShipmentReference {
    ShipmentReference::new(text).unwrap()
}

fn item() -> CartItem {
    CartItem {
        product: ProductId::new("6E92ZMYYFZ").unwrap(),
        quantity: NonZeroU32::new(2).unwrap(),
    }
}

fn address(country: &str) -> Address {
    Address {
        street: "1 Long Row".to_string(),
        city: "Anytown".to_string(),
        state: "AT".to_string(),
        country: country.to_string(),
        zip_code: 10_001,
    }
}
