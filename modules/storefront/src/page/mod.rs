//! What the shop looks like: every page as a pure function from plain data to HTML.
//!
//! Nothing here asks a module, reads a clock or knows HTTP. A handler fills a view model with
//! finished texts (prices already formatted by [`price()`]) and gets a whole document back. All
//! data goes through maud's escaping, and no page needs a script or an inline style, so the
//! strictest content security policy fits. `cargo run -p storefront --example gallery -- DIR`
//! writes each page with sample data, to be looked at.

mod cart;
mod checkout;
mod error;
mod field;
mod home;
mod layout;
mod line;
mod order;
mod price;
mod product;
mod shelf;

pub use cart::{Cart, cart};
pub use checkout::CheckoutForm;
pub use error::{ErrorKind, ErrorPage, error};
pub use field::Field;
pub use home::{Home, home};
pub use layout::{Frame, SHOP_NAME, layout};
pub use line::Line;
pub use order::{Order, order};
pub use price::price;
pub use product::{Ad, Product, product};
pub use shelf::ProductCard;
