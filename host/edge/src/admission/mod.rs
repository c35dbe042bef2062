//! Who is served when not everybody can be: refused at the door, at once, with a word when to come
//! again. What is served is served fast.
//!
//! A request that is refused costs a twentieth of a page. So at twice the load that a process can
//! take, most of it still goes into pages, and those who get one do not wait.

mod limiter;
mod turn;

use std::{
    cell::RefCell,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Instant,
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
};
use modulith_kernel::{Carried, Priority};

use limiter::Limiter;
use turn::Turn;

/// How much a request matters, by its method and path.
pub type Priorities = fn(&Method, &str) -> Priority;

/// What changes something matters more than what looks at it: a cart that was filled is worth an
/// order.
pub fn priority_by_method(method: &Method, _path: &str) -> Priority {
    if method.is_safe() {
        Priority::Normal
    } else {
        Priority::High
    }
}

/// Requests refused at the door of this process since it started.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// How many requests this process refused because it had too much to do.
pub fn refused() -> u64 {
    REFUSED.load(Relaxed)
}

/// A limit for each kind of request. What waits for a disk, such as an order, must not take the
/// places of what waits for nothing.
struct Limits {
    looking: Limiter,
    /// By the pattern of the address that a form is sent to: as many as the site has. One more
    /// for addresses that it does not have.
    doing: Vec<(Option<String>, Limiter)>,
}

/// Which of the limits.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Looking,
    Doing(usize),
}

impl Limits {
    fn new(now: Instant) -> Self {
        Self {
            looking: Limiter::new(now),
            doing: Vec::new(),
        }
    }

    fn kind(&mut self, request: &ServiceRequest, now: Instant) -> Kind {
        if request.method().is_safe() {
            return Kind::Looking;
        }
        let pattern = request.match_pattern();
        let known = self.doing.iter().position(|(known, _)| *known == pattern);
        Kind::Doing(known.unwrap_or_else(|| {
            self.doing.push((pattern, Limiter::new(now)));
            self.doing.len() - 1
        }))
    }

    fn of(&mut self, kind: Kind) -> &mut Limiter {
        match kind {
            Kind::Looking => &mut self.looking,
            Kind::Doing(number) => &mut self.doing[number].1,
        }
    }
}

/// The door of one worker.
#[derive(Clone)]
pub(crate) struct Door {
    limits: Rc<RefCell<Limits>>,
    turn: Turn,
    priorities: Priorities,
}

impl Door {
    pub(crate) fn new(priorities: Priorities) -> Self {
        Self {
            limits: Rc::new(RefCell::new(Limits::new(Instant::now()))),
            turn: Turn::default(),
            priorities,
        }
    }

    /// Serves a request, or refuses it.
    pub(crate) async fn pass(
        self,
        request: ServiceRequest,
        next: Next<impl MessageBody + 'static>,
    ) -> Result<ServiceResponse<impl MessageBody>, Error> {
        let arrived = Instant::now();
        let priority = (self.priorities)(request.method(), request.path());
        let waited = self.turn.waited(arrived);
        let kind = self.limits.borrow_mut().kind(&request, arrived);
        if !self.limits.borrow_mut().of(kind).admit(priority, waited) {
            REFUSED.fetch_add(1, Relaxed);
            let busy = busy(request.method());
            return Ok(request.into_response(busy).map_into_right_body());
        }
        let _inside = Inside {
            limits: self.limits,
            kind,
            arrived,
        };
        request.extensions_mut().insert(Carried::of(priority));
        Ok(next.call(request).await?.map_into_left_body())
    }
}

/// A request that was let in, until it is served or its client is gone.
struct Inside {
    limits: Rc<RefCell<Limits>>,
    kind: Kind,
    arrived: Instant,
}

impl Drop for Inside {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.arrived);
        let mut limits = self.limits.borrow_mut();
        limits.of(self.kind).done(took, now);
    }
}

/// What a refused request gets. A page tries again by itself; a form must not be sent again unasked.
fn busy(method: &Method) -> HttpResponse {
    let (refresh, advice) = match method.is_safe() {
        true => (
            "<meta http-equiv=\"refresh\" content=\"2\">",
            "This page tries again by itself in two seconds.",
        ),
        false => (
            "",
            "What you sent was not taken. Reload this page to send it again.",
        ),
    };
    HttpResponse::ServiceUnavailable()
        .insert_header((header::RETRY_AFTER, "1"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .content_type(header::ContentType::html())
        .body(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">{refresh}\
             <title>One moment, please</title><h1>One moment, please</h1>\
             <p>Very many people are here right now. {advice}"
        ))
}

/// What the messages that a request causes are to carry: how much it matters, and the tag that it
/// names in the header that the configuration names (`[app] tag_header`).
pub fn carried(request: &HttpRequest) -> Carried {
    let carried = request.extensions().get::<Carried>().cloned();
    crate::tag::tagged(carried.unwrap_or_default(), request)
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::StatusCode,
        middleware::from_fn,
        test::{TestRequest, call_service, init_service},
        web,
    };

    use super::*;

    /// Holds the worker for longer than most may wait.
    async fn slow(request: HttpRequest) -> String {
        let until = Instant::now() + limiter::WAIT_MAX + limiter::WAIT_MAX / 5;
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        format!("{:?}", carried(&request).priority)
    }

    #[actix_web::test]
    async fn who_would_wait_too_long_is_sent_away_and_told_when_to_come_again() {
        let door = Door::new(priority_by_method);
        let app = App::new()
            .wrap(from_fn(move |request, next| {
                door.clone().pass(request, next)
            }))
            .default_service(web::to(slow));
        let app = init_service(app).await;
        let ask = |request: TestRequest| call_service(&app, request.to_request());
        let before = refused();
        // Served one after the other without the worker ever getting to the end of its line.
        let (first, second, form) = futures_util::join!(
            ask(TestRequest::get()),
            ask(TestRequest::get()),
            ask(TestRequest::post()),
        );
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(second.headers().get(header::RETRY_AFTER).unwrap(), "1");
        assert_eq!(form.status(), StatusCode::OK);
        let body = actix_web::test::read_body(form).await;
        assert_eq!(body, "High");
        assert_eq!(refused(), before + 1);
        actix_web::rt::task::yield_now().await;
        // The line is short again.
        assert_eq!(ask(TestRequest::get()).await.status(), StatusCode::OK);
    }
}
