//! A key is one of the message's fields.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = shoper)]
struct AddItem {
    shopper: String,
    product: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", key = shopper)]
struct EmptyCart {}

fn main() {}
