//! Currency: what money is worth in other money.
//!
//! The module is stateless: its rates are part of the program, so it needs no store and runs in
//! any number of replicas. `rules` holds the rates and the arithmetic, `module` answers with
//! them.

mod module;
mod rules;

pub use module::Currency;
