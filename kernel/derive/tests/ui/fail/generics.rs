//! What is sent has one shape.

use modulith_contract::{Command, Schema};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "cart")]
struct AddItem<T> {
    item: T,
}

#[derive(Schema)]
struct Name<'a> {
    text: &'a str,
}

fn main() {}
