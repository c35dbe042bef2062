//! What every fault at the real program has in common: its shoppers, its letters and its end.
//!
//! A `crowd` of `shopper`s orders at the pages, each through a `browser`; the `books` compare what
//! they were told with the letters that were written. Which processes run, and what befalls them,
//! is for `wire` and `kill` to say; how any of them is found and ends is in `program`,
//! and how the whole run ends in `session`.

pub(crate) mod books;
mod browser;
pub(crate) mod crowd;
pub(crate) mod program;
pub(crate) mod session;
mod shop;
pub(crate) mod shopper;

pub(crate) use shop::Shop;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
