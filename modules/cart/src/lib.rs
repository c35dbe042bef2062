//! The cart: what each shopper has chosen, until it is bought or put back.
//!
//! Read in this order: `rules` says what may be in a cart and what emptying one means; `store`
//! keeps carts by shopper; `module` puts the two behind the messages of `cart-contract`.
//!
//! A cart has a generation, which counts how often it was emptied. Whoever buys a cart names the
//! generation that was read, so that emptying it twice, or late, never takes away what the
//! shopper has put into the next one.

mod module;
mod rules;
mod store;

pub use module::Cart;
