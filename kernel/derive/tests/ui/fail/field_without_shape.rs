//! Everything in a message has a shape.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    product: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart")]
struct AddItem {
    item: Item,
}

fn main() {}
