//! What a node takes from the world: time, randomness and storage.
//!
//! Nothing else in the kernel or in a module reads a clock, draws a random number or opens a
//! file, so that a whole system can run on a simulated world (ADR 0010).

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::future::BoxFuture;
use modulith_contract::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::storage::{Files, Storage};

/// Tells the time of day.
///
/// Deadlines and short waits do not come from here but from tokio's clock, which tests can pause.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Waits until it is this time or later.
    ///
    /// Looks again every second at the latest, because a machine's clock can be set.
    fn reaches(&self, until: Timestamp) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            loop {
                let left = until.0.saturating_sub(self.now().0);
                if left == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(left.min(1000))).await;
            }
        })
    }
}

/// Fills bytes at random.
pub trait Randomness: Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// The real one is cryptographically secure: session, order and tracking numbers are drawn
    /// from it and must not be guessed.
    fn fill(&self, bytes: &mut [u8]);
}

/// The world a node runs in. Cheap to clone.
#[derive(Clone)]
pub struct Environment {
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub randomness: Arc<dyn Randomness>,
    /// Where stores are kept.
    pub storage: Arc<dyn Storage>,
    /// The folder below which modules keep files other than their store.
    pub data: PathBuf,
}

impl Environment {
    /// The real world, with stores below the folder `data`.
    pub fn real(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            storage: Arc::new(Files::below(data.clone())),
            data,
        }
    }

    /// 128 random bits.
    pub fn random_u128(&self) -> u128 {
        let mut bytes = [0; 16];
        self.randomness.fill(&mut bytes);
        u128::from_le_bytes(bytes)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the real clock is read"
    )]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// ChaCha12 seeded by the operating system, one generator per thread.
#[derive(Debug, Clone, Copy)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// The same bytes for the same seed, for tests and simulation.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<StdRng>);

impl SeededRandomness {
    /// Starts the sequence of a seed.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}
