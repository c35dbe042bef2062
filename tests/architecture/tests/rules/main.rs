//! The architecture, as rules that a test can break. `ARCHITECTURE.md` says why they are.

mod cards;
mod contracts;
mod files;
mod guests;
mod imports;

/// Fails with every complaint, not with the first.
fn pass(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
