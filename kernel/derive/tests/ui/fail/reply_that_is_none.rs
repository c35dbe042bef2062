//! A reply is part of the contract, as is a refusal.

use modulith_contract::Query;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Size(u32);

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "cart", reply = Size)]
struct GetSize {}

fn main() {}
