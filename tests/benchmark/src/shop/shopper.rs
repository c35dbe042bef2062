//! What a shopper does and how it judges the answers, like the public load generator's users.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use awc::http::{Method, StatusCode};
use fastrand::Rng;

use super::client::{Browser, Fault, Page};
use super::progress::Counters;
use super::tally::{Outcome, Route, Tally};

/// What shoppers set out to do, each named after the last page it visits, and how often.
const GOALS: [(Route, u32); 6] = [
    (Route::Home, 1),
    (Route::SetCurrency, 2),
    (Route::Product, 10),
    (Route::AddToCart, 2),
    (Route::ViewCart, 3),
    (Route::Checkout, 1),
];

pub(crate) const CURRENCIES: [&str; 6] = ["EUR", "USD", "JPY", "GBP", "TRY", "CAD"];
const QUANTITIES: [u8; 6] = [1, 2, 3, 4, 5, 10];
pub(crate) const PRODUCTS: [&str; 9] = [
    "OLJCESPC7Z",
    "66VCHSJNUP",
    "1YMWWN1N4O",
    "L9ECAV7KIM",
    "2ZYFJ3GM2N",
    "0PUK6V6EV0",
    "LS4PSXUNUM",
    "9SIQT8TOJO",
    "6E92ZMYYFZ",
];

/// A test card and an address that every boutique takes. The year is far off because only the
/// kernel may read the calendar.
pub(crate) const ORDER: &str = "email=shopper%40example.com&street_address=12+Harbour+Street\
    &zip_code=94043&city=Mountain+View&state=CA&country=United+States\
    &credit_card_number=4432+8015+6152+0454&credit_card_expiration_month=1\
    &credit_card_expiration_year=2039&credit_card_cvv=672";

/// How long a shopper keeps away after a failure, so that a shop that refuses connections is not
/// asked as fast as it can refuse.
const REST: Duration = Duration::from_millis(100);

/// One person with one browser.
pub(crate) struct Shopper {
    pub(crate) browser: Browser,
    pub(crate) rng: Rng,
    /// How long to think between visits, on average.
    pub(crate) think: Duration,
    /// After this, nothing new is asked for.
    pub(crate) deadline: Instant,
    pub(crate) tally: Rc<RefCell<Tally>>,
    pub(crate) counters: Arc<Counters>,
}

/// The visit ended early: a request failed, which is in the tally, or time is up.
struct Abandoned;

impl Shopper {
    /// Shops in a closed loop until the deadline, beginning at the home page.
    pub(crate) async fn shop(mut self) {
        let mut goal = Route::Home;
        loop {
            let pause = match self.visit(goal).await {
                Ok(()) => think(&mut self.rng, self.think),
                Err(Abandoned) => REST,
            };
            if Instant::now() + pause >= self.deadline {
                return;
            }
            if !pause.is_zero() {
                actix_rt::time::sleep(pause).await;
            }
            goal = choose_goal(&mut self.rng);
        }
    }

    async fn visit(&mut self, goal: Route) -> Result<(), Abandoned> {
        match goal {
            Route::Home => self.get(goal, "/").await,
            Route::SetCurrency => {
                let form = format!("currency_code={}", choose(&mut self.rng, &CURRENCIES));
                self.post(goal, "/setCurrency", &form).await
            }
            Route::Product => self.view_product().await.map(drop),
            Route::AddToCart => self.add_to_cart().await,
            Route::ViewCart => self.get(goal, "/cart").await,
            Route::Checkout => {
                self.add_to_cart().await?;
                self.post(goal, "/cart/checkout", ORDER).await
            }
        }
    }

    async fn view_product(&mut self) -> Result<&'static str, Abandoned> {
        let product = choose(&mut self.rng, &PRODUCTS);
        self.get(Route::Product, &format!("/product/{product}"))
            .await?;
        Ok(product)
    }

    async fn add_to_cart(&mut self) -> Result<(), Abandoned> {
        let product = self.view_product().await?;
        let quantity = choose(&mut self.rng, &QUANTITIES);
        let form = format!("product_id={product}&quantity={quantity}");
        self.post(Route::AddToCart, "/cart", &form).await
    }

    async fn get(&mut self, route: Route, path: &str) -> Result<(), Abandoned> {
        self.step(route, Method::GET, path, None).await
    }

    async fn post(&mut self, route: Route, path: &str, form: &str) -> Result<(), Abandoned> {
        self.step(route, Method::POST, path, Some(form)).await
    }

    async fn step(
        &mut self,
        route: Route,
        method: Method,
        path: &str,
        form: Option<&str>,
    ) -> Result<(), Abandoned> {
        let started = Instant::now();
        if started >= self.deadline {
            return Err(Abandoned);
        }
        let answer = self.browser.fetch(method, path, form).await;
        let took = started.elapsed();
        let outcome = judge(route, &answer);
        let failed = matches!(outcome, Outcome::Failed(_));
        self.counters.count(failed);
        self.tally.borrow_mut().record(route, took, outcome);
        if failed { Err(Abandoned) } else { Ok(()) }
    }
}

