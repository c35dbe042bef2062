//! What every page shares: document head, header, currency choice, cart badge, footer.
//! What stands in between belongs to the page's own file.

use maud::{DOCTYPE, Markup, html};

use super::price::symbol;

/// What the shop calls itself.
pub const SHOP_NAME: &str = "Modulith Boutique";

/// What surrounds a page: the facts about this visit that header and footer show.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// Code of the currency prices are shown in, such as `USD`.
    pub currency: String,
    /// Codes the shopper may choose from, in order. Empty hides the choice, which is right when
    /// the currencies cannot be learned at the moment.
    pub currencies: Vec<String>,
    /// How many pieces lie in the cart, all quantities added up.
    pub cart_items: u32,
}

/// Wraps `main` into a whole document; `title` is what tells this page from the others.
pub fn layout(title: &str, frame: &Frame, main: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (SHOP_NAME) }
                meta name="description"
                    content="A small collection for the wardrobe, the kitchen and the home.";
                meta name="color-scheme" content="light dark";
                meta name="theme-color" content="#1d2433";
                link rel="icon" href="/static/favicon.svg" type="image/svg+xml";
                link rel="stylesheet" href="/static/shop.css";
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (top_bar(frame))
                (header(frame))
                main id="main" tabindex="-1" { (main) }
                (footer())
            }
        }
    }
}

/// Turns a count and a noun into "1 item" or "3 items".
pub(super) fn counted(count: u32, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn top_bar(frame: &Frame) -> Markup {
    html! {
        div.bar {
            div.wrap {
                p.bar-note { "One flat delivery price, however full your cart." }
                @if !frame.currencies.is_empty() { (currency_choice(frame)) }
            }
        }
    }
}

/// A form with a button: choosing must work for browsers that run no script.
fn currency_choice(frame: &Frame) -> Markup {
    html! {
        form.currency method="post" action="/setCurrency" {
            label for="currency_code" { "Currency" }
            // Firefox would otherwise keep an older choice across a reload.
            select id="currency_code" name="currency_code" autocomplete="off" {
                @for code in &frame.currencies {
                    option value=(code) selected[*code == frame.currency] {
                        (code)
                        @if let Some(symbol) = symbol(code) { " " (symbol) }
                    }
                }
            }
            button type="submit" { "Change" span.unseen { " currency" } }
        }
    }
}

fn header(frame: &Frame) -> Markup {
    let items = counted(frame.cart_items, "item");
    html! {
        header.head {
            div.wrap {
                a.brand href="/" {
                    img src="/static/favicon.svg" alt="" width="40" height="40";
                    span { "Modulith" span.brand-second { " Boutique" } }
                }
                nav aria-label="Shop" {
                    a.nav-link href="/#collection" { "Collection" }
                    a.cart-link href="/cart" aria-label={ "Cart, " (items) } {
                        (bag())
                        span { "Cart" }
                        @if frame.cart_items > 0 { span.badge { (frame.cart_items) } }
                    }
                }
            }
        }
    }
}

/// The little bag beside the word "Cart"; drawn in the colour of the text around it.
fn bag() -> Markup {
    html! {
        svg width="22" height="22" viewBox="0 0 24 24" fill="none" stroke="currentColor"
            stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {
            path d="M5 8h14l1 12.5H4L5 8Z" {}
            path d="M8.5 10.5V7a3.5 3.5 0 0 1 7 0v3.5" {}
        }
    }
}

fn footer() -> Markup {
    html! {
        footer.foot {
            div.wrap {
                div {
                    p.foot-name { (SHOP_NAME) }
                    p {
                        "A demonstration shop: everything works, nothing is really sold. "
                        "Please pay with a test card."
                    }
                }
                div {
                    p.foot-name { "No trackers, no scripts" }
                    p { "Two cookies: one remembers your cart, one your currency." }
                }
                nav aria-label="Footer" {
                    a href="/" { "Home" }
                    a href="/cart" { "Your cart" }
                    a href="/logout" rel="nofollow" { "Forget me" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::{Frame, layout};

    fn frame(cart_items: u32) -> Frame {
        let currencies = ["EUR", "JPY"].map(String::from).to_vec();
        Frame {
            currency: "JPY".to_owned(),
            currencies,
            cart_items,
        }
    }

    #[test]
    fn the_current_currency_is_selected() {
        let page = layout("Test", &frame(0), html! {}).into_string();
        assert!(
            page.contains(r#"<option value="JPY" selected>JPY ¥</option>"#),
            "{page}"
        );
        assert!(
            page.contains(r#"<option value="EUR">EUR €</option>"#),
            "{page}"
        );
    }

    #[test]
    fn the_badge_counts_items_and_hides_at_none() {
        let badge = r#"<span class="badge">3</span>"#;
        assert!(
            layout("Test", &frame(3), html! {})
                .into_string()
                .contains(badge)
        );
        assert!(
            !layout("Test", &frame(0), html! {})
                .into_string()
                .contains("badge")
        );
    }
}
