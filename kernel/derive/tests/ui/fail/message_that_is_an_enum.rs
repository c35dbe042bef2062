//! A message is a struct.

use modulith_contract::{Command, Event};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart")]
enum Change {
    Add,
    Remove,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "cart")]
enum Changed {
    Added,
    Removed,
}

fn main() {}
