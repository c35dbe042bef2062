//! Ad: a line of advertising for the page at hand.
//!
//! The module is stateless: its ads are part of the program. `rules` holds them and chooses,
//! `module` answers.

mod module;
mod rules;

pub use module::Ad;
