//! As much of a browser as shoppers need: one cookie, forms, and no redirects followed.

use std::time::Duration;

use ureq::{Agent, Body, http::Response, http::header};

use super::Shop;

/// The longest a page may take. Its deadline is four seconds; the rest is for a busy machine.
const PAGE_MAX: Duration = Duration::from_secs(10);

/// The first status that says it is the server's fault.
const SERVER_ERROR: u16 = 500;

const SESSION_COOKIE: &str = "shop_session-id=";

pub(crate) struct Browser {
    agent: Agent,
    shop: Shop,
    session: String,
    /// How often nothing came, or a page that says something went wrong inside.
    pub(crate) faults: u64,
}

pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Browser {
    pub(crate) fn new(shop: &Shop) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PAGE_MAX))
            .build();
        Self {
            agent: config.into(),
            shop: shop.clone(),
            session: String::new(),
            faults: 0,
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Option<Page> {
        let request = self.agent.get(self.shop.page(path));
        let answer = request.header(header::COOKIE, &self.session).call();
        self.noted(answer)
    }

    pub(crate) fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Option<Page> {
        let request = self.agent.post(self.shop.page(path));
        let request = request.header(header::COOKIE, &self.session);
        let answer = request.send_form(form.iter().copied());
        self.noted(answer)
    }

    fn noted(&mut self, answer: Result<Response<Body>, ureq::Error>) -> Option<Page> {
        let page = self.take(answer);
        if page.as_ref().is_none_or(Page::is_fault) {
            self.faults += 1;
        }
        page
    }

    /// Nothing came, or not the whole page.
    fn take(&mut self, answer: Result<Response<Body>, ureq::Error>) -> Option<Page> {
        let mut answer = answer.ok()?;
        for cookie in answer.headers().get_all(header::SET_COOKIE) {
            let cookie = cookie.to_str().unwrap_or_default();
            if cookie.starts_with(SESSION_COOKIE) {
                let value = cookie.split(';').next().unwrap_or_default();
                self.session = value.to_string();
            }
        }
        Some(Page {
            status: answer.status().as_u16(),
            body: answer.body_mut().read_to_string().ok()?,
        })
    }
}

impl Page {
    pub(crate) fn is_fault(&self) -> bool {
        self.status >= SERVER_ERROR
    }

    /// The text after a label in a list of facts, such as the confirmation number.
    pub(crate) fn fact(&self, label: &str) -> Option<String> {
        self.between(&format!("<dt>{label}</dt><dd>"), "<")
    }

    pub(crate) fn between(&self, before: &str, after: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(before)?;
        let (text, _) = rest.split_once(after)?;
        Some(text.to_string())
    }
}
