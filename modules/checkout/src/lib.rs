//! Checkout: from a full cart to an order that is paid and on its way.
//!
//! It is the one module that asks many others, so read it as a process: `placing` takes the steps
//! in their order, `undo` takes them back, and `guard` sees to it that of two orders for one cart
//! only one is placed. What they decide is in `rules`, what they remember in `store`; `module`
//! puts them behind the messages of `checkout-contract`.
//!
//! What happens when a step fails depends on how far the order had come:
//!
//! | failing step | refused | fault |
//! | --- | --- | --- |
//! | cart, products, quote, prices | nothing to undo | nothing to undo |
//! | charge | nothing to undo | refund, unless certainly not charged |
//! | ship | refund | cancel the shipment, unless certainly not shipped; refund |
//! | record the order | | cancel the shipment, refund |
//! | empty the cart | | logged; the cart hears of the order by `OrderPlaced` |
//! | letter | | logged |
//!
//! Known gap: a crash between charge and record leaves a charge without an order. It is given
//! back when the same shopper next orders, a minute later or more, and not before. A crash between
//! record and letter loses the letter. Both gaps close when placing an order becomes a durable
//! flow.

mod guard;
mod module;
mod placing;
mod rules;
mod store;
mod undo;

pub use module::Checkout;
