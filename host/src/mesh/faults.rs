//! Faults that are put in and taken away while the application runs, for game days.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use modulith_mesh::Injection;
use serde::{Deserialize, Serialize};

/// How long faults may last before they end by themselves.
pub(crate) const FAULT_MAX: Duration = Duration::from_secs(3600);

/// The longest delay.
const DELAY_MAX: Duration = Duration::from_secs(60);

/// What a process is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultOrder {
    /// Treats calls so for a time.
    Put {
        /// `module` or `module.Message`; the latter goes before.
        about: String,
        delay_ms: u64,
        delay_percent: u8,
        abort_percent: u8,
        /// After this it ends by itself, should nobody take it away.
        for_ms: u64,
    },
    /// Takes all of them away.
    TakeAway,
}

/// The faults that are in now. They go before what the configuration says.
#[derive(Debug, Default)]
pub(super) struct LiveFaults {
    /// Whether there are any: what every call looks at.
    any: AtomicBool,
    by_name: Mutex<BTreeMap<String, Live>>,
}

#[derive(Debug, Clone, Copy)]
struct Live {
    injection: Injection,
    until: Instant,
}

impl LiveFaults {
    /// What happens to calls of a message, if anything was ordered.
    pub(super) fn of(&self, module: &str, message: &str) -> Option<Injection> {
        if !self.any.load(Ordering::Relaxed) {
            return None;
        }
        let now = Instant::now();
        let mut by_name = self.lock();
        by_name.retain(|_, live| live.until > now);
        if by_name.is_empty() {
            self.any.store(false, Ordering::Relaxed);
        }
        let live = by_name.get(message).or_else(|| by_name.get(module));
        live.map(|live| live.injection)
    }

    /// Does what is ordered, or says what is wrong with it.
    pub(super) fn obey(
        &self,
        order: FaultOrder,
        is_known: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let mut by_name = self.lock();
        match order {
            FaultOrder::TakeAway => by_name.clear(),
            FaultOrder::Put {
                about,
                delay_ms,
                delay_percent,
                abort_percent,
                for_ms,
            } => {
                let delay = Duration::from_millis(delay_ms);
                let lasts = Duration::from_millis(for_ms);
                if !is_known(&about) {
                    return Err(format!(
                        "{about} is no module or message of this application"
                    ));
                }
                if delay_percent > 100 || abort_percent > 100 {
                    return Err("found more than 100 percent".to_string());
                }
                if delay > DELAY_MAX || lasts > FAULT_MAX {
                    let (delay_max, max) = (DELAY_MAX.as_secs(), FAULT_MAX.as_secs());
                    return Err(format!(
                        "found a delay of {delay_ms} ms for {for_ms} ms, expected at most \
                         {delay_max} s for {max} s"
                    ));
                }
                let injection = Injection {
                    delay,
                    delay_percent,
                    abort_percent,
                };
                let until = Instant::now() + lasts;
                by_name.insert(about, Live { injection, until });
            }
        }
        self.any.store(!by_name.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Live>> {
        self.by_name.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
