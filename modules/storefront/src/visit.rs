//! A shopper's visit: who they are, by two cookies, and in which currency they look at prices.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use cart_contract::{GetCart, ShopperId};
use currency_contract::{CurrencyCode, ListCurrencies};
use maud::Markup;
use modulith_edge::actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time},
    dev::Payload,
    http::{
        StatusCode, Uri,
        header::{self, HeaderValue},
        uri::Authority,
    },
    web::{Data, Form},
};
use modulith_kernel::Port;
use uuid::Uuid;

use crate::{
    page::Frame,
    trouble::{Trouble, asked},
};

const SESSION_COOKIE: &str = "shop_session-id";
const CURRENCY_COOKIE: &str = "shop_currency";
const COOKIE_HOURS: i64 = 48;

/// The currencies offered on every page. Others that have a rate can be set, too.
const OFFERED: [&str; 6] = ["EUR", "USD", "JPY", "GBP", "TRY", "CAD"];
const CURRENCY_DEFAULT: &str = "USD";

/// What a page's small additions, such as the cart badge, may take before it goes without.
pub(crate) const EXTRAS_TIMEOUT: Duration = Duration::from_millis(300);

/// How long a page may take in all.
const PAGE_TIMEOUT: Duration = Duration::from_secs(4);

/// Everything a page loads comes from the shop itself, and its forms go nowhere else.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                                       form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// One request of one shopper.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) shopper: ShopperId,
    pub(crate) currency: CurrencyCode,
    /// For asking the other modules; keeps to the page's time.
    pub(crate) port: Port,
    is_new: bool,
}

impl Visit {
    fn of(request: &HttpRequest) -> Self {
        let port = request
            .app_data::<Data<Port>>()
            .expect("the routes were made with a port");
        let carried = modulith_edge::carried(request);
        let port = port.within(PAGE_TIMEOUT).carrying(carried);
        let known = request
            .cookie(SESSION_COOKIE)
            .and_then(|cookie| session(cookie.value()));
        let is_new = known.is_none();
        let shopper = known.unwrap_or_else(|| new_session(&port));
        let chosen = request.cookie(CURRENCY_COOKIE);
        let chosen = chosen.and_then(|cookie| CurrencyCode::new(cookie.value()).ok());
        let default = || CurrencyCode::new(CURRENCY_DEFAULT).expect("the default is a code");
        Self {
            shopper,
            currency: chosen.unwrap_or_else(default),
            port,
            is_new,
        }
    }

    /// A fresh key for a checkout form, by which an order sent twice is known as one.
    pub(crate) fn order_key(&self) -> String {
        format!("{:032x}", self.port.random_u128())
    }

    /// Header and footer, with the number of pieces in the cart; a cart that cannot be asked in
    /// time counts as empty here.
    pub(crate) async fn frame(&self) -> Frame {
        let cart = GetCart {
            shopper: self.shopper.clone(),
        };
        let cart = self
            .port
            .ask_within(cart, EXTRAS_TIMEOUT)
            .await
            .unwrap_or_default();
        self.frame_with(pieces(&cart))
    }

    /// Header and footer for a page that knows what is in the cart.
    pub(crate) fn frame_with(&self, cart_items: u32) -> Frame {
        let currency = self.currency.to_string();
        let mut currencies: Vec<String> = OFFERED.iter().map(ToString::to_string).collect();
        if !currencies.contains(&currency) {
            currencies.push(currency.clone());
        }
        Frame {
            currency,
            currencies,
            cart_items,
        }
    }

    /// Sends a page, with the session cookie if the shopper has none yet.
    pub(crate) fn page(&self, status: StatusCode, page: Markup) -> HttpResponse {
        let mut response = HttpResponse::build(status);
        response
            .insert_header(header::ContentType::html())
            .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
            // The currency form leads back to where it came from.
            .insert_header((header::REFERRER_POLICY, "same-origin"))
            .insert_header((header::CACHE_CONTROL, "no-store"));
        if self.is_new {
            response.cookie(cookie(SESSION_COOKIE, self.shopper.as_str()));
        }
        response.body(page.into_string())
    }

