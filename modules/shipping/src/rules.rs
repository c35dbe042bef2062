//! What shipping costs, where we do not deliver, and what a tracking id looks like.
//!
//! Pure rules: shipments are kept by `store`, messages handled by `module`.

use cart_contract::CartItem;
use currency_contract::{CurrencyCode, Money};
use shipping_contract::{Address, ShipOrderRefusal, TrackingId};

/// What shipping these items costs: nothing for none, otherwise a flat 8.99 USD (SHOP.md).
pub(crate) fn quote(items: &[CartItem]) -> Money {
    let usd = CurrencyCode::new("USD").expect("USD is a plain code");
    if items.is_empty() {
        return Money::zero(usd);
    }
    Money::new(usd, 8, 990_000_000).expect("nanos are below one unit")
}

/// Whether items can be sent to an address.
pub(crate) fn check(
    items: &[CartItem],
    address: &Address,
    no_delivery_to: &[String],
) -> Result<(), ShipOrderRefusal> {
    if items.is_empty() {
        return Err(ShipOrderRefusal::NothingToShip);
    }
    let country = folded(&address.country);
    if no_delivery_to
        .iter()
        .any(|excluded| folded(excluded) == country)
    {
        return Err(ShipOrderRefusal::NoDelivery {
            country: address.country.clone(),
        });
    }
    Ok(())
}

/// Shoppers write their country by hand, so case and outer spaces do not count.
fn folded(country: &str) -> String {
    country.trim().to_lowercase()
}

/// A tracking id such as `MQ-2281-7184512`.
///
/// About 46 of the random bits go into it: plenty to be read over a telephone, and nothing is
/// ever looked up by it, so that two alike in some millions of shipments would do no harm.
pub(crate) fn tracking_id(random: u128) -> TrackingId {
    let mut rest = random;
    let mut take = |count: u128| {
        let taken = rest % count;
        rest /= count;
        taken
    };
    let mut letter = || char::from(b'A' + u8::try_from(take(26)).expect("below 26"));
    let (first, second) = (letter(), letter());
    let id = format!(
        "{first}{second}-{:04}-{:07}",
        take(10_000),
        take(10_000_000)
    );
    TrackingId::new(id).expect("letters, digits and dashes are a plain id")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use catalog_contract::ProductId;

    use super::*;

    #[test]
    fn shipping_is_free_for_nothing_and_flat_for_anything() {
        let usd = || CurrencyCode::new("USD").unwrap();
        assert_eq!(quote(&[]), Money::zero(usd()));
        assert_eq!(
            quote(&[item(1)]),
            Money::new(usd(), 8, 990_000_000).unwrap()
        );
        assert_eq!(quote(&[item(1), item(999)]), quote(&[item(1)]));
    }

    #[test]
    fn countries_without_delivery_are_refused_however_they_are_written() {
        let excluded = ["Atlantis".to_string(), "ÉIRE".to_string()];
        for country in ["Atlantis", "ATLANTIS", " atlantis ", "Éire"] {
            assert_eq!(
                check(&[item(1)], &address(country), &excluded),
                Err(ShipOrderRefusal::NoDelivery {
                    country: country.to_string()
                })
            );
        }
        for country in ["Atlantis Minor", "Switzerland", ""] {
            assert_eq!(check(&[item(1)], &address(country), &excluded), Ok(()));
        }
    }

    #[test]
    fn nothing_cannot_be_shipped() {
        let refusal = check(&[], &address("Switzerland"), &[]);
        assert_eq!(refusal, Err(ShipOrderRefusal::NothingToShip));
    }

    #[test]
    fn tracking_ids_have_two_letters_then_digits_in_two_groups() {
        for random in [
            0,
            1,
            26 * 26 - 1,
            0x1234_5678_9abc_def0_1234_5678,
            u128::MAX,
        ] {
            let id = tracking_id(random);
            let form: String = id.as_str().chars().map(kind).collect();
            assert_eq!(form, "AA-0000-0000000", "{id}");
        }
        assert_eq!(tracking_id(0).as_str(), "AA-0000-0000000");
        assert_ne!(tracking_id(u128::MAX), tracking_id(u128::MAX - 1));
    }

    fn kind(c: char) -> char {
        match c {
            'A'..='Z' => 'A',
            '0'..='9' => '0',
            other => other,
        }
    }

    fn item(quantity: u32) -> CartItem {
        CartItem {
            product: ProductId::new("6E92ZMYYFZ").unwrap(),
            quantity: NonZeroU32::new(quantity).unwrap(),
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
}
