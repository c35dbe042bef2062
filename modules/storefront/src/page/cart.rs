//! The cart: what is in it, what it comes to, and the form that turns it into an order.

use maud::{Markup, html};

use super::checkout::{CheckoutForm, checkout, problems};
use super::layout::{Frame, counted, layout};
use super::line::{Line, lines, sum};
use super::shelf::{ProductCard, recommendations};

/// What the cart page shows.
#[derive(Clone, Debug, Default)]
pub struct Cart {
    /// The rows, in the order they were added. None makes it the "empty" page.
    pub lines: Vec<Line>,
    /// Price of the delivery, ready to read.
    pub shipping: String,
    /// Everything together, ready to read.
    pub total: String,
    /// What was typed so far, and what is wrong with it.
    pub checkout: CheckoutForm,
    /// Why the card was declined, as a sentence for the shopper.
    pub declined: Option<String>,
    /// What goes with it; the first four are shown, none leaves the section out.
    pub recommendations: Vec<ProductCard>,
}

/// Renders the cart page; also the answer to a refused checkout (status 422) or a declined card.
pub fn cart(frame: &Frame, view: &Cart) -> Markup {
    if view.lines.is_empty() {
        return layout("Your cart is empty", frame, empty(&view.recommendations));
    }
    let main = html! {
        div.wrap.page {
            @if let Some(reason) = &view.declined { (declined(reason)) }
            (problems(&view.checkout))
            div.page-head {
                h1 { "Your cart" }
                form method="post" action="/cart/empty" {
                    button.quiet-button type="submit" { "Empty the cart" }
                }
            }
            div.cart {
                section.cart-lines aria-label="Items" { (lines(&view.lines)) }
                (summary(frame, view))
                (checkout(&view.checkout, &view.total))
            }
            (recommendations(&view.recommendations))
        }
    };
    layout(title(view), frame, main)
}

/// The title is what a screen reader says first, so bad news belongs there.
fn title(view: &Cart) -> &'static str {
    if view.declined.is_some() {
        "Card declined"
    } else if view.checkout.was_interrupted {
        "Please order again"
    } else if view.checkout.has_errors() {
        "Please check your details"
    } else {
        "Your cart"
    }
}

fn summary(frame: &Frame, view: &Cart) -> Markup {
    html! {
        aside.summary aria-labelledby="summary" {
            h2 id="summary" { "Summary" }
            p.small { (counted(frame.cart_items, "item")) " in " (frame.currency) }
            (sum(&view.shipping, "Total", &view.total))
            a.button.to-form href="#checkout" { "Check out" }
        }
    }
}

fn declined(reason: &str) -> Markup {
    html! {
        div.notice.bad role="alert" {
            h2 { "Your card was declined" }
            p { (reason) }
            p {
                "Nothing was charged and your cart is as you left it. "
                a href="#credit_card_number" { "Try another card" } "."
            }
        }
    }
}

fn empty(recommended: &[ProductCard]) -> Markup {
    html! {
        div.wrap.page {
            div.alone {
                img src="/static/img/empty.svg" alt="" width="600" height="450";
                h1 { "Your cart is empty" }
                p.lead { "Nothing in here yet. The shelves, on the other hand, are full." }
                a.button href="/#collection" { "See the collection" }
            }
            (recommendations(recommended))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Field;

    fn filled() -> Cart {
        Cart {
            lines: vec![Line::default()],
            ..Cart::default()
        }
    }

    #[test]
    fn a_cart_without_lines_offers_a_way_back_and_no_checkout() {
        let page = cart(&Frame::default(), &Cart::default()).into_string();
        assert!(page.contains("Your cart is empty") && !page.contains("/cart/checkout"));
    }

    #[test]
    fn a_refused_field_is_marked_and_keeps_what_was_typed() {
        let mut view = filled();
        let error = Some("Please enter a postcode.".to_owned());
        view.checkout.zip_code = Field {
            value: "zero".to_owned(),
            error,
        };
        let page = cart(&Frame::default(), &view).into_string();
        assert!(page.contains(r#"value="zero""#), "{page}");
        assert!(
            page.contains(r#"aria-invalid="true" aria-describedby="zip_code-error""#),
            "{page}"
        );
        assert!(page.contains(r##"<a href="#zip_code">"##), "{page}");
    }

    #[test]
    fn the_form_carries_its_key_and_an_interrupted_order_is_explained() {
        let mut view = filled();
        view.checkout.order_key = "0123".to_owned();
        let key = r#"type="hidden" name="order_key" value="0123" autocomplete="off""#;
        let page = cart(&Frame::default(), &view).into_string();
        assert!(page.contains(key) && !page.contains("interrupted"), "{page}");
        view.checkout.was_interrupted = true;
        let page = cart(&Frame::default(), &view).into_string();
        assert!(page.contains("Nothing was charged"), "{page}");
    }

    #[test]
    fn a_declined_card_says_why() {
        let declined = Some("The card ending 4242 has expired.".to_owned());
        let page = cart(
            &Frame::default(),
            &Cart {
                declined,
                ..filled()
            },
        )
        .into_string();
        assert!(page.contains("The card ending 4242 has expired."), "{page}");
    }
}
