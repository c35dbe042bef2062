//! How charges are kept: the one place that knows both the stored and the contract's form.
//!
//! Of a card, `last_four` is all that is here to be filled in.

use currency_contract::{CurrencyCode, Money};
use modulith_kernel::{Fault, Module, Table, Timestamp};
use payment_contract::{ChargeReference, ChargeState, TransactionId};
use serde::{Deserialize, Serialize};

use crate::Payment;

/// The charges, by what their charger calls them.
pub(crate) const CHARGES: Table<ChargeReference, StoredCharge> = Table::new("charges");

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

    fn into_state(self) -> Result<ChargeState, Fault> {
        let amount = Money::new(self.currency, self.units, self.nanos);
        let amount = amount.map_err(|error| Fault::Store {
            module: Payment::NAME.to_string(),
            reason: format!("transaction {}: {error}", self.id),
        })?;
        Ok(ChargeState::Charged {
            transaction: self.id,
            amount,
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
