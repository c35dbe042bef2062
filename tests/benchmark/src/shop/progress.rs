//! How the run is going, for whoever waits in front of it: a bar, or a line now and then in a log.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where a bar cannot be drawn.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Counts that all threads share while the run lasts.
#[derive(Default)]
pub(crate) struct Counters {
    requests: AtomicU64,
    failures: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, failed: bool) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(failed.into(), Ordering::Relaxed);
    }
}

/// Shows the counts on standard error.
pub(crate) struct Progress {
    counters: Arc<Counters>,
    started: Instant,
    next_line: Duration,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(seconds: u32, counters: Arc<Counters>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}");
            ProgressBar::new(seconds.into()).with_style(style.expect("the template is valid"))
        });
        Self {
            counters,
            started: Instant::now(),
            next_line: LINE_EVERY,
            bar,
        }
    }

    pub(crate) fn tick(&mut self) {
        let elapsed = self.started.elapsed();
        match &self.bar {
            Some(bar) => {
                bar.set_position(elapsed.as_secs().min(bar.length().unwrap_or_default()));
                bar.set_message(self.message(elapsed));
            }
            None if elapsed >= self.next_line => {
                eprintln!("{} s: {}", elapsed.as_secs(), self.message(elapsed));
                self.next_line += LINE_EVERY;
            }
            None => {}
        }
    }

    /// Clears the bar away; the report follows.
    pub(crate) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn message(&self, elapsed: Duration) -> String {
        let requests = self.counters.requests.load(Ordering::Relaxed);
        let failures = self.counters.failures.load(Ordering::Relaxed);
        let rps = requests as f64 / elapsed.as_secs_f64();
        format!("{requests} requests, {failures} failures, {rps:.0}/s on average")
    }
}
