//! To come.

pub mod page;
