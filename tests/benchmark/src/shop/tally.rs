//! What happened, per route: how many requests, how many of them failed, how long they took.

use std::time::Duration;

use hdrhistogram::Histogram;

/// How many failures are kept in words; the first few tell what is wrong, the rest repeat it.
const FAILURES_KEPT: usize = 5;

/// The longest time told apart; longer ones count as this. A step is at most six requests of 10 s.
const TOOK_MAX_US: u64 = 60_000_000;

/// A kind of request; what follows from its redirects belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Home,
    SetCurrency,
    Product,
    AddToCart,
    ViewCart,
    Checkout,
}

/// What the routes are called, in the order of [`Route`] and of the report.
pub(crate) const ROUTES: [&str; 6] = [
    "GET /",
    "POST /setCurrency",
    "GET /product/{id}",
    "POST /cart",
    "GET /cart",
    "POST /cart/checkout",
];

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Served,
    Ordered,
    Declined,
    /// With the status, if there was one, and what is wrong with it.
    Failed(String),
}

/// The figures of one route. Failed requests are among the times too: leaving them out would make
/// a shop look fast that answers only its easy requests.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) failures: u64,
    /// In microseconds, to three digits.
    pub(crate) took_us: Histogram<u64>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        let took_us = Histogram::new_with_bounds(1, TOOK_MAX_US, 3).expect("the bounds are valid");
        Self {
            failures: 0,
            took_us,
        }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.failures += other.failures;
        self.took_us
            .add(&other.took_us)
            .expect("all histograms have the same bounds");
    }
}

/// The figures of all routes.
pub(crate) struct Tally {
    pub(crate) routes: [Figures; ROUTES.len()],
    pub(crate) orders: u64,
    pub(crate) declined: u64,
    /// The first few failures, each with its route.
    pub(crate) failures: Vec<String>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let routes = std::array::from_fn(|_| Figures::new());
        Self {
            routes,
            orders: 0,
            declined: 0,
            failures: Vec::new(),
        }
    }

    pub(crate) fn record(&mut self, route: Route, took: Duration, outcome: Outcome) {
        let figures = &mut self.routes[route as usize];
        figures
            .took_us
            .saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        match outcome {
            Outcome::Served => {}
            Outcome::Ordered => self.orders += 1,
            Outcome::Declined => self.declined += 1,
            Outcome::Failed(error) => {
                figures.failures += 1;
                self.keep(format!("{}: {error}", ROUTES[route as usize]));
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.routes.iter_mut().zip(&other.routes) {
            mine.add(theirs);
        }
        self.orders += other.orders;
        self.declined += other.declined;
        other
            .failures
            .into_iter()
            .for_each(|failure| self.keep(failure));
    }

    fn keep(&mut self, failure: String) {
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merged_tallies_hold_what_both_held_and_only_the_first_failures() {
        let (mut first, mut second) = (Tally::new(), Tally::new());
        first.record(Route::Checkout, Duration::from_millis(1), Outcome::Ordered);
        second.record(Route::Checkout, Duration::from_millis(3), Outcome::Declined);
        second.record(Route::Home, Duration::from_secs(600), Outcome::Served);
        for _ in 0..4 {
            for tally in [&mut first, &mut second] {
                tally.record(
                    Route::Home,
                    Duration::ZERO,
                    Outcome::Failed("500".to_owned()),
                );
            }
        }
        first.merge(second);

        let [home, .., checkout] = &first.routes;
        assert_eq!(
            (first.orders, first.declined, first.failures.len()),
            (1, 1, FAILURES_KEPT)
        );
        assert_eq!((home.failures, home.took_us.len()), (8, 9));
        assert!(home.took_us.max() >= TOOK_MAX_US);
        assert_eq!((checkout.failures, checkout.took_us.len()), (0, 2));
        assert_eq!(checkout.took_us.value_at_quantile(0.5), 1_000);
    }
}
