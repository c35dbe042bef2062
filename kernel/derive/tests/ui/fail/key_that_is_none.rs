//! A key has an order that every version writes the same.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = weight)]
struct AddItem {
    weight: f64,
}

fn main() {}
