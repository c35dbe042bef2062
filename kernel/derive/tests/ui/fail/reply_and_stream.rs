//! A query has one answer or a sequence of them; a command has one.

use modulith_contract::{Command, Query};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize, Query)]
#[query(module = "catalog", reply = Vec<String>, stream = String)]
struct ListProducts;

#[derive(Debug, Serialize, Deserialize, Command)]
#[command(module = "catalog", stream = String)]
struct Reindex;

fn main() {}
