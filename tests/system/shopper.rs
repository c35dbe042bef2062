//! A shopper with a browser: cookies are kept, redirects are seen.

use std::{collections::BTreeMap, time::Duration};

use modulith_testkit::Deployment;
use ureq::{
    Agent, Body,
    http::{Response, header},
};

/// The longest a page may take. Its deadline is four seconds; the rest is for a busy machine.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// A card that is charged.
pub(crate) const GOOD_CARD: &str = "4432 8015 6152 0454";

pub(crate) struct Shopper {
    agent: Agent,
    address: String,
    cookies: BTreeMap<String, String>,
}

/// What a browser gets to see.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    /// Where a redirect leads; empty when the page is none.
    pub(crate) location: String,
    pub(crate) body: String,
}

impl Shopper {
    pub(crate) fn enter(shop: &Deployment) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PAGE_MAX))
            .build();
        Self {
            agent: config.into(),
            address: shop.address().to_string(),
            cookies: BTreeMap::new(),
        }
    }

    /// The same shopper, in a shop that has moved to another port.
    pub(crate) fn follow(&mut self, shop: &Deployment) {
        self.address = shop.address().to_string();
    }

    /// A second window of the same browser.
    pub(crate) fn window(&self, shop: &Deployment) -> Self {
        Self {
            cookies: self.cookies.clone(),
            ..Self::enter(shop)
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Page {
        let request = self.agent.get(format!("{}{path}", self.address));
        let answer = request.header(header::COOKIE, self.cookie_header()).call();
        self.take(answer)
    }

    pub(crate) fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Page {
        self.post_from(path, form, "")
    }

    pub(crate) fn post_from(&mut self, path: &str, form: &[(&str, &str)], referer: &str) -> Page {
        let request = self.agent.post(format!("{}{path}", self.address));
        let request = request.header(header::COOKIE, self.cookie_header());
        let answer = request
            .header(header::REFERER, referer)
            .send_form(form.iter().copied());
        self.take(answer)
    }

    pub(crate) fn add(&mut self, product: &str, quantity: &str) -> Page {
        self.post("/cart", &[("product_id", product), ("quantity", quantity)])
    }

    pub(crate) fn check_out(&mut self, card: &str) -> Page {
        self.check_out_with(&[("credit_card_number", card)])
    }

    /// Sends the checkout form, filled in well but for what is given.
    pub(crate) fn check_out_with(&mut self, changed: &[(&str, &str)]) -> Page {
        let mut form = BTreeMap::from([
            ("email", "someone@example.com"),
            ("street_address", "1600 Amphitheatre Parkway"),
            ("zip_code", "94043"),
            ("city", "Mountain View"),
            ("state", "CA"),
            ("country", "United States"),
            ("credit_card_number", GOOD_CARD),
            ("credit_card_expiration_month", "1"),
            ("credit_card_expiration_year", "2039"),
            ("credit_card_cvv", "672"),
        ]);
        form.extend(changed.iter().copied());
        self.post("/cart/checkout", &form.into_iter().collect::<Vec<_>>())
    }

    /// The key of the checkout form that the cart shows now.
    pub(crate) fn order_key(&mut self) -> String {
        let page = self.get("/cart").with(200);
        let after = page.body.split_once(r#"name="order_key" value=""#);
        let Some((_, rest)) = after else {
            panic!("no key in {}", page.body)
        };
        rest.trim_start_matches('"')
            .split('"')
            .next()
            .unwrap()
            .to_string()
    }

    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub(crate) fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_string(), value.to_string());
    }

    fn take(&mut self, answer: Result<Response<Body>, ureq::Error>) -> Page {
        let mut answer = answer.unwrap();
        for line in answer.headers().get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_string(), value.to_string());
            }
        }
        let location = answer.headers().get(header::LOCATION);
        Page {
            status: answer.status().as_u16(),
            location: location
                .map(|to| to.to_str().unwrap().to_string())
                .unwrap_or_default(),
            body: answer.body_mut().read_to_string().unwrap(),
        }
    }

    fn cookie_header(&self) -> String {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }
}

impl Page {
    /// Checks the status and passes the page on.
    #[track_caller]
    pub(crate) fn with(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn leads_to(self, location: &str) {
        assert_eq!(
            (self.status, self.location.as_str()),
            (302, location),
            "{}",
            self.body
        );
    }

    #[track_caller]
    pub(crate) fn shows(self, text: &str) -> Self {
        assert!(self.body.contains(text), "{text:?} is not in {}", self.body);
        self
    }

    #[track_caller]
    pub(crate) fn lacks(self, text: &str) -> Self {
        assert!(!self.body.contains(text), "{text:?} is in {}", self.body);
        self
    }

    /// The text after a label in a list of facts, such as the confirmation number.
    #[track_caller]
    pub(crate) fn fact(&self, label: &str) -> String {
        let after = self.body.split_once(&format!("<dt>{label}</dt><dd>"));
        let Some((_, rest)) = after else {
            panic!("{label:?} is not in {}", self.body)
        };
        rest.split('<').next().unwrap().to_string()
    }
}
