//! Catalog: what the shop sells.
//!
//! The module is stateless: it reads its products when it is made and answers from memory.
//! `file` reads a TOML file of products and says where one is wrong, `rules` finds products among
//! them, `module` answers. The shop's own products are in `products.toml` beside this folder.

mod file;
mod module;
mod rules;

pub use module::{Catalog, CatalogSettings};
