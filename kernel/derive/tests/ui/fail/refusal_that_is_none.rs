//! A refusal is derived.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
enum AddItemRefusal {
    CartIsFull,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", refusal = AddItemRefusal)]
struct AddItem {}

fn main() {}
