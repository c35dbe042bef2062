//! The receipt: shown straight from the checkout and whenever it is asked for again, and made to
//! be printed.

use maud::{Markup, html};

use super::layout::{Frame, layout};
use super::line::{Line, lines, sum};

/// What the order page shows.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// The confirmation number.
    pub id: String,
    /// The carrier's number for the parcel.
    pub tracking_id: String,
    /// What was bought, at the prices paid.
    pub lines: Vec<Line>,
    /// Price of the delivery, ready to read.
    pub shipping: String,
    /// What was charged, ready to read.
    pub total: String,
    /// Where the confirmation letter goes; none when the page is looked at again later.
    pub email: Option<String>,
}

/// Renders the order page.
///
/// It offers no currency choice: the sums are what was charged.
pub fn order(frame: &Frame, view: &Order) -> Markup {
    let frame = Frame {
        currencies: Vec::new(),
        ..frame.clone()
    };
    let main = html! {
        div.wrap.page.receipt {
            div.receipt-head {
                (tick())
                h1 { "Thank you, it is on its way" }
                p.lead {
                    @if let Some(email) = &view.email {
                        "We are sending a confirmation to " strong { (email) } ". "
                    }
                    "You may want to keep or print this page, too."
                }
            }
            dl.numbers {
                div { dt { "Confirmation number" } dd { (view.id) } }
                div { dt { "Tracking number" } dd { (view.tracking_id) } }
            }
            section.paper aria-labelledby="receipt-lines" {
                h2 id="receipt-lines" { "Your order" }
                (lines(&view.lines))
                (sum(&view.shipping, "Total paid", &view.total))
            }
            a.button href="/" { "Keep browsing" }
        }
    };
    layout("Order confirmed", &frame, main)
}

fn tick() -> Markup {
    html! {
        svg.tick width="72" height="72" viewBox="0 0 72 72" fill="none" aria-hidden="true" {
            circle cx="36" cy="36" r="36" fill="currentColor" {}
            path d="M22 37.5 32 47.5 51 27" stroke="#fff" stroke-width="5"
                stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}
