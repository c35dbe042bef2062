//! The boutique under faults.
fn main() {}
