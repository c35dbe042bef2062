//! A module's own store: typed tables, snapshots, transactions and the event log.
//!
//! One redb database per module, or per partition of a divided one, and a journal in front of it. Handlers write through a [`Tx`],
//! which collects their changes in memory; the actor commits those of a whole batch together
//! (`batch`): into the journal with one sync, then into redb without one (`writer`). Queries read
//! a [`Snapshot`] of the last commit.

mod about;
mod backend;
mod backup;
mod batch;
pub(crate) mod division;
mod journal;
mod log;
mod open;
mod snapshot;
mod table;
#[cfg(test)]
mod tests;
mod tx;
mod upkeep;
mod writer;

pub use backup::{Backup, BackupError, RestoreError, Restored, restore};
pub use log::Record;
pub use open::{STORE_CACHE_BYTES, STORE_CACHE_BYTES_MIN, StoreError};
pub use snapshot::Snapshot;
pub use table::Table;
pub use tx::Tx;
pub use upkeep::StoreInfo;

pub(crate) use batch::Batch;
pub(crate) use log::{CURSORS, Cursor, EVENTS, OTHERS};
pub(crate) use open::Store;
