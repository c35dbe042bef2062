//! The event log: what a module has told, and how far each subscriber has listened.

use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Table, Tx};

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

/// In a subscriber's store: how far it has come, by publishing module, or by partition of that
/// (`checkout`, or `checkout/1` where checkout is divided).
pub(crate) const CURSORS: Table<String, Cursor> = Table::new("modulith.cursors");

/// In the store of a subscriber's partition: how many events up to the cursor were for its other
/// partitions. Keyed like the cursor, written with it, and absent where the subscriber is not
/// divided.
pub(crate) const OTHERS: Table<String, u64> = Table::new("modulith.others");

/// How far a subscription has come, and what has become of the events it wanted.
///
/// Written in the commit that holds the effect of an event, so that the counts together are the
/// number of events wanted up to the position, at any moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    /// The number of the last event dealt with.
    pub(crate) position: u64,
    /// Events handled.
    pub(crate) applied: u64,
    /// Events that are dead letters now.
    pub(crate) parked: u64,
    /// Events passed over: published before the subscription began, or trimmed before that.
    pub(crate) skipped: u64,
    /// Dead letters that somebody has dropped.
    pub(crate) dropped: u64,
}

impl Cursor {
    /// All the events it has dealt with, whichever way.
    pub(crate) fn total(&self) -> u64 {
        self.applied + self.parked + self.skipped + self.dropped
    }
}

/// Brings the cursors of format 1, which were positions alone, to format 2. Their counts begin
/// here.
pub(crate) fn migrate_cursors(tx: &mut Tx<'_>) -> Result<(), Fault> {
    const POSITIONS: Table<String, u64> = Table::new(CURSORS.name);
    for (publisher, position) in tx.range(&POSITIONS, .., usize::MAX)? {
        let cursor = Cursor {
            position,
            ..Cursor::default()
        };
        tx.put(&CURSORS, &publisher, &cursor)?;
    }
    Ok(())
}
