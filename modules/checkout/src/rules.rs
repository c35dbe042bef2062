//! What an order comes to, when one may be placed, and what must be undone when it is not.
//!
//! Pure rules: steps are taken by `placing` and taken back by `undo`.

mod attempt;
mod bill;
mod order_id;
mod reached;

pub(crate) use attempt::{Attempt, Start, State, start};
pub(crate) use bill::{Bill, not_converted, prices};
pub(crate) use order_id::order_id;
pub(crate) use reached::Reached;
