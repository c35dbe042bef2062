//! Chosen products as rows, and the sum below them: alike in the cart and on the receipt.

use maud::{Markup, html};

/// One product in a cart or an order, in some quantity.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The catalog's id, part of the product page's address.
    pub product_id: String,
    /// What the shopper calls it.
    pub name: String,
    /// Path of its square picture.
    pub picture: String,
    /// How many of it.
    pub quantity: u32,
    /// Price of one, ready to read.
    pub unit_price: String,
    /// Price of all of them, ready to read.
    pub line_price: String,
}

/// The rows, each linking to its product.
pub(super) fn lines(lines: &[Line]) -> Markup {
    html! {
        ul.lines role="list" {
            @for line in lines {
                li.line {
                    img src=(line.picture) alt="" width="96" height="96";
                    div.line-text {
                        a.line-name href={ "/product/" (line.product_id) } { (line.name) }
                        p.line-count {
                            span.unseen { "Quantity " }
                            (line.quantity) " × " (line.unit_price)
                        }
                    }
                    p.line-price { (line.line_price) }
                }
            }
        }
    }
}

/// Shipping and the grand total, the latter under the given name.
pub(super) fn sum(shipping: &str, total_name: &str, total: &str) -> Markup {
    html! {
        dl.sum {
            div { dt { "Delivery" } dd { (shipping) } }
            div.grand { dt { (total_name) } dd { (total) } }
        }
    }
}
