//! How orders and attempts are kept: the one place that knows an order's stored and contract form.

use std::{collections::BTreeSet, fmt::Display, num::NonZeroU32};

use cart_contract::{CartItem, ShopperId};
use catalog_contract::ProductId;
use checkout_contract::{Order, OrderId, OrderItem, PlaceOrder};
use currency_contract::{CurrencyCode, InvalidMoney, Money};
use modulith_kernel::{Fault, Ledger, Module, Snapshot, Table, Timestamp};
use serde::{Deserialize, Serialize};
use shipping_contract::{Address, TrackingId};

use crate::{
    Checkout,
    rules::{Attempt, State},
};

/// The orders, by number. Neither card nor e-mail address is in them.
pub(crate) const ORDERS: Table<OrderId, StoredOrder> = Table::new("orders");

/// Each shopper's last attempt to place an order.
///
/// A row stays, so that a cart bought is never bought again.
/// Known gap: the rows of shoppers who never come back are not cleared away.
pub(crate) const ATTEMPTS: Table<ShopperId, Attempt> = Table::new("attempts");

/// Enters every order. Those of shoppers for whom one is being placed are pending as well: its
/// money is moved before the order is recorded, and its letter is asked for after that.
pub(crate) fn keep(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
    let placing = snapshot.commands_in_flow::<PlaceOrder>()?;
    let placing: BTreeSet<_> = placing.into_iter().map(|command| command.shopper).collect();
    let orders = ledger.account("orders");
    for (id, stored) in snapshot.range(&ORDERS, .., usize::MAX)? {
        let order = stored.into_order(id)?;
        let facts: [(&str, &dyn Display); 2] =
            [("total", &order.total), ("tracking", &order.tracking)];
        orders.settled(&order.id, &facts);
        if placing.contains(&order.shopper) {
            orders.pending(&order.id);
        }
    }
    for (shopper, attempt) in snapshot.range(&ATTEMPTS, .., usize::MAX)? {
        if attempt.state == State::Placing && placing.contains(&shopper) {
            orders.pending(attempt.order);
        }
    }
    Ok(())
}

/// An order as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredOrder {
    shopper: ShopperId,
    tracking: TrackingId,
    shipping_cost: StoredMoney,
    address: StoredAddress,
    lines: Vec<StoredLine>,
    total: StoredMoney,
    placed_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredLine {
    product: ProductId,
    quantity: NonZeroU32,
    cost: StoredMoney,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredMoney {
    currency: CurrencyCode,
    units: i64,
    nanos: i32,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredAddress {
    street: String,
    city: String,
    state: String,
    country: String,
    zip_code: u32,
}

impl StoredOrder {
    /// The order with this number, as the contract has it.
    ///
    /// # Errors
    /// [`Fault::Store`] when an amount is none.
    pub(crate) fn into_order(self, id: OrderId) -> Result<Order, Fault> {
        let broken = |error: InvalidMoney| Fault::Store {
            module: Checkout::NAME.to_string(),
            reason: format!("order {id}: {error}"),
        };
        let Self {
            shopper,
            tracking,
            shipping_cost,
            address,
            lines,
            total,
            placed_at,
        } = self;
        Ok(Order {
            shopper,
            tracking,
            shipping_cost: shipping_cost.try_into().map_err(broken)?,
            address: address.into(),
            items: lines
                .into_iter()
                .map(OrderItem::try_from)
                .collect::<Result<_, _>>()
                .map_err(broken)?,
            total: total.try_into().map_err(broken)?,
            placed_at,
            id,
        })
    }
}

impl From<Order> for StoredOrder {
    fn from(order: Order) -> Self {
        let Order {
            id: _,
            shopper,
            tracking,
            shipping_cost,
            address,
            items,
            total,
            placed_at,
        } = order;
        Self {
            shopper,
            tracking,
            shipping_cost: shipping_cost.into(),
            address: address.into(),
            lines: items.into_iter().map(StoredLine::from).collect(),
            total: total.into(),
            placed_at,
        }
    }
}

impl From<OrderItem> for StoredLine {
    fn from(
        OrderItem {
            item: CartItem { product, quantity },
            cost,
        }: OrderItem,
    ) -> Self {
        Self {
            product,
            quantity,
            cost: cost.into(),
        }
    }
}

impl TryFrom<StoredLine> for OrderItem {
    type Error = InvalidMoney;

    fn try_from(
        StoredLine {
            product,
            quantity,
            cost,
        }: StoredLine,
    ) -> Result<Self, InvalidMoney> {
        Ok(Self {
            item: CartItem { product, quantity },
            cost: cost.try_into()?,
        })
    }
}

impl From<Money> for StoredMoney {
    fn from(money: Money) -> Self {
        Self {
            currency: money.currency().clone(),
            units: money.units(),
            nanos: money.nanos(),
        }
    }
}

impl TryFrom<StoredMoney> for Money {
    type Error = InvalidMoney;

    fn try_from(
        StoredMoney {
            currency,
            units,
            nanos,
        }: StoredMoney,
    ) -> Result<Self, InvalidMoney> {
        Self::new(currency, units, nanos)
    }
}

impl From<Address> for StoredAddress {
    fn from(
        Address {
            street,
            city,
            state,
            country,
            zip_code,
        }: Address,
    ) -> Self {
        Self {
            street,
            city,
            state,
            country,
            zip_code,
        }
    }
}

impl From<StoredAddress> for Address {
    fn from(
        StoredAddress {
            street,
            city,
            state,
            country,
            zip_code,
        }: StoredAddress,
    ) -> Self {
        Self {
            street,
            city,
            state,
            country,
            zip_code,
        }
    }
}
