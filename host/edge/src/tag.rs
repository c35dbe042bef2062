//! The tag by which traffic policy routes what is asked for a request.

use actix_web::HttpRequest;
use modulith_kernel::Carried;

/// The name of the header that carries it (`[app] tag_header`).
#[derive(Debug, Clone)]
pub(crate) struct TagHeader(String);

impl TagHeader {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_string())
    }
}

/// The same with the tag that the request names. Without the header, or with a tag that is too
/// long, there is none.
pub(crate) fn tagged(carried: Carried, request: &HttpRequest) -> Carried {
    let header = request.app_data::<TagHeader>();
    let value = header.and_then(|header| request.headers().get(header.0.as_str()));
    match value.and_then(|value| value.to_str().ok()) {
        Some(tag) => carried.tagged(tag),
        None => carried,
    }
}
