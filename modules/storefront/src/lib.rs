//! The boutique's web pages: what a shopper sees, and the forms they send.
//!
//! A module without a store or a contract: it asks the others and turns their answers into pages.
//!
//! - `routes` says which address is served by what;
//! - `visit` knows the shopper by two cookies;
//! - `browse`, `basket` and `buying` serve the pages, each asking what it needs;
//! - `form` checks what a shopper typed, in pure functions;
//! - `trouble` turns refusals and faults into friendly pages;
//! - [`page`] draws, from plain data to HTML.

mod assets;
mod basket;
mod browse;
mod buying;
mod form;
mod module;
pub mod page;
mod routes;
mod trouble;
mod visit;

pub use module::Storefront;
