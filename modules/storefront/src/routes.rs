//! Which address is served by what.

use modulith_edge::actix_web::{
    HttpResponse,
    http::header,
    web::{self, Data, ServiceConfig},
};
use modulith_kernel::Port;

use crate::{assets, basket, browse, buying, visit};

pub(crate) fn configure(port: Port, config: &mut ServiceConfig) {
    config
        .app_data(Data::new(port))
        .service(
            page("/")
                .route(web::get().to(browse::home))
                .route(web::head().to(browse::home)),
        )
        .service(
            page("/product/{id}")
                .route(web::get().to(browse::product))
                .route(web::head().to(browse::product)),
        )
        .service(
            page("/cart")
                .route(web::get().to(basket::view))
                .route(web::head().to(basket::view))
                .route(web::post().to(basket::add)),
        )
        .service(page("/cart/empty").route(web::post().to(basket::empty)))
        .service(
            page("/cart/checkout")
                .route(web::post().to(buying::checkout))
                // The address of a refused checkout's page, asked for again.
                .route(web::get().to(async || visit::redirect("/cart"))),
        )
        .service(page("/order/{id}").route(web::get().to(buying::order)))
        .service(page("/setCurrency").route(web::post().to(visit::set_currency)))
        .service(page("/logout").route(web::get().to(visit::logout)))
        .service(page("/robots.txt").route(web::get().to(robots)))
        .service(
            page("/static/{file:.*}")
                .route(web::get().to(assets::file))
                .route(web::head().to(assets::file)),
        )
        .default_service(web::to(browse::nowhere));
}

fn page(path: &str) -> modulith_edge::actix_web::Resource {
    web::resource(path)
}

/// A shop run for the first time, and for tests, wants no crawlers.
async fn robots() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(header::ContentType::plaintext())
        .body("User-agent: *\nDisallow: /\n")
}
