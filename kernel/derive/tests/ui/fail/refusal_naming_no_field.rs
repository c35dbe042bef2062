//! A refusal's words name its fields.

use modulith_contract::Refusal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum AddItemRefusal {
    #[refusal(precondition, "the cart already holds {maximum} items")]
    CartIsFull { max: u32 },
    #[refusal(not_found, "there is no {0}")]
    UnknownProduct(String),
    #[refusal(invalid, "{quantity} is no quantity")]
    NoQuantity,
}

fn main() {}
