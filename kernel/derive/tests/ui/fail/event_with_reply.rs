//! Nobody replies to a fact.

use modulith_contract::Event;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "cart", reply = u32)]
struct ItemAdded {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "cart", refusal = String)]
struct ItemRemoved {}

fn main() {}
