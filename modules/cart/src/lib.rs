//! The cart: what each shopper has chosen, until it is bought or put back.
//!
//! Read in this order: `rules` says what may be in a cart and what buying one leaves; `store`
//! keeps carts by shopper; `module` puts the two behind the messages of `cart-contract`.
//!
//! A cart has a generation, which counts how often it was emptied or bought. Whoever buys a cart
//! names the generation and the items that were read, so that they are taken out once, and what
//! the shopper has added since then stays.

mod module;
mod rules;
mod store;

pub use module::Cart;
