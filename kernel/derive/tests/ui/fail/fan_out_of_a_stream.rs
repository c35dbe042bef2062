use modulith_contract::{Query};
use serde::{Deserialize, Serialize};

/// Lists the carts.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", stream = String, fan_out = all)]
struct ListCarts {}

fn main() {}
