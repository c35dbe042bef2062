//! As much of a browser as shoppers need: one cookie, forms, and no redirects followed.

use std::time::Duration;

use ureq::{Agent, Body, http::Response, http::header};

/// The longest a page may take. Its deadline is four seconds; the rest is for a busy machine.
const PAGE_MAX: Duration = Duration::from_secs(10);

const SESSION_COOKIE: &str = "shop_session-id=";

pub(super) struct Browser {
    agent: Agent,
    address: String,
    session: String,
}

pub(super) struct Page {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Browser {
    pub(super) fn new(address: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(PAGE_MAX))
            .build();
        Self {
            agent: config.into(),
            address: address.to_string(),
            session: String::new(),
        }
    }

    pub(super) fn get(&mut self, path: &str) -> Option<Page> {
        let request = self.agent.get(format!("{}{path}", self.address));
        let answer = request.header(header::COOKIE, &self.session).call();
        self.take(answer)
    }

    pub(super) fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Option<Page> {
        let request = self.agent.post(format!("{}{path}", self.address));
        let request = request.header(header::COOKIE, &self.session);
        let answer = request.send_form(form.iter().copied());
        self.take(answer)
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
    /// The text after a label in a list of facts, such as the confirmation number.
    pub(super) fn fact(&self, label: &str) -> Option<String> {
        self.between(&format!("<dt>{label}</dt><dd>"), "<")
    }

    pub(super) fn between(&self, before: &str, after: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(before)?;
        let (text, _) = rest.split_once(after)?;
        Some(text.to_string())
    }
}
