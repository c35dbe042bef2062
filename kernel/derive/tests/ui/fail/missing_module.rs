//! A message says whose it is.

use modulith_contract::{Command, Event};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct AddItem {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(reply = u32)]
struct EmptyCart {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct ItemAdded {}

fn main() {}
