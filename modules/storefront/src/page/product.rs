//! One product: what it is, what it costs, and the way into the cart.

use maud::{Markup, html};

use super::layout::{Frame, layout};
use super::shelf::{ProductCard, recommendations};

/// What a product page shows.
#[derive(Clone, Debug, Default)]
pub struct Product {
    /// The catalog's id, sent along when it is added to the cart.
    pub id: String,
    /// What the shopper calls it.
    pub name: String,
    /// A few sentences about it.
    pub description: String,
    /// Path of its square picture.
    pub picture: String,
    /// Price in the shopper's currency, ready to read.
    pub price: String,
    /// Where it belongs, such as `kitchen`; shown above the name.
    pub categories: Vec<String>,
    /// What goes with it; the first four are shown, none leaves the section out.
    pub recommendations: Vec<ProductCard>,
    /// An advertisement, if one came in time.
    pub ad: Option<Ad>,
}

/// An advertisement: a sentence that leads somewhere.
#[derive(Clone, Debug, Default)]
pub struct Ad {
    /// What it says.
    pub text: String,
    /// Where it leads: a path of ours or an `https` address. Anything else is not rendered.
    pub href: String,
}

/// Renders a product page.
pub fn product(frame: &Frame, view: &Product) -> Markup {
    let main = html! {
        div.wrap {
            nav.trail aria-label="Breadcrumb" {
                a href="/" { "Home" }
                span aria-hidden="true" { "/" }
                span aria-current="page" { (view.name) }
            }
            div.product {
                div.tile {
                    img src=(view.picture) alt={ "Illustration: " (view.name) }
                        width="600" height="600";
                }
                div.product-text {
                    @if !view.categories.is_empty() {
                        p.eyebrow { (view.categories.join(" · ")) }
                    }
                    h1 { (view.name) }
                    p.product-price { (view.price) }
                    p.lead { (view.description) }
                    (add_to_cart(&view.id))
                    p.small { "Delivery is one flat price per order, shown in your cart." }
                }
            }
            @if let Some(ad) = &view.ad { (advertisement(ad)) }
            (recommendations(&view.recommendations))
        }
    };
    layout(&view.name, frame, main)
}

fn add_to_cart(id: &str) -> Markup {
    html! {
        form.add method="post" action="/cart" {
            input type="hidden" name="product_id" value=(id);
            div.field {
                label for="quantity" { "Quantity" }
                select id="quantity" name="quantity" autocomplete="off" {
                    @for quantity in 1..=10 { option value=(quantity) { (quantity) } }
                }
            }
            button.button type="submit" { "Add to cart" }
        }
    }
}

fn advertisement(ad: &Ad) -> Markup {
    // A `javascript:` address would be as good as a script.
    let safe = ad.href.starts_with('/') || ad.href.starts_with("https://");
    html! {
        @if safe {
            aside.ad aria-label="Advertisement" {
                span.ad-mark { "Advertisement" }
                a href=(ad.href) rel="sponsored nofollow" { (ad.text) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ad, Frame, Product, product};

    fn page_with_ad(href: &str) -> String {
        let ad = Some(Ad {
            text: "Look here".to_owned(),
            href: href.to_owned(),
        });
        product(
            &Frame::default(),
            &Product {
                ad,
                ..Product::default()
            },
        )
        .into_string()
    }

    #[test]
    fn an_advertisement_cannot_smuggle_in_a_script() {
        assert!(page_with_ad("/product/6E92ZMYYFZ").contains("Look here"));
        assert!(page_with_ad("https://example.com/").contains("Look here"));
        assert!(!page_with_ad("javascript:alert(1)").contains("Look here"));
    }
}
