//! A browser as far as a shop needs one: HTTP/1.1, cookies, redirects, patience that ends.
//!
//! `awc` would follow redirects itself, but drops the cookies they set; so that is done here.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use actix_rt::time::timeout;
use awc::cookie::Cookie;
use awc::error::{HttpError, PayloadError, SendRequestError};
use awc::http::header::{self, HeaderMap, HeaderValue};
use awc::http::{Method, StatusCode, Uri};
use awc::{Client, Connector};

/// How long a shopper waits for a whole page, connecting included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may lie idle before it is not used again. Shorter than servers keep
/// theirs (actix-web: 5 s), or requests would now and then meet a closing connection.
const IDLE_MAX: Duration = Duration::from_secs(3);

/// How many redirects one step may follow; the shop needs one.
const REDIRECTS_MAX: usize = 5;

/// A client for the browsers of one thread, with as many connections as they need.
pub(crate) fn new() -> Client {
    let connector = Connector::new()
        .limit(0)
        .timeout(PATIENCE)
        .conn_keep_alive(IDLE_MAX);
    Client::builder()
        .connector(connector)
        .disable_redirects()
        .disable_timeout()
        .no_default_headers()
        .add_default_header((header::USER_AGENT, "modulith-benchmark"))
        .finish()
}

/// The scheme, host and port that all pages of a shop share.
#[derive(Clone, Debug)]
pub(crate) struct Origin(Uri);

/// Not the address of a shop.
#[derive(Debug, thiserror::Error)]
#[error("expected http://HOST or http://HOST:PORT, without a path")]
pub(crate) struct NotAnOrigin;

impl FromStr for Origin {
    type Err = NotAnOrigin;

    fn from_str(text: &str) -> Result<Self, NotAnOrigin> {
        let uri: Uri = text.parse().map_err(|_| NotAnOrigin)?;
        let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        if plain && uri.host().is_some_and(|host| !host.is_empty()) {
            Ok(Self(uri))
        } else {
            Err(NotAnOrigin)
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "http://{}",
            self.0
                .authority()
                .map_or("", |authority| authority.as_str())
        )
    }
}

impl Origin {
    fn page(&self, path: &str) -> Result<Uri, HttpError> {
        let mut parts = self.0.clone().into_parts();
        parts.path_and_query = Some(path.try_into()?);
        Ok(Uri::from_parts(parts)?)
    }

    /// The path that a `Location` leads to, if it is one of this shop's.
    fn path_of<'a>(&self, location: &'a str) -> Option<&'a str> {
        let path = location.strip_prefix(&self.to_string()).unwrap_or(location);
        let path = path.split('#').next().unwrap_or_default();
        (path.starts_with('/') && !path.starts_with("//")).then_some(path)
    }
}

/// What a step ended at, after all redirects.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

/// Why there is no page to look at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    TimedOut,
    #[error("no answer: {0}")]
    NoAnswer(SendRequestError),
    #[error("cannot read the page: {0}")]
    Garbled(PayloadError),
    #[error("the page broke off")]
    BrokeOff,
    #[error("{0:?} is not a path of this shop")]
    Strayed(String),
    #[error("more than {REDIRECTS_MAX} redirects")]
    RedirectedTooOften,
}

/// One shopper's view of the shop: shared connections, cookies of its own.
pub(crate) struct Browser {
    client: Client,
    origin: Origin,
    cookies: Cookies,
}

impl Browser {
    pub(crate) fn new(client: Client, origin: Origin) -> Self {
        Self {
            client,
            origin,
            cookies: Cookies::default(),
        }
    }

    /// Asks for a page, or posts a form, and follows where that leads.
    ///
    /// # Errors
    /// No page came whole and in time, or a redirect led astray.
    pub(crate) async fn fetch(
        &mut self,
        mut method: Method,
        path: &str,
        mut form: Option<&str>,
    ) -> Result<Page, Fault> {
        let mut path = path.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let request = self.send(&method, &path, form);
            let (page, location) = timeout(PATIENCE, request)
                .await
                .map_err(|_| Fault::TimedOut)??;
            let Some(location) = location else {
                return Ok(page);
            };
            match self.origin.path_of(&location) {
                Some(next) => next.clone_into(&mut path),
                None => return Err(Fault::Strayed(location)),
            }
            // As browsers do: 307 and 308 repeat the request, the others ask for a page.
            if !matches!(page.status.as_u16(), 307 | 308) {
                (method, form) = (Method::GET, None);
            }
        }
        Err(Fault::RedirectedTooOften)
    }

    /// One request and its answer, with the `Location` if that is a redirect.
    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        form: Option<&str>,
    ) -> Result<(Page, Option<String>), Fault> {
        let uri = self
            .origin
            .page(path)
            .map_err(|_| Fault::Strayed(path.to_owned()))?;
        let mut request = self.client.request(method.clone(), uri);
        if let Some(cookies) = &self.cookies.header {
            request = request.insert_header((header::COOKIE, cookies.clone()));
        }
        let sent = match form {
            Some(form) => request
                .content_type("application/x-www-form-urlencoded")
                .send_body(form.to_owned()),
            None => request.send(),
        };
        let mut answer = sent.await.map_err(Fault::NoAnswer)?;
        let status = answer.status();
        let body: Vec<u8> = answer.body().await.map_err(Fault::Garbled)?.into();
        // A connection that closes too early is a complete answer to `awc`. Known gap: without a
        // length, as when the page comes in chunks, nothing tells.
        let announced = answer.headers().get(header::CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
        if announced.is_some_and(|announced: usize| body.len() < announced) {
            return Err(Fault::BrokeOff);
        }
        self.cookies.take(answer.headers());
        let location = answer
            .headers()
            .get(header::LOCATION)
            .filter(|_| status.is_redirection());
        let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        Ok((Page { status, body }, location))
    }
}

