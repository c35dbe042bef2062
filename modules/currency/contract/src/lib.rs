//! All that others may know of currency: money, its codes, and conversion.

mod money;

use modulith_contract::{Id, Query, Refusal};
use serde::{Deserialize, Serialize};

pub use money::{InvalidMoney, Money};

/// An ISO 4217 code such as `USD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct CurrencyCode(String);

/// Lists the codes that money can be converted between.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "currency", reply = Vec<CurrencyCode>)]
pub struct ListCurrencies {}

/// Converts one amount.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "currency", reply = Money, refusal = ConvertRefusal)]
pub struct Convert {
    /// The amount to convert.
    pub from: Money,
    /// The currency to convert to.
    pub to: CurrencyCode,
}

/// Converts several amounts at once, each as [`Convert`] would; a page of prices is one message.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "currency", reply = Vec<Money>, refusal = ConvertRefusal)]
pub struct ConvertAll {
    /// The amounts to convert; the reply keeps their order.
    pub from: Vec<Money>,
    /// The currency to convert to.
    pub to: CurrencyCode,
}

/// Why an amount is not converted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum ConvertRefusal {
    /// There is no rate for a currency.
    #[refusal(invalid, "no exchange rate for {code}")]
    UnknownCurrency {
        /// The code without a rate.
        code: CurrencyCode,
    },
    /// The converted amount is larger than money can hold.
    #[refusal(invalid, "the amount is too large to convert to {to}")]
    AmountTooLarge {
        /// The currency asked for.
        to: CurrencyCode,
    },
}
