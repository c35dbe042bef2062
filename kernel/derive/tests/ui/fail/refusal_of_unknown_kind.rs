//! There are three kinds of refusal.

use modulith_contract::Refusal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum AddItemRefusal {
    #[refusal(conflict, "the cart is full")]
    CartIsFull,
    #[refusal(notfound, "there is no such product")]
    UnknownProduct,
}

fn main() {}