/// The cookies of one shop, kept as the header they are sent back in.
///
/// There is one shop and it sets its cookies for `/`, so domain and path are not looked at, and a
/// run is too short for them to age; a removed cookie is one whose age may be at most nothing.
#[derive(Default)]
struct Cookies {
    kept: Vec<(String, String)>,
    header: Option<HeaderValue>,
}

impl Cookies {
    fn take(&mut self, headers: &HeaderMap) {
        let mut changed = false;
        for value in headers.get_all(header::SET_COOKIE) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let Ok(cookie) = Cookie::parse(text) else {
                continue;
            };
            changed = true;
            self.kept.retain(|(name, _)| name != cookie.name());
            if cookie.max_age().is_none_or(|age| age > Duration::ZERO) {
                self.kept
                    .push((cookie.name().to_owned(), cookie.value().to_owned()));
            }
        }
        if changed {
            let pairs: Vec<_> = self.kept.iter().map(|(n, v)| format!("{n}={v}")).collect();
            self.header = HeaderValue::try_from(pairs.join("; "))
                .ok()
                .filter(|header| !header.is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;

    /// Serves one canned answer per connection on a free port, and hands back the requests.
    fn serve(answers: &'static [&'static str]) -> (Origin, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        let requests = thread::spawn(move || {
            let serve_one = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let length = stream.read(&mut request).unwrap();
                let head = format!("HTTP/1.1 {answer}");
                stream.write_all(head.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            };
            answers.iter().map(serve_one).collect()
        });
        (origin, requests)
    }

    fn fetch(origin: Origin, steps: &[(Method, &str, Option<&str>)]) -> Vec<Result<Page, Fault>> {
        actix_rt::System::new().block_on(async {
            let mut browser = Browser::new(new(), origin);
            let mut pages = Vec::new();
            for (method, path, form) in steps {
                pages.push(browser.fetch(method.clone(), path, *form).await);
            }
            pages
        })
    }

    #[test]
    fn a_posted_form_is_followed_to_its_page_with_the_cookies_set_on_the_way() {
        let (origin, requests) = serve(&[
            "302 Found\r\nLocation: /cart\r\nSet-Cookie: id=7; Path=/; HttpOnly\r\n\
             Set-Cookie: old=x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "200 OK\r\nSet-Cookie: old=; Max-Age=0\r\nConnection: close\r\n\
             Content-Length: 4\r\n\r\ncart",
            "204 No Content\r\nConnection: close\r\n\r\n",
        ]);
        let pages = fetch(
            origin,
            &[
                (Method::POST, "/cart", Some("quantity=1")),
                (Method::GET, "/", None),
            ],
        );
        let requests = requests.join().unwrap();

        let page = pages[0].as_ref().unwrap();
        assert_eq!(
            (page.status, page.body.as_slice()),
            (StatusCode::OK, b"cart".as_slice())
        );
        assert!(requests[0].starts_with("POST /cart ") && requests[0].ends_with("quantity=1"));
        assert!(!requests[0].contains("cookie: "), "{}", requests[0]);
        assert!(requests[1].starts_with("GET /cart "));
        assert!(
            requests[1].contains("cookie: id=7; old=x\r\n"),
            "{}",
            requests[1]
        );
        assert!(requests[2].contains("cookie: id=7\r\n"), "{}", requests[2]);
    }

    #[test]
    fn a_redirect_that_leaves_the_shop_or_never_ends_is_a_fault() {
        const ROUND: &str =
            "302 Found\r\nLocation: /\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        const AWAY: &str = "302 Found\r\nLocation: http://elsewhere.test/\r\n\
            Connection: close\r\nContent-Length: 0\r\n\r\n";
        for (answers, fault) in [
            (&[ROUND; REDIRECTS_MAX + 1][..], "more than 5 redirects"),
            (
                &[AWAY],
                "\"http://elsewhere.test/\" is not a path of this shop",
            ),
        ] {
            let (origin, requests) = serve(answers);
            let pages = fetch(origin, &[(Method::GET, "/", None)]);
            requests.join().unwrap();
            assert_eq!(pages[0].as_ref().unwrap_err().to_string(), fault);
        }
    }

    #[test]
    fn a_page_that_breaks_off_is_a_fault() {
        let (origin, requests) = serve(&["200 OK\r\nContent-Length: 100\r\n\r\nhalf a pa"]);
        let pages = fetch(origin, &[(Method::GET, "/", None)]);
        requests.join().unwrap();
        assert!(matches!(pages[0], Err(Fault::BrokeOff)), "{pages:?}");
    }
}
