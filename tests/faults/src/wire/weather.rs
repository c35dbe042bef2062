//! How bad the network is, and when which path is cut: drawn from a seed.

use std::{pin::pin, sync::Arc, time::Duration};

use fastrand::Rng;
use futures_util::future::{join_all, select};
use tokio::time::{Instant, sleep, sleep_until};

use super::path::Network;

/// How often what happens to a datagram. Chances are in thousandths.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    pub(super) lost: u32,
    pub(super) duplicated: u32,
    pub(super) delayed: u32,
    /// The longest delay, in milliseconds. Those that are not delayed overtake those that are.
    pub(super) delay_max_ms: u64,
}

/// A path that carries nothing for a while.
#[derive(Debug, Clone, Copy)]
struct Outage {
    path: (&'static str, &'static str),
    at_ms: u64,
    for_ms: u64,
}

/// The processes that have something to say to each other.
const NEIGHBOURS: [(&str, &str); 2] = [("shop", "orders"), ("orders", "money")];

/// Longer than QUIC waits (`Timing::idle_timeout`, 5 s): the connection breaks, with whatever is
/// on it.
const LONG_MS: std::ops::Range<u64> = 5_500..7_000;
/// Bridged by sending again.
const SHORT_MS: std::ops::Range<u64> = 100..1_500;

/// What happens while the network is bad.
#[derive(Debug)]
pub(super) struct Weather {
    rates: Rates,
    outages: Vec<Outage>,
    rough: Duration,
}

impl Weather {
    pub(super) fn draw(seed: u64, rough: Duration) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let rates = Rates {
            lost: rng.u32(20..=80),
            duplicated: rng.u32(20..=80),
            delayed: rng.u32(50..=200),
            delay_max_ms: rng.u64(5..=60),
        };
        let rough_ms = u64::try_from(rough.as_millis()).unwrap_or(u64::MAX);
        let mut outages = Vec::new();
        for (one, other) in NEIGHBOURS {
            let mut at_ms = rng.u64(1_500..4_000);
            let mut is_long = true;
            while at_ms < rough_ms {
                let for_ms = rng.u64(if is_long { LONG_MS } else { SHORT_MS });
                // Either nothing goes through, or nothing in one direction.
                let ways = [Some((one, other)), Some((other, one))];
                let kept = rng.usize(..4);
                let cut = ways.iter().enumerate().filter(|(way, _)| *way != kept);
                outages.extend(cut.filter_map(|(_, path)| *path).map(|path| Outage {
                    path,
                    at_ms,
                    for_ms,
                }));
                at_ms += for_ms + rng.u64(1_000..4_000);
                is_long = rng.u8(..3) == 0;
            }
        }
        Self {
            rates,
            outages,
            rough,
        }
    }

    /// Lets it happen, and waits until it is over.
    pub(super) async fn befall(&self, network: &Arc<Network>) {
        println!("{:?}", self.rates);
        let over = Instant::now() + self.rough;
        network.roughen(self.rates);
        let outages = self.outages.iter().map(|outage| async move {
            sleep(Duration::from_millis(outage.at_ms)).await;
            network.cut(outage.path, true);
            sleep(Duration::from_millis(outage.for_ms)).await;
            network.cut(outage.path, false);
        });
        let outages = pin!(join_all(outages));
        // What is still cut then is healed with everything else.
        select(outages, pin!(sleep_until(over))).await;
        sleep_until(over).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_a_quick_run_cuts_every_path_for_longer_than_a_connection_lives() {
        for seed in 1..200 {
            let weather = Weather::draw(seed, Duration::from_secs(14));
            for (one, other) in NEIGHBOURS {
                let long = |outage: &&Outage| {
                    (outage.path == (one, other) || outage.path == (other, one))
                        && outage.for_ms >= LONG_MS.start
                        && outage.at_ms + outage.for_ms < 14_000
                };
                assert!(weather.outages.iter().any(|o| long(&o)), "seed {seed}");
            }
        }
    }
}
