//! A mistyped option is told its right name.

use modulith_contract::{Command, Query};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", replies = u32)]
struct AddItem {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", refuse = u32)]
struct RemoveItem {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(modul = "cart")]
struct EmptyCart {}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", timeout = 3)]
struct GetCart {}

fn main() {}
