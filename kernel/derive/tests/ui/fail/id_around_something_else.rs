//! An id is a text.

use modulith_contract::Id;

#[derive(Debug, Clone, PartialEq, Eq, Id)]
struct OrderId(u64);

#[derive(Debug, Clone, PartialEq, Eq, Id)]
struct ProductId {
    id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Id)]
enum ShopperId {
    Guest,
}

fn main() {}
