//! HTTP at the edge: a module's pages, and the admin address.
//!
//! The only crate that knows actix-web, which it re-exports for modules that serve [`Pages`]. It
//! listens, bounds what a client may send, and stops gracefully; what is served is the module's.

mod admission;
mod clients;
mod desk;
mod limits;
mod server;
mod tag;

use std::sync::Arc;

use actix_web::web::ServiceConfig;
use modulith_kernel::{Module, Port, Priority};

pub use actix_web;

pub use admission::{Priorities, carried, priority_by_method, refused};
pub use desk::{Desk, Obeyed};
pub use limits::{BODY_BYTES_MAX, HEAD_TIMEOUT};
pub use server::{EdgeError, Server, listen};

/// A module that serves web pages, asking others through its port.
pub trait Pages: Module {
    /// Adds the module's routes. Called once for every HTTP worker thread.
    fn routes(port: Port, routes: &mut ServiceConfig);

    /// How much a request matters when not all can be served. By default, what changes something
    /// matters more than what looks at it.
    fn priority(method: &actix_web::http::Method, path: &str) -> Priority {
        priority_by_method(method, path)
    }
}

/// What an HTTP server serves.
#[derive(Clone)]
pub struct Site {
    /// Adds the routes, once for every worker thread.
    pub routes: Routes,
    /// Who is served when not everybody can be; none to serve whoever comes.
    pub priorities: Option<Priorities>,
}

/// Adds routes to an HTTP server, once for every worker thread.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// The routes of a module's pages, with `/_healthz` beside them. `tag_header` names the request
/// header whose value becomes the tag of what is asked ([`carried`]).
pub fn pages<M: Pages>(port: Port, tag_header: Option<&str>) -> Site {
    let tag_header = tag_header.map(tag::TagHeader::new);
    let routes: Routes = Arc::new(move |routes| {
        if let Some(tag_header) = &tag_header {
            routes.app_data(tag_header.clone());
        }
        routes.route("/_healthz", actix_web::web::get().to(healthz));
        routes.route("/_healthz", actix_web::web::head().to(healthz));
        M::routes(port.clone(), routes);
    });
    let priorities: Priorities = |method, path| match path {
        "/_healthz" => Priority::Critical,
        path => M::priority(method, path),
    };
    Site {
        routes,
        priorities: Some(priorities),
    }
}

/// Routes of the admin address: `/status` answers a JSON document made anew for each request, and
/// `/operate` takes orders, where there is a desk for them.
///
/// `status` may block; it runs on a thread kept for that.
pub fn admin(status: Arc<dyn Fn() -> String + Send + Sync>, desk: Option<Desk>) -> Site {
    let desk = desk.map(Arc::new);
    let routes: Routes = Arc::new(move |routes| {
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
    });
    Site {
        routes,
        priorities: None,
    }
}

async fn healthz() -> &'static str {
    "ok"
}
