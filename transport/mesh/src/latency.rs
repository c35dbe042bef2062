//! How long a replica takes: a moving average that jumps to every peak and forgets it slowly.
//!
//! One atomic holds the average and when it was last changed, so that a reader never sees half a
//! change. Samples may get lost when two threads record at the same moment; peaks do not.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What a replica is taken for before it has answered.
///
/// One millisecond: more than a neighbour takes, less than one far away, so that a new replica is
/// tried soon and not by everybody at once (calls in flight count as well).
const FIRST_GUESS_US: f32 = 1000.0;

/// After how many milliseconds a peak counts half.
///
/// Eight seconds, near the ten-second decay that Finagle and Linkerd use, and a power of two.
const HALF_LIFE_MS: f32 = 8192.0;

/// One step of the time that is kept, in milliseconds; 32 bits of it last a year.
const STEP_MS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Latency(AtomicU64);

impl Latency {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self(AtomicU64::new(pack(FIRST_GUESS_US, step(now_ms))))
    }

    /// The average in microseconds, as far as it is remembered by now.
    pub(crate) fn read(&self, now_ms: u64) -> f32 {
        let (average, since) = unpack(self.0.load(Relaxed));
        average * remembered(step(now_ms).wrapping_sub(since))
    }

    /// Learns how long a call took.
    pub(crate) fn record(&self, now_ms: u64, took: Duration) {
        self.learn(now_ms, took, true);
    }

    /// Learns that a call took at least this long, or failed after it: a failure that comes fast
    /// makes nobody faster.
    pub(crate) fn record_at_least(&self, now_ms: u64, took: Duration) {
        self.learn(now_ms, took, false);
    }

    fn learn(&self, now_ms: u64, took: Duration, may_lower: bool) {
        let sample = took.as_secs_f32() * 1e6;
        let now = step(now_ms);
        let mut before = self.0.load(Relaxed);
        loop {
            let (average, since) = unpack(before);
            let elapsed = now.wrapping_sub(since);
            let left = remembered(elapsed);
            let is_peak = sample > average * left;
            if !is_peak && (!may_lower || elapsed == 0) {
                return;
            }
            let after = if is_peak {
                sample
            } else {
                average * left + sample * (1.0 - left)
            };
            let written = pack(after, now);
            match self.0.compare_exchange(before, written, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(_) if !is_peak => return,
                Err(newer) => before = newer,
            }
        }
    }
}

/// Which part of the average is left after so many steps.
fn remembered(steps: u32) -> f32 {
    if steps == 0 {
        return 1.0;
    }
    let elapsed = steps as f32 * STEP_MS as f32;
    (-elapsed / HALF_LIFE_MS).exp2()
}

fn step(now_ms: u64) -> u32 {
    // Differences wrap as well.
    (now_ms / STEP_MS) as u32
}

fn pack(average: f32, since: u32) -> u64 {
    (u64::from(since) << 32) | u64::from(average.to_bits())
}

fn unpack(packed: u64) -> (f32, u32) {
    (f32::from_bits(packed as u32), (packed >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let latency = Latency::new(0);
        latency.record(0, ms(80));
        assert!((latency.read(0) - 80_000.0).abs() < 1.0);
        let later = latency.read(8192);
        assert!((39_000.0..41_000.0).contains(&later), "{later}");
        for now in (0..120_000).step_by(8) {
            latency.record(now, ms(1));
        }
        let settled = latency.read(120_000);
        assert!((999.0..1100.0).contains(&settled), "{settled}");
    }

    #[test]
    fn many_fast_answers_within_one_step_do_not_hide_a_peak() {
        let latency = Latency::new(0);
        latency.record(0, ms(80));
        for _ in 0..10_000 {
            latency.record(0, ms(1));
        }
        assert!(latency.read(0) > 79_000.0);
    }

    #[test]
    fn a_failure_that_comes_fast_makes_nobody_faster() {
        let latency = Latency::new(0);
        latency.record(0, ms(80));
        latency.record_at_least(800, ms(0));
        assert!(latency.read(800) > 70_000.0);
        latency.record_at_least(800, ms(200));
        assert!(latency.read(800) > 199_000.0);
    }

    proptest! {
        #[test]
        fn the_average_stays_within_what_was_measured(
            samples in prop::collection::vec((0_u64..5_000, 0_u64..10_000), 1..200),
        ) {
            let latency = Latency::new(0);
            let mut now = 0;
            let mut longest = 1000.0_f32;
            for (pause, took_us) in samples {
                now += pause;
                latency.record(now, Duration::from_micros(took_us));
                longest = longest.max(took_us as f32);
                let read = latency.read(now);
                prop_assert!(read.is_finite() && read >= 0.0 && read <= longest * 1.001, "{read}");
            }
        }
    }
}
