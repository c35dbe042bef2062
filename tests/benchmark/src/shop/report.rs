//! The figures for people (a table) and for programs (JSON), both from the same numbers.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::options::Options;
use super::tally::{Figures, ROUTES, Route, Tally};

/// What a run measured.
#[derive(Serialize)]
pub(crate) struct Report {
    url: String,
    shoppers: u16,
    /// From the first request to the last answer, a little more than what was asked for.
    pub(crate) seconds: f64,
    #[serde(flatten)]
    pub(crate) total: Row,
    declined: u64,
    pub(crate) orders: u64,
    routes: Vec<RouteRow>,
    #[serde(skip)]
    failures: Vec<String>,
}

#[derive(Serialize)]
struct RouteRow {
    route: &'static str,
    #[serde(flatten)]
    row: Row,
}

/// Counts, rate and times of one line of the table.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    pub(crate) rps: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    max_ms: f64,
}

impl Report {
    pub(crate) fn new(options: &Options, tally: &Tally, elapsed: Duration) -> Self {
        let mut total = Figures::new();
        tally.routes.iter().for_each(|figures| total.add(figures));
        let row = |(route, figures)| RouteRow {
            route,
            row: Row::new(figures, elapsed),
        };
        Self {
            url: options.url.to_string(),
            shoppers: options.shoppers.get(),
            seconds: rounded(elapsed.as_secs_f64()),
            total: Row::new(&total, elapsed),
            declined: tally.declined,
            orders: tally.orders,
            routes: ROUTES.into_iter().zip(&tally.routes).map(row).collect(),
            failures: tally.failures.clone(),
        }
    }
}

impl Report {
    /// The figures of placing an order.
    pub(crate) fn checkout(&self) -> &Row {
        &self.routes[Route::Checkout as usize].row
    }
}

impl Row {
    fn new(figures: &Figures, elapsed: Duration) -> Self {
        let requests = figures.took_us.len();
        let ms = |us: u64| us as f64 / 1_000.0;
        Self {
            requests,
            failures: figures.failures,
            rps: rounded(requests as f64 / elapsed.as_secs_f64()),
            p50_ms: ms(figures.took_us.value_at_quantile(0.50)),
            p99_ms: ms(figures.took_us.value_at_quantile(0.99)),
            max_ms: ms(figures.took_us.max()),
        }
    }
}

/// To three digits behind the point: more would only look exact.
fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, s) = (self.shoppers, self.seconds);
        writeln!(f, "{n} shoppers at {} for {s:.1} s", self.url)?;
        writeln!(
            f,
            "{:<20}{:>10}{:>10}{:>11}{:>10}{:>10}{:>10}",
            "route", "requests", "failures", "requests/s", "p50 ms", "p99 ms", "max ms"
        )?;
        for RouteRow { route, row } in &self.routes {
            writeln!(f, "{route:<20}{row}")?;
        }
        writeln!(f, "{:<20}{}", "total", self.total)?;
        writeln!(
            f,
            "{} orders, {} declined cards",
            self.orders, self.declined
        )?;
        if !self.failures.is_empty() {
            writeln!(f, "the first failures:")?;
        }
        self.failures
            .iter()
            .try_for_each(|failure| writeln!(f, "  {failure}"))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            failures,
            rps,
            p50_ms,
            p99_ms,
            max_ms,
        } = self;
        write!(
            f,
            "{requests:>10}{failures:>10}{rps:>11.1}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tally::Outcome;
    use super::*;

    fn report() -> Report {
        let options = Options {
            url: "http://shop:80".parse().unwrap(),
            shoppers: 3.try_into().unwrap(),
            seconds: 2,
            json: None,
            seed: None,
            think_ms: 0,
        };
        let mut tally = Tally::new();
        for ms in 1..=100 {
            tally.record(Route::Product, Duration::from_millis(ms), Outcome::Served);
        }
        tally.record(Route::Checkout, Duration::from_millis(5), Outcome::Ordered);
        tally.record(Route::Checkout, Duration::from_millis(5), Outcome::Declined);
        let failure = Outcome::Failed("hung up".to_owned());
        tally.record(Route::Home, Duration::from_millis(1), failure);
        Report::new(&options, &tally, Duration::from_secs(2))
    }

    #[test]
    fn the_table_lines_up_and_names_the_failures() {
        let text = report().to_string();
        let lines: Vec<&str> = text.lines().collect();

        assert_eq!(lines[0], "3 shoppers at http://shop:80 for 2.0 s");
        assert!(
            lines[1..9].iter().all(|line| line.len() == lines[1].len()),
            "{text}"
        );
        let product: Vec<&str> = lines[4].split_whitespace().collect();
        assert_eq!(product[..5], ["GET", "/product/{id}", "100", "0", "50.0"]);
        let total: Vec<&str> = lines[8].split_whitespace().collect();
        assert_eq!(total[..4], ["total", "103", "1", "51.5"]);
        assert_eq!(
            lines[9..],
            [
                "1 orders, 1 declined cards",
                "the first failures:",
                "  GET /: hung up"
            ]
        );
    }

    #[test]
    fn the_json_has_the_totals_on_top_and_every_route() {
        let json = serde_json::to_value(report()).unwrap();

        assert_eq!(
            (&json["url"], &json["shoppers"]),
            (&"http://shop:80".into(), &3.into())
        );
        assert_eq!(
            (&json["requests"], &json["failures"]),
            (&103.into(), &1.into())
        );
        assert_eq!((&json["orders"], &json["declined"]), (&1.into(), &1.into()));
        assert_eq!(json["rps"], 51.5);
        assert_eq!(json["routes"].as_array().unwrap().len(), ROUTES.len());
        let product = &json["routes"][2];
        assert_eq!(product["route"], "GET /product/{id}");
        for (key, ms) in [("p50_ms", 50.0), ("p99_ms", 99.0), ("max_ms", 100.0)] {
            let found = product[key].as_f64().unwrap();
            assert!((found - ms).abs() < 0.1, "{key}: {found}");
        }
    }
}
