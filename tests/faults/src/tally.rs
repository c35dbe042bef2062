//! How much was checked, and how much was done wrong on purpose.

use std::ops::AddAssign;

use crate::disk::DiskCounts;

/// Counts over one simulation, or over all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Single facts that were checked.
    pub(crate) checked: u64,
    /// Requests that nodes sent each other.
    pub(crate) calls: u64,
    /// Orders that shoppers were shown.
    pub(crate) orders: u64,
    /// Virtual time, in milliseconds.
    pub(crate) virtual_ms: u64,
    /// What was done wrong.
    pub(crate) faults: Faults,
}

/// What was done wrong, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    pub(crate) requests_lost: u64,
    pub(crate) replies_lost: u64,
    pub(crate) requests_duplicated: u64,
    pub(crate) requests_overtaken: u64,
    pub(crate) connections_cut: u64,
    pub(crate) calls_partitioned: u64,
    pub(crate) processes_killed: u64,
    pub(crate) machines_without_power: u64,
    pub(crate) disk_failures: u64,
    pub(crate) slow_syncs: u64,
    pub(crate) writes_dropped: u64,
    pub(crate) writes_torn: u64,
}

impl Faults {
    /// Each kind by name.
    pub(crate) fn by_kind(&self) -> [(&'static str, u64); 12] {
        [
            ("requests lost", self.requests_lost),
            ("replies lost", self.replies_lost),
            ("requests duplicated", self.requests_duplicated),
            ("requests overtaken", self.requests_overtaken),
            ("connections cut", self.connections_cut),
            ("calls into a partition", self.calls_partitioned),
            ("processes killed", self.processes_killed),
            ("machines without power", self.machines_without_power),
            ("failed writes and syncs", self.disk_failures),
            ("slow syncs", self.slow_syncs),
            ("unsynced writes dropped", self.writes_dropped),
            ("unsynced writes torn", self.writes_torn),
        ]
    }

    /// Adds what a disk did.
    pub(crate) fn add_disk(&mut self, disk: DiskCounts) {
        self.disk_failures += disk.failures;
        self.slow_syncs += disk.slow;
        self.writes_dropped += disk.dropped;
        self.writes_torn += disk.torn;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.checked += other.checked;
        self.calls += other.calls;
        self.orders += other.orders;
        self.virtual_ms += other.virtual_ms;
        self.faults += other.faults;
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.requests_lost += other.requests_lost;
        self.replies_lost += other.replies_lost;
        self.requests_duplicated += other.requests_duplicated;
        self.requests_overtaken += other.requests_overtaken;
        self.connections_cut += other.connections_cut;
        self.calls_partitioned += other.calls_partitioned;
        self.processes_killed += other.processes_killed;
        self.machines_without_power += other.machines_without_power;
        self.disk_failures += other.disk_failures;
        self.slow_syncs += other.slow_syncs;
        self.writes_dropped += other.writes_dropped;
        self.writes_torn += other.writes_torn;
    }
}
