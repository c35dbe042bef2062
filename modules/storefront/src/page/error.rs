//! When something went wrong: what it means, and the way back.

use maud::{Markup, html};

use super::layout::{Frame, layout};

/// What an error page shows.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The request's id, to be quoted when asking for help.
    pub request_id: Option<String>,
}

/// What can go wrong, as far as a shopper cares.
#[derive(Clone, Debug)]
pub enum ErrorKind {
    /// No such page or product (404).
    NotFound,
    /// A form we cannot accept (422).
    Invalid {
        /// What is wrong with it, each a sentence for the shopper. May be empty.
        reasons: Vec<String>,
    },
    /// A mistake of ours (500).
    Internal,
    /// A part of the shop cannot be reached at the moment (503).
    Unavailable {
        /// Which part, as it reads within a sentence: "the checkout", "our catalog".
        what: String,
    },
}

impl ErrorKind {
    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Invalid { .. } => 422,
            Self::Internal => 500,
            Self::Unavailable { .. } => 503,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Self::NotFound => "We looked everywhere",
            Self::Invalid { .. } => "That did not quite fit",
            Self::Internal => "Something fell off the shelf",
            Self::Unavailable { .. } => "One moment, please",
        }
    }

    fn explanation(&self) -> Markup {
        html! {
            @match self {
                Self::NotFound => p.lead {
                    "There is no such page here. The link may be old, or a letter went missing."
                },
                Self::Invalid { reasons } => {
                    p.lead { "We could not accept what was sent. Nothing has been changed." }
                    @if !reasons.is_empty() {
                        ul.reasons { @for reason in reasons { li { (reason) } } }
                    }
                }
                Self::Internal => p.lead {
                    "The fault is ours, not yours. We have made a note of it; "
                    "please try again in a little while."
                },
                Self::Unavailable { what } => p.lead {
                    "We cannot reach " (what) " at the moment. This usually passes within "
                    "seconds, so it is fine to go back and try again."
                },
            }
        }
    }
}

/// Renders an error page.
pub fn error(frame: &Frame, view: &ErrorPage) -> Markup {
    let kind = &view.kind;
    let main = html! {
        div.wrap.page {
            div.alone {
                img src="/static/img/error.svg" alt="" width="600" height="450";
                p.status { "Error " (kind.status()) }
                h1 { (kind.title()) }
                (kind.explanation())
                div.choices {
                    a.button href="/" { "Back to the shop" }
                    a.quiet-button href="/cart" { "Go to your cart" }
                }
                @if let Some(id) = &view.request_id {
                    p.small { "If you write to us, please mention " code { (id) } "." }
                }
            }
        }
    };
    layout(kind.title(), frame, main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_shows_its_status_and_a_way_back() {
        let what = "the checkout".to_owned();
        let kinds = [
            (ErrorKind::NotFound, 404),
            (
                ErrorKind::Invalid {
                    reasons: vec!["Quantity: 1 to 10.".to_owned()],
                },
                422,
            ),
            (ErrorKind::Internal, 500),
            (ErrorKind::Unavailable { what }, 503),
        ];
        for (kind, status) in kinds {
            assert_eq!(kind.status(), status);
            let view = ErrorPage {
                kind,
                request_id: Some("abc-1".to_owned()),
            };
            let page = error(&Frame::default(), &view).into_string();
            assert!(page.contains(&format!("Error {status}")) && page.contains("abc-1"));
            assert!(page.contains(r#"<a class="button" href="/">"#), "{page}");
        }
    }
}
