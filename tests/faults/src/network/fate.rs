//! What becomes of one call: drawn when it is sent.

use std::time::Duration;

use fastrand::Rng;

/// How often what goes wrong. Chances are in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rates {
    /// That a request does not arrive.
    pub(crate) request_lost: u32,
    /// That a request takes effect and its reply does not arrive.
    pub(crate) reply_lost: u32,
    /// That a request arrives twice.
    pub(crate) duplicated: u32,
    /// The longest way, in milliseconds. Ways differ, so that calls overtake each other.
    pub(crate) delay_max_ms: u64,
}

/// How much later than the first one a duplicate may arrive.
const DUPLICATE_DELAY_MAX_MS: u64 = 3_000;

#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    pub(super) first: Way,
    pub(super) duplicate: Option<Way>,
    /// Whether the asker's giving up reaches who was asked.
    pub(super) is_cancelled: bool,
}

/// One request's way there, and its reply's way back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) loses_request: bool,
    pub(super) loses_reply: bool,
    /// Whether the asker learns of a loss, because its connection broke, or waits in vain.
    pub(super) tells: bool,
}

impl Fate {
    pub(super) fn draw(rates: &Rates, may_duplicate: bool, rng: &mut Rng) -> Self {
        let first = Way::draw(rates, rng);
        let is_duplicated = chance(rates.duplicated, rng) && may_duplicate;
        Self {
            first,
            duplicate: is_duplicated.then(|| {
                let way = Way::draw(rates, rng);
                let later = Duration::from_millis(rng.u64(..DUPLICATE_DELAY_MAX_MS));
                Way {
                    there: way.there + later,
                    ..way
                }
            }),
            is_cancelled: rates.request_lost == 0 || rng.bool(),
        }
    }
}

impl Way {
    fn draw(rates: &Rates, rng: &mut Rng) -> Self {
        Self {
            there: Duration::from_millis(rng.u64(..=rates.delay_max_ms)),
            back: Duration::from_millis(rng.u64(..=rates.delay_max_ms)),
            loses_request: chance(rates.request_lost, rng),
            loses_reply: chance(rates.reply_lost, rng),
            tells: rng.bool(),
        }
    }
}

fn chance(thousandths: u32, rng: &mut Rng) -> bool {
    thousandths > 0 && rng.u32(..1000) < thousandths
}
