//! What is counted of the calls to each process.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// Since the start of this process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) retries: Count,
    pub(crate) retries_refused: Count,
    pub(crate) hedges: Count,
    pub(crate) ejections: Count,
    pub(crate) mirrored: Count,
    pub(crate) faults_injected: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How it went with the calls to one process, as `status --json` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrafficStatus {
    /// The process that was called.
    pub(crate) to: String,
    pub(crate) instances: Vec<InstanceStatus>,
    /// Calls sent again.
    pub(crate) retries: u64,
    /// Calls not sent again because too many were.
    pub(crate) retries_refused: u64,
    /// Second requests for queries that took long.
    pub(crate) hedges: u64,
    /// How often an instance was left alone because it failed.
    pub(crate) ejections: u64,
    /// Copies sent to it.
    pub(crate) mirrored: u64,
    /// Calls to it that were held back or failed on purpose.
    pub(crate) faults_injected: u64,
}

/// One instance of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceStatus {
    pub(crate) instance: String,
    pub(crate) is_ejected: bool,
    /// Calls without an answer yet; counted where there is a choice.
    pub(crate) in_flight: u32,
}
