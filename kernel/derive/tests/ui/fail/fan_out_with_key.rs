use modulith_contract::{Query};
use serde::{Deserialize, Serialize};

/// Gets a cart.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", key = shopper, reply = u64, fan_out = some)]
struct GetCart {
    shopper: String,
}

fn main() {}
