//! The figures for people (a table) and for programs (JSON), both from the same numbers.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::drive::{IN_TIME, Seen};

/// What is to be served at least at twice the peak, as a share of the peak.
const TARGET: f64 = 0.8;

/// The most that was served in time, by how many who waited for their answers.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Peak {
    pub(crate) per_second: f64,
    clients: u16,
}

impl Peak {
    pub(crate) fn or_better(self, clients: u16, seen: &Seen, duration: Duration) -> Self {
        let per_second = seen.served() as f64 / duration.as_secs_f64();
        if per_second <= self.per_second {
            return self;
        }
        Self {
            per_second,
            clients,
        }
    }
}

/// One load. Rates are per second.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    /// In peaks.
    times: f64,
    offered: f64,
    goodput: f64,
    /// The goodput as a share of the peak.
    share_of_peak: f64,
    refused: f64,
    late: f64,
    failed: f64,
    without_connection: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Step {
    pub(crate) fn new(times: f64, seen: &Seen, duration: Duration, peak: &Peak) -> Self {
        let rate = |count: u64| count as f64 / duration.as_secs_f64();
        let ms = |quantile| seen.took_us.value_at_quantile(quantile) as f64 / 1e3;
        let goodput = rate(seen.served());
        Self {
            times,
            offered: rate(seen.offered),
            goodput,
            share_of_peak: goodput / peak.per_second,
            refused: rate(seen.refused),
            late: rate(seen.late),
            failed: rate(seen.failed),
            without_connection: rate(seen.turned_away),
            p50_ms: ms(0.50),
            p99_ms: ms(0.99),
        }
    }
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    url: String,
    seconds: f64,
    peak: Peak,
    steps: Vec<Step>,
    /// The goodput at twice the peak, as a share of the peak.
    goodput_at_twice: f64,
    target: f64,
    met: bool,
}

impl Report {
    pub(crate) fn new(url: &str, seconds: f64, peak: Peak, steps: Vec<Step>) -> Self {
        let twice = steps.iter().find(|step| step.times == 2.0);
        let goodput_at_twice = twice.map_or(0.0, |step| step.share_of_peak);
        Self {
            url: url.to_owned(),
            seconds,
            peak,
            steps,
            goodput_at_twice,
            target: TARGET,
            met: goodput_at_twice >= TARGET,
        }
    }
}

/// Markdown, for docs/benchmarks.md.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Peak {
            per_second,
            clients,
        } = &self.peak;
        writeln!(
            f,
            "{per_second:.0} requests per second served within {} s at the peak, with {clients} \
             clients who wait for their answers; {} s at each load.\n",
            IN_TIME.as_secs(),
            self.seconds
        )?;
        writeln!(
            f,
            "| times the peak | offered/s | goodput/s | of the peak | refused/s | late/s | failed/s \
             | no connection/s | p50 ms | p99 ms |"
        )?;
        writeln!(f, "|{}", " ---: |".repeat(10))?;
        for step in &self.steps {
            writeln!(
                f,
                "| {} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {:.0} | {:.0} | {:.1} | {:.1} |",
                step.times,
                step.offered,
                step.goodput,
                step.share_of_peak,
                step.refused,
                step.late,
                step.failed,
                step.without_connection,
                step.p50_ms,
                step.p99_ms
            )?;
        }
        let met = if self.met { "met" } else { "NOT MET" };
        writeln!(
            f,
            "\nGoodput at twice the peak: {:.2} of the peak; target >= {}: {met}.",
            self.goodput_at_twice, self.target
        )
    }
}
