//! All that others may know of checkout: orders, and how one is placed.

mod email_address;

use cart_contract::{CartItem, ShopperId};
use catalog_contract::ProductId;
use currency_contract::{CurrencyCode, Money};
use modulith_contract::{Command, Event, Gather, Id, Query, Refusal, Schema, Secret, Timestamp};
use payment_contract::{ChargeRefusal, CreditCard};
use serde::{Deserialize, Serialize};
use shipping_contract::{Address, ShipOrderRefusal, TrackingId};

pub use email_address::{EmailAddress, InvalidEmailAddress};

/// Names one order: its confirmation number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct OrderId(String);

/// What was bought, for whom, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Order {
    /// Its confirmation number.
    pub id: OrderId,
    /// Who bought.
    pub shopper: ShopperId,
    /// The carrier's number.
    pub tracking: TrackingId,
    /// What shipping cost.
    pub shipping_cost: Money,
    /// Where it goes.
    pub address: Address,
    /// What was bought, at which price apiece.
    pub items: Vec<OrderItem>,
    /// All items and shipping.
    pub total: Money,
    /// When it was placed.
    pub placed_at: Timestamp,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct OrderItem {
    /// The product and how many of it.
    pub item: CartItem,
    /// The price of one, in the order's currency.
    pub cost: Money,
}

/// Buys what is in the shopper's cart.
///
/// Charges the card, ships, records, takes what was bought out of the cart and has a letter sent;
/// when a step after the charge is refused, the charge is given back. Cut short by a crash, it goes
/// on by itself. Sent twice under one idempotency key, it is one order, and both are told of it;
/// under two, the second finds the first in progress or the cart empty, and is refused.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "checkout", key = shopper, reply = Order, refusal = PlaceOrderRefusal)]
pub struct PlaceOrder {
    /// Whose cart.
    pub shopper: ShopperId,
    /// The currency to pay in.
    pub currency: CurrencyCode,
    /// Where to ship.
    pub address: Address,
    /// Where the letter goes.
    pub email: EmailAddress,
    /// What to charge; kept nowhere.
    pub card: Secret<CreditCard>,
}

/// Gets an order, which must exist.
///
/// It is stored with its shopper, whom the number does not tell: where checkout is divided, every
/// partition is asked.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "checkout", reply = Order, refusal = GetOrderRefusal, fan_out = some)]
pub struct GetOrder {
    /// Which one.
    pub id: OrderId,
}

impl Gather for GetOrder {
    /// One partition has it; what others that are missing would say does not matter then.
    fn gather(replies: Vec<Order>, _missing: u16) -> Order {
        let mut replies = replies.into_iter();
        replies.next().expect("there is at least one reply")
    }
}

/// An order was placed: paid, and on its way.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "checkout", key = shopper)]
pub struct OrderPlaced {
    /// Who bought.
    pub shopper: ShopperId,
    /// The generation of the cart it was bought from.
    pub cart_generation: u64,
    /// The order.
    pub order: Order,
}

/// Why an order is not placed. Nothing was charged, or the charge was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum PlaceOrderRefusal {
    /// There is nothing in the cart.
    #[refusal(precondition, "the cart is empty")]
    CartIsEmpty,
    /// A product in the cart is no longer sold.
    #[refusal(precondition, "product {id} is no longer sold")]
    UnknownProduct {
        /// Which product.
        id: ProductId,
    },
    /// No price in the shopper's currency.
    #[refusal(invalid, "prices are not available in {code}")]
    UnknownCurrency {
        /// The code asked for.
        code: CurrencyCode,
    },
    /// The total is larger than money can hold.
    #[refusal(invalid, "the order is too large to be paid at once")]
    TotalTooLarge,
    /// The card was not charged.
    #[refusal(precondition, "the card was not charged: {_0}")]
    Payment(ChargeRefusal),
    /// The items cannot be shipped; the charge was given back.
    #[refusal(precondition, "the order cannot be shipped: {_0}")]
    Shipping(ShipOrderRefusal),
    /// The shopper's last order is still being placed, or undone: a form sent twice.
    #[refusal(precondition, "an order for this cart is already being placed")]
    InProgress,
    /// A crash came before the charge, and the card, which is kept nowhere, went with it.
    #[refusal(
        precondition,
        "the order was interrupted before the card was charged; nothing was charged; please place \
         it again"
    )]
    Interrupted,
}

/// Why there is no such order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum GetOrderRefusal {
    /// No order has the number.
    #[refusal(not_found, "no order {id}")]
    UnknownOrder {
        /// The number asked for.
        id: OrderId,
    },
}
