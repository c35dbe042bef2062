//! What is remembered: which orders' letters were sent. Whom they went to is not.

use checkout_contract::OrderId;
use modulith_kernel::{Fault, Snapshot, Table, Tx};
use serde::{Deserialize, Serialize};

/// One row per letter sent.
const SENT: Table<OrderId, Sent> = Table::new("sent");

#[derive(Debug, Serialize, Deserialize)]
struct Sent {
    /// Milliseconds since the Unix epoch.
    at_ms: u64,
}

pub(crate) fn is_sent(snapshot: &Snapshot, order: &OrderId) -> Result<bool, Fault> {
    Ok(snapshot.get(&SENT, order)?.is_some())
}

/// Notes that a letter was sent; the first note stands.
pub(crate) fn note_sent(tx: &mut Tx<'_>, order: &OrderId) -> Result<(), Fault> {
    if tx.get(&SENT, order)?.is_some() {
        return Ok(());
    }
    let sent = Sent { at_ms: tx.now().0 };
    tx.put(&SENT, order, &sent)
}
