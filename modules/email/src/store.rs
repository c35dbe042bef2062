//! What is remembered: which orders' letters were taken on, and sent. Whom they go to is not.

use checkout_contract::OrderId;
use modulith_kernel::{Fault, Table, Timestamp, Tx};
use serde::{Deserialize, Serialize};

/// One row per letter.
const LETTERS: Table<OrderId, Letter> = Table::new("letters");

#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    taken_on_at: Timestamp,
    sent_at: Option<Timestamp>,
}

/// Takes an order's letter on; false when it was before.
pub(crate) fn take_on(tx: &mut Tx<'_>, order: &OrderId) -> Result<bool, Fault> {
    if tx.get(&LETTERS, order)?.is_some() {
        return Ok(false);
    }
    let letter = Letter {
        taken_on_at: tx.now(),
        sent_at: None,
    };
    tx.put(&LETTERS, order, &letter)?;
    Ok(true)
}

/// Notes that a letter was sent.
pub(crate) fn note_sent(tx: &mut Tx<'_>, order: &OrderId) -> Result<(), Fault> {
    let taken_on_at = match tx.get(&LETTERS, order)? {
        Some(letter) => letter.taken_on_at,
        None => tx.now(),
    };
    let letter = Letter {
        taken_on_at,
        sent_at: Some(tx.now()),
    };
    tx.put(&LETTERS, order, &letter)
}