fn choose<T: Copy>(rng: &mut Rng, among: &[T]) -> T {
    among[rng.usize(..among.len())]
}

fn choose_goal(rng: &mut Rng) -> Route {
    let weights: u32 = GOALS.iter().map(|(_, weight)| weight).sum();
    let mut left = rng.u32(..weights);
    for (goal, weight) in GOALS {
        if left < weight {
            return goal;
        }
        left -= weight;
    }
    unreachable!("the draw is below the sum of the weights")
}

/// Between half and one and a half times the average, lest shoppers march in step.
fn think(rng: &mut Rng, average: Duration) -> Duration {
    if average.is_zero() {
        average
    } else {
        average.mul_f64(0.5 + rng.f64())
    }
}

/// Decides what an answer means. A page is believed by its status alone, except the order page:
/// there, money was taken, so it must show the parcel.
fn judge(route: Route, answer: &Result<Page, Fault>) -> Outcome {
    let page = match answer {
        Ok(page) => page,
        Err(fault) => return Outcome::Failed(fault.to_string()),
    };
    match route {
        Route::Checkout if page.status == StatusCode::PAYMENT_REQUIRED => Outcome::Declined,
        _ if !page.status.is_success() => Outcome::Failed(format!("status {}", page.status)),
        Route::Checkout if !shows_tracking_number(&page.body) => {
            Outcome::Failed(format!("status {}, but no tracking number", page.status))
        }
        Route::Checkout => Outcome::Ordered,
        _ => Outcome::Served,
    }
}

/// Looks for a word such as `MQ-2281-7184512`: two capital letters, then digits and dashes, at
/// least six digits and one dash so that neither a year nor a zip code behind a state will do.
fn shows_tracking_number(page: &[u8]) -> bool {
    page.split(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'-'))
        .any(|word| {
            let Some((letters, number)) = word.split_at_checked(2) else {
                return false;
            };
            letters.iter().all(u8::is_ascii_uppercase)
                && number
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || *byte == b'-')
                && number.contains(&b'-')
                && number.iter().filter(|byte| byte.is_ascii_digit()).count() >= 6
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(route: Route, status: u16, body: &str) -> Outcome {
        let status = StatusCode::from_u16(status).unwrap();
        judge(
            route,
            &Ok(Page {
                status,
                body: body.into(),
            }),
        )
    }

    #[test]
    fn goals_are_chosen_as_often_as_their_weights_say() {
        let (mut rng, draws) = (Rng::with_seed(7), 190_000);
        let mut chosen = [0_u32; GOALS.len()];
        for _ in 0..draws {
            chosen[choose_goal(&mut rng) as usize] += 1;
        }
        for (goal, weight) in GOALS {
            let expected = draws / 19 * weight;
            assert!(
                chosen[goal as usize].abs_diff(expected) < expected / 20,
                "seed 7: {chosen:?}"
            );
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_choices() {
        let goals = |seed| {
            let mut rng = Rng::with_seed(seed).fork();
            (0..50)
                .map(|_| choose_goal(&mut rng) as u8)
                .collect::<Vec<_>>()
        };
        assert_eq!(goals(1), goals(1));
        assert_ne!(goals(1), goals(2));
    }

    #[test]
    fn an_order_counts_only_with_a_tracking_number() {
        let ordered = |body| judged(Route::Checkout, 200, body) == Outcome::Ordered;
        assert!(ordered("<b>MQ-2281-7184512</b>"));
        for body in [
            "",
            "<b>ABC-123456</b>",
            "CA-94043",
            "AB123456",
            "3f2-AB-123456",
            "AB-12345x6",
        ] {
            assert!(!ordered(body), "{body}");
        }
    }

    #[test]
    fn only_a_402_from_the_checkout_is_a_declined_card() {
        let failed = |status: &str| Outcome::Failed(format!("status {status}"));
        assert_eq!(judged(Route::Checkout, 402, ""), Outcome::Declined);
        assert_eq!(
            judged(Route::Checkout, 422, ""),
            failed("422 Unprocessable Entity")
        );
        assert_eq!(
            judged(Route::ViewCart, 402, ""),
            failed("402 Payment Required")
        );
        assert_eq!(judged(Route::ViewCart, 200, ""), Outcome::Served);
    }
}
