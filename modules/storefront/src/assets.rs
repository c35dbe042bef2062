//! Pictures and styles, compiled in.

use modulith_edge::actix_web::{HttpResponse, http::header, web::Path};

use crate::trouble::plain_not_found;

/// How long browsers may keep a file: short enough that a new release is seen the same day.
const CACHE: &str = "public, max-age=3600";

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_bytes!(concat!("../static/", $path)))),*]
    };
}

const FILES: &[(&str, &[u8])] = files![
    "favicon.svg",
    "shop.css",
    "img/0PUK6V6EV0.svg",
    "img/1YMWWN1N4O.svg",
    "img/2ZYFJ3GM2N.svg",
    "img/66VCHSJNUP.svg",
    "img/6E92ZMYYFZ.svg",
    "img/9SIQT8TOJO.svg",
    "img/L9ECAV7KIM.svg",
    "img/LS4PSXUNUM.svg",
    "img/OLJCESPC7Z.svg",
    "img/empty.svg",
    "img/error.svg",
    "img/hero.svg",
];

/// Serves a file by the name it was compiled in with; there is no path to traverse.
pub(crate) async fn file(path: Path<String>) -> HttpResponse {
    let Some((name, bytes)) = FILES.iter().find(|(name, _)| *name == path.as_str()) else {
        return plain_not_found();
    };
    let content_type = match name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "image/svg+xml",
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, content_type))
        .insert_header((header::CACHE_CONTROL, CACHE))
        .body(*bytes)
}
