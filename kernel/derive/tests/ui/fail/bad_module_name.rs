//! A module's name is lower case.

use modulith_contract::Command;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "Cart")]
struct AddItem {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "")]
struct EmptyCart {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = cart)]
struct RemoveItem {}

fn main() {}
