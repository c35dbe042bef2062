//! HTTP at the edge: a module's pages, and the admin address.
//!
//! The only crate that knows actix-web, which it re-exports for modules that serve [`Pages`]. It
//! listens, bounds what a client may send, and stops gracefully; what is served is the module's.

mod desk;
mod limits;
mod server;
mod tag;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use modulith_kernel::{Module, Port};

pub use actix_web;

pub use desk::{Desk, Obeyed};
pub use limits::{BODY_BYTES_MAX, HEAD_TIMEOUT};
pub use server::{EdgeError, Server};
pub use tag::tagged;

/// A module that serves web pages, asking others through its port.
pub trait Pages: Module {
    /// Adds the module's routes. Called once for every HTTP worker thread.
    fn routes(port: Port, routes: &mut ServiceConfig);
}

/// Adds routes to an HTTP server, once for every worker thread.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// The routes of a module's pages, with `/_healthz` beside them. `tag_header` is the request header
/// that [`tagged`] looks at.
pub fn pages<M: Pages>(port: Port, tag_header: Option<&str>) -> Routes {
    let tag_header = tag_header.map(tag::TagHeader::new);
    Arc::new(move |routes| {
        if let Some(tag_header) = &tag_header {
            routes.app_data(tag_header.clone());
        }
        routes.route("/_healthz", actix_web::web::get().to(healthz));
        routes.route("/_healthz", actix_web::web::head().to(healthz));
        M::routes(port.clone(), routes);
    })
}

/// Routes of the admin address: `/status` answers a JSON document made anew for each request, and
/// `/operate` takes orders, where there is a desk for them.
///
/// `status` may block; it runs on a thread kept for that.
pub fn admin(status: Arc<dyn Fn() -> String + Send + Sync>, desk: Option<Desk>) -> Routes {
    let desk = desk.map(Arc::new);
    Arc::new(move |routes| {
        if let Some(desk) = desk.clone() {
            let operate = move |request, body| desk::operate(desk.clone(), request, body);
            routes.route("/operate", actix_web::web::post().to(operate));
        }
        let status = status.clone();
        let answer = move || {
            let status = status.clone();
            async move {
                let body = actix_web::web::block(move || status()).await?;
                let json = actix_web::http::header::ContentType::json();
                Ok::<_, actix_web::Error>(
                    actix_web::HttpResponse::Ok().insert_header(json).body(body),
                )
            }
        };
        routes.route("/status", actix_web::web::get().to(answer));
    })
}

async fn healthz() -> &'static str {
    "ok"
}
