//! Shipping: what it costs to send items, and sending them.
//!
//! Read in this order: `rules` holds the rate, the countries we do not deliver to and the form of
//! a tracking id; `store` keeps shipments by their sender's reference; `module` puts them behind
//! the messages of `shipping-contract`.
//!
//! There is no carrier behind it: a shipment is a row and a tracking id.

mod module;
mod rules;
mod store;

pub use module::{Shipping, ShippingSettings};
