//! What an order comes to.

use cart_contract::CartItem;
use catalog_contract::Product;
use checkout_contract::{OrderItem, PlaceOrderRefusal};
use currency_contract::{ConvertRefusal, InvalidMoney, Money};

/// The items, shipping and total of an order, in the shopper's currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bill {
    /// What is bought, at which price apiece.
    pub(crate) items: Vec<OrderItem>,
    /// What shipping costs.
    pub(crate) shipping_cost: Money,
    /// All items and shipping.
    pub(crate) total: Money,
}

impl Bill {
    /// Adds up. Each item costs what stands at its place in `costs`.
    pub(crate) fn of(
        items: Vec<CartItem>,
        costs: Vec<Money>,
        shipping_cost: Money,
    ) -> Result<Self, InvalidMoney> {
        let items: Vec<_> = items
            .into_iter()
            .zip(costs)
            .map(|(item, cost)| OrderItem { item, cost })
            .collect();
        let total = items
            .iter()
            .try_fold(shipping_cost.clone(), |total, OrderItem { item, cost }| {
                total.plus(&cost.times(item.quantity.get())?)
            })?;
        Ok(Self {
            items,
            shipping_cost,
            total,
        })
    }
}

/// The price of each item, as the catalog has it.
pub(crate) fn prices(
    items: &[CartItem],
    products: &[Product],
) -> Result<Vec<Money>, PlaceOrderRefusal> {
    let price = |item: &CartItem| {
        let product = products.iter().find(|product| product.id == item.product);
        product.map(|product| product.price.clone()).ok_or_else(|| {
            PlaceOrderRefusal::UnknownProduct {
                id: item.product.clone(),
            }
        })
    };
    items.iter().map(price).collect()
}

/// What it means for an order that its prices cannot be converted.
pub(crate) fn not_converted(refusal: ConvertRefusal) -> PlaceOrderRefusal {
    match refusal {
        ConvertRefusal::UnknownCurrency { code } => PlaceOrderRefusal::UnknownCurrency { code },
        ConvertRefusal::AmountTooLarge { .. } => PlaceOrderRefusal::TotalTooLarge,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use catalog_contract::ProductId;
    use currency_contract::CurrencyCode;

    use super::*;

    #[test]
    fn the_total_is_every_piece_and_shipping() {
        let items = vec![item("MUG", 2), item("WATCH", 1)];
        let costs = vec![eur(7, 950_000_000), eur(97, 293_233_083)];
        let bill = Bill::of(items, costs, eur(7, 952_233_525)).unwrap();
        assert_eq!(bill.total, eur(121, 145_466_608));
        assert_eq!(
            bill.items[0],
            OrderItem {
                item: item("MUG", 2),
                cost: eur(7, 950_000_000)
            }
        );
        assert_eq!(bill.items[1].cost, eur(97, 293_233_083));
    }

    #[test]
    fn a_total_beyond_money_is_told() {
        let too_large =
            |quantity, cost| Bill::of(vec![item("MUG", quantity)], vec![cost], eur(1, 0));
        assert_eq!(too_large(2, eur(i64::MAX, 0)), Err(InvalidMoney::TooLarge));
        assert_eq!(too_large(1, eur(i64::MAX, 0)), Err(InvalidMoney::TooLarge));
    }

    #[test]
    fn prices_follow_the_cart_and_not_the_catalog() {
        let products = [product("WATCH", 109), product("MUG", 8)];
        let items = [item("MUG", 2), item("WATCH", 1)];
        assert_eq!(prices(&items, &products), Ok(vec![eur(8, 0), eur(109, 0)]));
        let gone = PlaceOrderRefusal::UnknownProduct {
            id: ProductId::new("LAMP").unwrap(),
        };
        assert_eq!(
            prices(&[item("MUG", 2), item("LAMP", 1)], &products),
            Err(gone)
        );
    }

    fn item(product: &str, quantity: u32) -> CartItem {
        CartItem {
            product: ProductId::new(product).unwrap(),
            quantity: NonZeroU32::new(quantity).unwrap(),
        }
    }

    fn product(id: &str, units: i64) -> Product {
        Product {
            id: ProductId::new(id).unwrap(),
            name: id.to_string(),
            description: String::new(),
            picture: String::new(),
            price: eur(units, 0),
            categories: Vec::new(),
        }
    }

    fn eur(units: i64, nanos: i32) -> Money {
        Money::new(CurrencyCode::new("EUR").unwrap(), units, nanos).unwrap()
    }
}
