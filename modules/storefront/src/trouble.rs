//! What a shopper sees when something is not as it should be.

use maud::Markup;
use modulith_edge::actix_web::{HttpResponse, http::StatusCode};
use modulith_kernel::{Never, Request, Stop};
use tracing::warn;

use crate::{
    page::{self, ErrorKind, ErrorPage, Frame},
    visit::Visit,
};

/// Why there is no page, or another one than was asked for.
#[derive(Debug)]
pub(crate) struct Trouble(ErrorKind);

impl Trouble {
    pub(crate) fn not_found() -> Self {
        Self(ErrorKind::NotFound)
    }

    /// The shopper can mend it; `reason` is a whole sentence that says how.
    pub(crate) fn invalid(reason: String) -> Self {
        Self(ErrorKind::Invalid {
            reasons: vec![reason],
        })
    }

    /// Something of ours does not add up.
    pub(crate) fn internal(what: &dyn std::fmt::Display) -> Self {
        tracing::error!(%what, "a page failed");
        Self(ErrorKind::Internal)
    }

    /// A module did not answer.
    pub(crate) fn unavailable(module: &str) -> Self {
        let what = match module {
            "cart" => "your cart",
            "catalog" => "the catalogue",
            "checkout" => "the checkout",
            "currency" => "the exchange rates",
            "shipping" => "the delivery prices",
            _ => "a part of the shop",
        };
        Self(ErrorKind::Unavailable {
            what: what.to_string(),
        })
    }

    pub(crate) fn draw(self, frame: &Frame) -> Markup {
        page::error(
            frame,
            &ErrorPage {
                kind: self.0,
                request_id: None,
            },
        )
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The page, with its status.
    pub(crate) async fn respond(self, visit: &Visit) -> HttpResponse {
        let status = self.status();
        let retry = status == StatusCode::SERVICE_UNAVAILABLE;
        let frame = visit.frame().await;
        let mut response = visit.page(status, self.draw(&frame));
        if retry {
            let soon = modulith_edge::actix_web::http::header::HeaderValue::from_static("1");
            let name = modulith_edge::actix_web::http::header::RETRY_AFTER;
            response.headers_mut().insert(name, soon);
        }
        response
    }
}

/// The reply to a request that cannot be refused, or the trouble with it.
pub(crate) fn asked<R: Request<Refusal = Never>>(
    outcome: Result<R::Reply, Stop<Never>>,
) -> Result<R::Reply, Trouble> {
    outcome.map_err(|stop| match stop {
        Stop::Refused(never) => match never {},
        fault @ Stop::Fault(_) => failed::<R>(&fault),
    })
}

/// A module that did not answer, logged.
pub(crate) fn failed<R: Request>(fault: &dyn std::fmt::Display) -> Trouble {
    warn!(module = R::MODULE, message = R::NAME, %fault, "a page goes without its module");
    Trouble::unavailable(R::MODULE)
}

/// For what browsers ask and nobody reads.
pub(crate) fn plain_not_found() -> HttpResponse {
    HttpResponse::NotFound().body("there is no such file")
}
