//! All that others may know of the cart: who shops, what lies in a cart, and how it changes.

use std::num::NonZeroU32;

use catalog_contract::ProductId;
use modulith_contract::{Command, Event, Id, Query, Refusal, Schema};
use serde::{Deserialize, Serialize};

/// Names one shopper: the storefront's session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct ShopperId(String);

/// A product and how many of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct CartItem {
    /// Which product.
    pub product: ProductId,
    /// How many; never none.
    pub quantity: NonZeroU32,
}

/// What a shopper has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, Schema)]
pub struct Cart {
    /// The items, in the order they were first added.
    pub items: Vec<CartItem>,
    /// How often this cart has been emptied or bought. With it, taking out what was bought from
    /// "the cart I read" twice, or after the shopper has emptied it, changes nothing.
    pub generation: u64,
}

/// How much a cart holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct CartSize {
    /// The sum of all quantities.
    pub pieces: u32,
}

/// Adds an item; a product already in the cart gains in quantity.
///
/// Sent twice it adds twice: a shopper who asks again wants more.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = shopper, reply = CartSize, refusal = AddItemRefusal)]
pub struct AddItem {
    /// Whose cart.
    pub shopper: ShopperId,
    /// What to add.
    pub item: CartItem,
}

/// Empties a cart. Sent twice it finds the cart empty and changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = shopper)]
pub struct EmptyCart {
    /// Whose cart.
    pub shopper: ShopperId,
}

/// Takes out of a cart what was bought from it. What was added meanwhile stays.
///
/// Sent twice, or after the cart was emptied, it finds a later generation and changes nothing.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = shopper)]
pub struct TakeBought {
    /// Whose cart.
    pub shopper: ShopperId,
    /// The generation of the cart that was bought.
    pub generation: u64,
    /// What was bought.
    pub items: Vec<CartItem>,
}

/// Gets a shopper's cart; a shopper nobody knows has an empty one.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", key = shopper, reply = Cart)]
pub struct GetCart {
    /// Whose cart.
    pub shopper: ShopperId,
}

/// An item was added to a cart.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "cart", key = shopper)]
pub struct ItemAdded {
    /// Whose cart.
    pub shopper: ShopperId,
    /// What was added.
    pub item: CartItem,
}

/// Why an item is not added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum AddItemRefusal {
    /// The cart holds as many different products as it can.
    #[refusal(precondition, "a cart holds at most {lines_max} different products")]
    CartIsFull {
        /// How many fit.
        lines_max: u32,
    },
    /// The cart would hold more of one product than it can.
    #[refusal(precondition, "a cart holds at most {quantity_max} of one product")]
    TooMany {
        /// How many fit.
        quantity_max: u32,
    },
}
