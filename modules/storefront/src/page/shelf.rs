//! Products side by side: the grid at home and the recommendations elsewhere.

use maud::{Markup, html};

/// A product as it stands on a shelf.
#[derive(Clone, Debug, Default)]
pub struct ProductCard {
    /// The catalog's id, part of the product page's address.
    pub id: String,
    /// What the shopper calls it.
    pub name: String,
    /// Path of its square picture, such as `/static/img/6E92ZMYYFZ.svg`.
    pub picture: String,
    /// Price in the shopper's currency, ready to read. Empty leaves it out.
    pub price: String,
}

/// A list of products, each a link to its page.
pub(super) fn shelf(products: &[ProductCard], class: &str) -> Markup {
    html! {
        // The role restores what Safari takes from lists without bullets.
        ul.shelf.(class) role="list" {
            @for product in products {
                li { (card(product)) }
            }
        }
    }
}

/// Up to four products under a heading; nothing at all if there are none.
pub(super) fn recommendations(products: &[ProductCard]) -> Markup {
    let shown = &products[..products.len().min(4)];
    html! {
        @if !shown.is_empty() {
            section.recommended aria-labelledby="recommended" {
                h2 id="recommended" { "You may also like" }
                (shelf(shown, "four"))
            }
        }
    }
}

fn card(product: &ProductCard) -> Markup {
    html! {
        a.card href={ "/product/" (product.id) } {
            // The name follows as text, so a second reading of it would only be noise.
            span.tile { img src=(product.picture) alt="" width="600" height="600"; }
            span.card-text {
                span.card-name { (product.name) }
                @if !product.price.is_empty() { span.card-price { (product.price) } }
            }
        }
    }
}
