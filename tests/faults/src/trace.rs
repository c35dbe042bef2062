//! What happened in a simulation, line by line: as a hash, and on request as text.

use std::{
    fmt,
    hash::{DefaultHasher, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::time::Instant;

/// Takes down what happens. Two runs are the same when their hashes are.
#[derive(Debug)]
pub(crate) struct Trace {
    begun: Instant,
    /// Whether lines are printed as well.
    is_shown: bool,
    // Unlike a map's, its keys are fixed, so that it is the same in every run.
    hasher: Mutex<DefaultHasher>,
}

impl Trace {
    /// Begins now.
    pub(crate) fn begin(is_shown: bool) -> Self {
        Self {
            begun: Instant::now(),
            is_shown,
            hasher: Mutex::default(),
        }
    }

    /// Takes down a line, with the virtual time.
    pub(crate) fn line(&self, line: fmt::Arguments<'_>) {
        let at = self.begun.elapsed().as_millis();
        if self.is_shown {
            println!("{at:>7} ms  {line}");
        }
        let mut hashed = Hashed(self.hasher());
        _ = fmt::write(&mut hashed, format_args!("{at} {line}\n"));
    }

    /// Takes down bytes that would not fit a line.
    pub(crate) fn bytes(&self, bytes: &[u8]) {
        self.hasher().write(bytes);
    }

    /// The hash of everything so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hasher().finish()
    }

    fn hasher(&self) -> MutexGuard<'_, DefaultHasher> {
        self.hasher.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Hashed<'a>(MutexGuard<'a, DefaultHasher>);

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
