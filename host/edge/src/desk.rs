//! Where a process takes an operator's orders: from whoever knows its token.

use std::{pin::Pin, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{AUTHORIZATION, CONTENT_TYPE, ContentType, HeaderValue},
    web::Bytes,
};

/// An order being carried out; becomes what is answered, in JSON.
pub type Obeyed = Pin<Box<dyn Future<Output = String> + Send>>;

/// Takes orders at the admin address.
pub struct Desk {
    /// Whoever sends it may give orders.
    pub token: String,
    /// Carries out an order, in JSON.
    pub obey: Box<dyn Fn(Vec<u8>) -> Obeyed + Send + Sync>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

pub(crate) async fn operate(desk: Arc<Desk>, request: HttpRequest, order: Bytes) -> HttpResponse {
    let header = |name| request.headers().get(name).map(HeaderValue::as_bytes);
    let token = header(&AUTHORIZATION).and_then(|value| value.strip_prefix(b"Bearer "));
    if !token.is_some_and(|token| is_same(token, desk.token.as_bytes())) {
        return HttpResponse::Unauthorized().body("the token is in the run file of this process");
    }
    // A page in a browser can send other types without being asked whether it may.
    if header(&CONTENT_TYPE) != Some(b"application/json".as_slice()) {
        return HttpResponse::UnsupportedMediaType().body("expected application/json");
    }
    let answer = (desk.obey)(order.to_vec()).await;
    HttpResponse::Ok()
        .insert_header(ContentType::json())
        .body(answer)
}

/// Compares in a time that does not tell where the two differ.
fn is_same(found: &[u8], expected: &[u8]) -> bool {
    let differences = found.iter().zip(expected).map(|(a, b)| a ^ b);
    let differs = differences.fold(0, |sum, difference| sum | difference);
    std::hint::black_box(differs) == 0 && found.len() == expected.len()
}
