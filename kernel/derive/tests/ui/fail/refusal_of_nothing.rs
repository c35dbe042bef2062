//! A refusal without variants is left out.

use modulith_contract::Refusal;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
enum AddItemRefusal {}

#[derive(Debug, Clone, Serialize, Deserialize, Refusal)]
struct CartIsFull;

fn main() {}
