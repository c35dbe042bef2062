//! A refusal says what it is, of what kind, and in which words.

use modulith_contract::Refusal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum AddItemRefusal {
    CartIsFull,
}

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum EmptyCartRefusal {
    #[refusal(precondition)]
    CartIsEmpty,
}

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum RemoveItemRefusal {
    #[refusal("the cart is empty")]
    CartIsEmpty,
}

fn main() {}
