//! The front page: a welcome and everything the shop sells.

use maud::{Markup, html};

use super::layout::{Frame, layout};
use super::shelf::{ProductCard, shelf};

/// What the front page shows.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// All products, in the catalog's order.
    pub products: Vec<ProductCard>,
}

/// Renders the front page.
pub fn home(frame: &Frame, view: &Home) -> Markup {
    let main = html! {
        (hero())
        section.wrap.collection id="collection" aria-labelledby="collection-title" {
            div.section-head {
                h2 id="collection-title" { "The collection" }
                p { "Everything we carry, on one page." }
            }
            @if view.products.is_empty() {
                p.quiet { "We are rearranging the shelves. Please look in again in a moment." }
            } @else {
                (shelf(&view.products, "three"))
            }
        }
        (promises())
    };
    layout("Few things, well chosen", frame, main)
}

fn hero() -> Markup {
    html! {
        div.wrap.hero {
            div.hero-text {
                h1 { "Few things, well chosen." }
                p.lead {
                    "A small collection for the wardrobe, the kitchen and the quiet corners "
                    "of the house. Have a look around, there is no hurry."
                }
                a.button href="#collection" { "See the collection" }
            }
            img.hero-picture src="/static/img/hero.svg" width="1200" height="1000"
                alt="A mug, a lit candle, sunglasses, shakers and a jar on coloured blocks by a window";
        }
    }
}

fn promises() -> Markup {
    html! {
        section.promises aria-label="Good to know" {
            div.wrap {
                div {
                    h3 { "One delivery price" }
                    p { "A single flat rate per order, whether you take one mug or ten." }
                }
                div {
                    h3 { "In your currency" }
                    p { "Choose it at the top of the page. The price you see is the price you pay." }
                }
                div {
                    h3 { "Nothing in the way" }
                    p { "No account, no pop-ups, no scripts. Just the shop." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Frame, Home, ProductCard, home};

    #[test]
    fn data_is_escaped() {
        let name = "<b>Salt</b> & Pepper".to_owned();
        let products = vec![ProductCard {
            id: "a\"b".to_owned(),
            name,
            ..ProductCard::default()
        }];
        let page = home(&Frame::default(), &Home { products }).into_string();
        assert!(
            page.contains("&lt;b&gt;Salt&lt;/b&gt; &amp; Pepper"),
            "{page}"
        );
        assert!(page.contains(r#"href="/product/a&quot;b""#), "{page}");
    }
}
