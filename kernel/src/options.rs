//! What every stateful module may be set to, whatever its business.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

use crate::partition::PARTITIONS_MAX;

/// The kernel's settings for one module: the keys of `[module.NAME]` that every module has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Into how many partitions the module is divided, by the keys of its messages: 1 to
    /// [`PARTITIONS_MAX`]. Default 1. Fixed when its stores are created.
    #[serde(deserialize_with = "partitions")]
    pub partitions: u16,
    /// Whether a commit waits for the disk. Default `fsync`.
    pub durability: Durability,
    /// How long the replies to commands that may come again, and the flows that have ended, are
    /// kept, in hours. Default 168, a week: longer than any outage that is slept through.
    pub replies_kept_hours: u32,
    /// How many replies are kept at most; above it the oldest go first. Default 1,000,000.
    pub replies_max: u64,
    /// How long events are kept after they were published, in hours, and longer while a known
    /// subscriber has not handled them. Default 168, a week.
    pub events_kept_hours: u32,
    /// How many bytes of events are kept at most, unless a known subscriber has not handled them.
    /// The last event is always kept. Default 1 GiB.
    pub events_bytes_max: u64,
    /// How often an event that fails is tried before it counts as poison. Default 8, which with
    /// the pauses between takes about two and a half seconds: faults of a handler come from what
    /// is in the event or in the store, and time alone seldom mends them.
    pub event_attempts_max: u32,
    /// What happens to an event that is poison. Default `park`.
    pub poison: Poison,
    /// Where a subscription that is new to its publisher begins. Default `start`.
    pub listen_from: ListenFrom,
}

/// The keys of [`Options`], as a configuration file has them.
pub const OPTION_KEYS: [&str; 9] = [
    "partitions",
    "durability",
    "replies_kept_hours",
    "replies_max",
    "events_kept_hours",
    "events_bytes_max",
    "event_attempts_max",
    "poison",
    "listen_from",
];

/// What a reply to a command promises of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// What a command changed is on the disk before its reply is sent: neither a crash of the
    /// process nor one of the machine takes it back.
    #[default]
    Fsync,
    /// It is with the operating system: a crash of the process takes nothing back, a crash of the
    /// machine up to the last second.
    Relaxed,
}

/// What happens to an event whose handler failed too often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Poison {
    /// It goes to the dead letters, and those behind it go on.
    #[default]
    Park,
    /// It is tried on, and those behind it wait.
    Halt,
}

/// Where a new subscription begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ListenFrom {
    /// With the oldest event kept.
    #[default]
    Start,
    /// With the first event after now.
    Now,
}

fn partitions<'de, D: Deserializer<'de>>(number: D) -> Result<u16, D::Error> {
    let found = i64::deserialize(number)?;
    let number = u16::try_from(found).ok();
    let number = number.filter(|number| (1..=PARTITIONS_MAX).contains(number));
    number.ok_or_else(|| {
        let expected = format!("expected 1 to {PARTITIONS_MAX} partitions");
        D::Error::custom(format!("found partitions = {found}, {expected}"))
    })
}

impl Options {
    pub(crate) fn replies_kept(&self) -> Duration {
        hours(self.replies_kept_hours)
    }

    pub(crate) fn events_kept(&self) -> Duration {
        hours(self.events_kept_hours)
    }
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3600)
}

impl Default for Options {
    fn default() -> Self {
        Self {
            partitions: 1,
            durability: Durability::Fsync,
            replies_kept_hours: 168,
            replies_max: 1_000_000,
            events_kept_hours: 168,
            events_bytes_max: 1 << 30,
            event_attempts_max: 8,
            poison: Poison::Park,
            listen_from: ListenFrom::Start,
        }
    }
}
