//! Checkout: from a full cart to an order that is paid and on its way.
//!
//! It is the one module that asks many others, so read it as a process: `placing` takes the steps
//! in their order, each with what takes it back, and `guard` sees to it that of two orders for
//! one cart only one is placed. What they decide is in `rules`, what they remember in `store`;
//! `module` puts them behind the messages of `checkout-contract`.
//!
//! Placing an order is a flow: cut short by a crash, it goes on where it was. What happens when a
//! step does not succeed depends on how far the order had come:
//!
//! | step | refused | fault |
//! | --- | --- | --- |
//! | cart, products, quote, prices | nothing to undo | tried for half a second; nothing to undo |
//! | claim the cart | nothing to undo | |
//! | charge | the cart released | tried for half a second; refund, the cart released |
//! | ship | refund, the cart released | tried until there is an answer |
//! | record the order | | the store is waited for |
//! | take what was bought out of the cart | | logged; the cart hears of it by `OrderPlaced` |
//! | reply | | |
//! | letter | | tried until email has taken it on |
//!
//! The card is in the message alone and never written down. A crash that comes before the charge
//! has reached payment therefore ends the order: it is refused as interrupted, and has cost
//! nothing.

mod guard;
mod module;
mod placing;
mod rules;
mod store;

pub use module::Checkout;
