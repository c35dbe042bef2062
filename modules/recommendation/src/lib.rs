//! Recommendation: what goes with what is on the page.
//!
//! The module listens to orders and remembers, for each product, what was bought with it.
//! `rules` counts and chooses, `store` keeps the counts, `module` listens and answers.

mod module;
mod rules;
mod store;

pub use module::Recommendation;
