//! What is remembered: which orders' letters were taken on, and sent. Whom they go to is not.

use checkout_contract::OrderId;
use email_contract::SendConfirmation;
use modulith_kernel::{Fault, Ledger, Snapshot, Table, Timestamp, Tx};
use serde::{Deserialize, Serialize};

/// One row per letter.
const LETTERS: Table<OrderId, Letter> = Table::new("letters");

#[derive(Debug, Serialize, Deserialize)]
struct Letter {
    taken_on_at: Timestamp,
    sent_at: Option<Timestamp>,
}

/// Enters every letter that was sent, and as pending those that a flow is about to send.
pub(crate) fn keep(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
    let letters = ledger.account("letters");
    for (order, letter) in snapshot.range(&LETTERS, .., usize::MAX)? {
        if letter.sent_at.is_some() {
            letters.settled(order, &[]);
        }
    }
    for command in snapshot.commands_in_flow::<SendConfirmation>()? {
        letters.pending(command.order.id);
    }
    Ok(())
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