    /// Sends the shopper elsewhere, with the session cookie if they have none yet.
    pub(crate) fn redirect(&self, to: &str) -> HttpResponse {
        let mut response = redirect(to);
        if self.is_new {
            add_cookie(
                &mut response,
                &cookie(SESSION_COOKIE, self.shopper.as_str()),
            );
        }
        response
    }
}

impl FromRequest for Visit {
    type Error = Error;
    type Future = std::future::Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(Ok(Self::of(request)))
    }
}

/// The fields of a form as they were typed. A body that is no form has none.
#[derive(Debug)]
pub(crate) struct Typed(pub(crate) BTreeMap<String, String>);

impl Typed {
    /// A field without the space around it; nothing when it was not sent.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.0
            .get(name)
            .map(|value| value.trim())
            .unwrap_or_default()
    }
}

impl FromRequest for Typed {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let visit = Visit::of(request);
        let form = Form::<BTreeMap<String, String>>::from_request(request, payload);
        Box::pin(async move {
            match form.await {
                Ok(fields) => Ok(Self(fields.into_inner())),
                Err(error) => Err(unreadable(&visit, error)),
            }
        })
    }
}

/// A body that is no form, or too large, answered with a page like any other mistake.
fn unreadable(visit: &Visit, error: Error) -> Error {
    let status = match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let reason = "What was sent is not a form of this shop.".to_string();
    let page = Trouble::invalid(reason).draw(&visit.frame_with(0));
    let response = visit.page(status, page);
    modulith_edge::actix_web::error::InternalError::from_response(error, response).into()
}

/// Changes the currency and leads back to where the shopper was.
pub(crate) async fn set_currency(visit: Visit, typed: Typed, request: HttpRequest) -> HttpResponse {
    match known_currency(&visit, typed.field("currency_code")).await {
        Ok(code) => {
            let mut response = visit.redirect(&came_from(&request));
            add_cookie(&mut response, &cookie(CURRENCY_COOKIE, code.as_str()));
            response
        }
        Err(trouble) => trouble.respond(&visit).await,
    }
}

async fn known_currency(visit: &Visit, typed: &str) -> Result<CurrencyCode, Trouble> {
    let known = asked::<ListCurrencies>(visit.port.ask(ListCurrencies {}).await)?;
    let code = CurrencyCode::new(typed)
        .ok()
        .filter(|code| known.contains(code));
    code.ok_or_else(|| Trouble::invalid("We have no prices in that currency.".to_string()))
}

/// Forgets the shopper.
pub(crate) async fn logout() -> HttpResponse {
    let mut response = redirect("/");
    for name in [SESSION_COOKIE, CURRENCY_COOKIE] {
        let mut gone = cookie(name, "");
        gone.make_removal();
        add_cookie(&mut response, &gone);
    }
    response
}

pub(crate) fn redirect(to: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((header::LOCATION, to))
        .finish()
}

pub(crate) fn pieces(cart: &cart_contract::Cart) -> u32 {
    cart.items
        .iter()
        .map(|item| item.quantity.get())
        .fold(0, u32::saturating_add)
}

/// Our own page that the request came from, or the home page: never another site.
fn came_from(request: &HttpRequest) -> String {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let referer = header(header::REFERER).and_then(|text| text.parse::<Uri>().ok());
    let own = referer
        .filter(|referer| referer.authority().map(Authority::as_str) == header(header::HOST));
    let path = own.and_then(|uri| uri.path_and_query().map(ToString::to_string));
    // `//host` would be read as another site.
    path.filter(|path| path.starts_with('/') && !path.starts_with("//"))
        .unwrap_or_else(|| "/".to_string())
}

fn session(value: &str) -> Option<ShopperId> {
    let id = Uuid::try_parse(value).ok()?;
    ShopperId::new(id.to_string()).ok()
}

fn new_session(port: &Port) -> ShopperId {
    let id = uuid::Builder::from_random_bytes(port.random_u128().to_le_bytes()).into_uuid();
    ShopperId::new(id.to_string()).expect("a uuid is an id")
}

fn cookie<'a>(name: &'a str, value: &'a str) -> Cookie<'a> {
    Cookie::build(name, value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Lax)
        .max_age(time::Duration::hours(COOKIE_HOURS))
        .finish()
}

fn add_cookie(response: &mut HttpResponse, cookie: &Cookie<'_>) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}
