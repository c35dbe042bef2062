//! The event log: what a module has told, and how far each subscriber has listened.

use modulith_contract::Timestamp;
use serde::{Deserialize, Serialize};

use super::Table;

/// One event in its module's log.
///
/// Its number in the log, from 1 without gaps, is the row's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The event's name within its module.
    pub name: String,
    /// When it was committed.
    pub at: Timestamp,
    /// The message that caused it.
    pub cause: u128,
    /// The event, encoded.
    pub body: Vec<u8>,
}

/// A module's own events, by number.
pub(crate) const EVENTS: Table<u64, Record> = Table::new("modulith.events");

/// In a subscriber's store: the number of the last event handled, by publishing module.
pub(crate) const CURSORS: Table<String, u64> = Table::new("modulith.cursors");
