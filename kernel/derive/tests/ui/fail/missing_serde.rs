//! A message needs both of serde's derives.

use modulith_contract::Event;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Event)]
#[event(module = "cart")]
struct ItemAdded {}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "cart")]
struct ItemRemoved {}

fn main() {}
