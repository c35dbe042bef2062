//! All that others may know of payment: cards, charges and refunds.

mod card;

use currency_contract::Money;
use modulith_contract::{Command, Id, Query, Refusal, Schema, Secret};
use serde::{Deserialize, Serialize};

pub use card::{CardNumber, CreditCard, Cvv, InvalidCardNumber, passes_luhn};

/// What the charger calls a charge: one reference, one charge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct ChargeReference(String);

/// The processor's number for a charge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct TransactionId(String);

/// Charges a card. Sent twice with one reference, it charges once and returns the first
/// transaction.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "payment", key = reference, reply = TransactionId, refusal = ChargeRefusal)]
pub struct Charge {
    /// What the charger calls this charge.
    pub reference: ChargeReference,
    /// How much.
    pub amount: Money,
    /// The card; kept nowhere, so a charge that is sent again after a crash comes without it.
    pub card: Secret<CreditCard>,
}

/// Gives a charge back: the undo of [`Charge`].
///
/// Refunding twice, or what was never charged, changes nothing; a reference once refunded is
/// charged no more, so that an undo overtaking its charge wins.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "payment", key = reference)]
pub struct Refund {
    /// What the charger calls the charge.
    pub reference: ChargeReference,
}

/// Finds out what became of a charge; none when the reference is not known.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "payment", key = reference, reply = Option<ChargeState>)]
pub struct FindCharge {
    /// What the charger calls the charge.
    pub reference: ChargeReference,
}

/// What became of a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub enum ChargeState {
    /// The money was taken.
    Charged {
        /// The processor's number.
        transaction: TransactionId,
        /// How much.
        amount: Money,
    },
    /// The money was given back, or the charge called off before it was made.
    Refunded,
}

/// Why a card is not charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum ChargeRefusal {
    /// The number is no card's.
    #[refusal(invalid, "the card number is not valid")]
    InvalidCard,
    /// A card of a kind we do not take.
    #[refusal(precondition, "we accept VISA and Mastercard only")]
    UnacceptedType,
    /// The card's month has passed.
    #[refusal(precondition, "the card ending {last_four} expired in {month}/{year}")]
    Expired {
        /// The last four digits.
        last_four: String,
        /// The card's last month, 1 to 12.
        month: u8,
        /// Its year.
        year: u16,
    },
    /// The card was not sent: whoever asks was cut short by a crash before the first sending
    /// arrived, and cards are not kept. Nothing was charged.
    #[refusal(precondition, "the card is no longer known; give it again")]
    CardWithheld,
    /// The amount is below zero.
    #[refusal(invalid, "an amount below zero cannot be charged")]
    NegativeAmount,
    /// The charge was refunded before.
    #[refusal(precondition, "charge {reference} was refunded")]
    Refunded {
        /// The charger's reference.
        reference: ChargeReference,
    },
}
