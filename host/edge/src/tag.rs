//! The tag by which traffic policy routes what is asked for a request.

use actix_web::HttpRequest;
use modulith_kernel::{Carried, Port};

/// The name of the header that carries it.
#[derive(Debug, Clone)]
pub(crate) struct TagHeader(String);

impl TagHeader {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_string())
    }
}

/// The same port, on which everything asked carries the tag that the request names in the header
/// that the configuration names (`[app] tag_header`). Without such a header, or with a tag that is
/// too long, nothing is carried.
pub fn tagged(port: &Port, request: &HttpRequest) -> Port {
    let header = request.app_data::<TagHeader>();
    let value = header.and_then(|header| request.headers().get(header.0.as_str()));
    match value.and_then(|value| value.to_str().ok()) {
        Some(tag) => port.carrying(Carried::default().tagged(tag)),
        None => port.clone(),
    }
}
