//! What an order comes to, what it is called, and when one may be placed.
//!
//! Pure rules: steps are taken by `placing`.

mod attempt;
mod bill;
mod order_id;

pub(crate) use attempt::{Attempt, State, may_start};
pub(crate) use bill::{Bill, not_converted, prices};
pub(crate) use order_id::order_id;
