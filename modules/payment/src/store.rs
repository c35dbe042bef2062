//! How charges are kept: the one place that knows both the stored and the contract's form.
//!
//! Of a card, `last_four` is all that is here to be filled in.

use currency_contract::{CurrencyCode, Money};
use modulith_kernel::{Fault, Ledger, Module, Snapshot, Table, Timestamp};
use payment_contract::{ChargeReference, ChargeState, TransactionId};
use serde::{Deserialize, Serialize};

use crate::Payment;

/// The charges, by what their charger calls them.
pub(crate) const CHARGES: Table<ChargeReference, StoredCharge> = Table::new("charges");

/// Enters every charge that was not given back.
pub(crate) fn keep(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
    let charges = ledger.account("charges");
    for (reference, charge) in snapshot.range(&CHARGES, .., usize::MAX)? {
        if let StoredCharge::Charged(transaction) = charge {
            charges.settled(reference, &[("total", &transaction.amount()?)]);
        }
    }
    Ok(())
}

/// What became of a charge.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StoredCharge {
    /// The money was taken.
    Charged(Transaction),
    /// The money was given back, or the charge called off before it was made.
    Refunded {
        /// What was given back; nothing when there was no charge yet.
        transaction: Option<Transaction>,
        /// When.
        at: Timestamp,
    },
}

/// Money taken from a card.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// The processor's number.
    pub(crate) id: TransactionId,
    currency: CurrencyCode,
    units: i64,
    nanos: i32,
    last_four: String,
    at: Timestamp,
}

impl Transaction {
    pub(crate) fn new(id: TransactionId, amount: &Money, last_four: &str, at: Timestamp) -> Self {
        Self {
            id,
            currency: amount.currency().clone(),
            units: amount.units(),
            nanos: amount.nanos(),
            last_four: last_four.to_string(),
            at,
        }
    }

    fn amount(&self) -> Result<Money, Fault> {
        let amount = Money::new(self.currency.clone(), self.units, self.nanos);
        amount.map_err(|error| Fault::Store {
            module: Payment::NAME.to_string(),
            reason: format!("transaction {}: {error}", self.id),
        })
    }

    fn into_state(self) -> Result<ChargeState, Fault> {
        Ok(ChargeState::Charged {
            amount: self.amount()?,
            transaction: self.id,
        })
    }
}

impl TryFrom<StoredCharge> for ChargeState {
    type Error = Fault;

    fn try_from(charge: StoredCharge) -> Result<Self, Fault> {
        match charge {
            StoredCharge::Charged(transaction) => transaction.into_state(),
            StoredCharge::Refunded { .. } => Ok(Self::Refunded),
        }
    }
}
