//! A module's own store: typed tables, snapshots, transactions and the event log.
//!
//! One redb database per module. Handlers write through a [`Tx`], which collects their changes in
//! memory; the actor applies those of a whole batch in one redb transaction (`batch`). Queries
//! read a [`Snapshot`] of the last durable commit.

mod batch;
mod log;
mod open;
mod snapshot;
mod table;
mod tx;

pub use log::Record;
pub use open::{STORE_CACHE_BYTES, StoreError};
pub use snapshot::Snapshot;
pub use table::Table;
pub use tx::Tx;

pub(crate) use batch::Batch;
pub(crate) use log::{CURSORS, Cursor, EVENTS};
pub(crate) use open::Store;
