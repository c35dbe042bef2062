//! Payment: charging cards and giving charges back.
//!
//! Read in this order: `rules` says which cards are accepted; `store` keeps charges by their
//! charger's reference; `module` puts the two behind the messages of `payment-contract`.
//!
//! There is no bank behind it: a charge is a row and a transaction number. What is real are the
//! promises: one reference is charged once, and of a card no more than its last four digits is
//! ever stored, logged or told.

mod module;
mod rules;
mod store;

pub use module::Payment;
