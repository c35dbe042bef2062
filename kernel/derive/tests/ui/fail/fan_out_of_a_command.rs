use modulith_contract::{Command};
use serde::{Deserialize, Serialize};

/// Empties all carts.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart", fan_out = all)]
struct EmptyCarts {}

fn main() {}
