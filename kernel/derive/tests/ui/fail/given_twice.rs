//! Everything is said once.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", module = "basket")]
struct AddItem {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart")]
#[command(reply = u32)]
struct EmptyCart {}

fn main() {}
