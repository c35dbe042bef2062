use modulith_contract::{Query};
use serde::{Deserialize, Serialize};

/// Counts the carts.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", reply = u64, fan_out = most)]
struct CountCarts {}

fn main() {}
