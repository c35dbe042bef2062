//! How carts are kept: the one place that knows both the stored and the contract's form.

use std::num::NonZeroU32;

use cart_contract::{Cart, CartItem, ShopperId};
use catalog_contract::ProductId;
use modulith_kernel::Table;
use serde::{Deserialize, Serialize};

/// The carts, by shopper.
///
/// An emptied cart keeps its row, for the generation in it.
/// Known gap: the rows of shoppers who never come back are not cleared away.
pub(crate) const CARTS: Table<ShopperId, StoredCart> = Table::new("carts");

/// A cart as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredCart {
    lines: Vec<StoredLine>,
    generation: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredLine {
    product: ProductId,
    quantity: NonZeroU32,
}

impl From<Cart> for StoredCart {
    fn from(cart: Cart) -> Self {
        let line = |CartItem { product, quantity }| StoredLine { product, quantity };
        Self {
            lines: cart.items.into_iter().map(line).collect(),
            generation: cart.generation,
        }
    }
}

impl From<StoredCart> for Cart {
    fn from(cart: StoredCart) -> Self {
        let item = |StoredLine { product, quantity }| CartItem { product, quantity };
        Self {
            items: cart.lines.into_iter().map(item).collect(),
            generation: cart.generation,
        }
    }
}
