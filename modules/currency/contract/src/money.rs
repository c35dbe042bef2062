//! Money: a currency, whole units and billionths of a unit.

use std::fmt;

use modulith_contract::Schema;
use serde::{Deserialize, Serialize};

use crate::CurrencyCode;

const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// An amount in one currency.
///
/// The value is `units + nanos / 10⁹`; both have the same sign and `|nanos| ≤ 999 999 999`, which
/// decoding checks too.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Schema)]
#[serde(try_from = "Parts")]
pub struct Money {
    currency: CurrencyCode,
    units: i64,
    nanos: i32,
}

/// Money as it arrives, before it is checked.
#[derive(Deserialize)]
struct Parts {
    currency: CurrencyCode,
    units: i64,
    nanos: i32,
}

impl TryFrom<Parts> for Money {
    type Error = InvalidMoney;

    fn try_from(parts: Parts) -> Result<Self, InvalidMoney> {
        Self::new(parts.currency, parts.units, parts.nanos)
    }
}

/// Numbers that are no amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidMoney {
    /// The nanos are not below one unit, or differ in sign from the units.
    Parts {
        /// Whole units as given.
        units: i64,
        /// Billionths as given.
        nanos: i32,
    },
    /// The result of a calculation does not fit 64 bits of units.
    TooLarge,
    /// Two amounts of different currencies were added.
    DifferentCurrencies,
}

impl fmt::Display for InvalidMoney {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parts { units, nanos } => write!(
                f,
                "{units} units and {nanos} nanos are no amount: expected the same sign and at most \
                 999999999 nanos"
            ),
            Self::TooLarge => f.write_str("the amount does not fit 64 bits of units"),
            Self::DifferentCurrencies => f.write_str("amounts of different currencies do not add"),
        }
    }
}

impl std::error::Error for InvalidMoney {}

/// Exact, with all nine digits behind the point, such as `USD 12.340000000`.
impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Both parts have the same sign, and units may be zero.
        let sign = if self.units < 0 || self.nanos < 0 {
            "-"
        } else {
            ""
        };
        let (units, nanos) = (self.units.unsigned_abs(), self.nanos.unsigned_abs());
        write!(f, "{} {sign}{units}.{nanos:09}", self.currency)
    }
}

impl Money {
    /// An amount.
    ///
    /// # Errors
    /// [`InvalidMoney::Parts`] when the signs differ or the nanos reach a whole unit.
    pub fn new(currency: CurrencyCode, units: i64, nanos: i32) -> Result<Self, InvalidMoney> {
        let signs_differ = (units > 0 && nanos < 0) || (units < 0 && nanos > 0);
        if signs_differ || nanos.unsigned_abs() > 999_999_999 {
            return Err(InvalidMoney::Parts { units, nanos });
        }
        Ok(Self {
            currency,
            units,
            nanos,
        })
    }

    /// Nothing, in a currency.
    pub fn zero(currency: CurrencyCode) -> Self {
        Self {
            currency,
            units: 0,
            nanos: 0,
        }
    }

    /// The currency.
    pub fn currency(&self) -> &CurrencyCode {
        &self.currency
    }

    /// Whole units.
    pub fn units(&self) -> i64 {
        self.units
    }

    /// Billionths of a unit beyond the whole ones.
    pub fn nanos(&self) -> i32 {
        self.nanos
    }

    /// The sum of two amounts of one currency.
    ///
    /// # Errors
    /// When the currencies differ, or the sum does not fit.
    pub fn plus(&self, other: &Self) -> Result<Self, InvalidMoney> {
        if self.currency != other.currency {
            return Err(InvalidMoney::DifferentCurrencies);
        }
        self.with_total(self.total_nanos() + other.total_nanos())
    }

    /// The amount, `count` times.
    ///
    /// # Errors
    /// When the product does not fit.
    pub fn times(&self, count: u32) -> Result<Self, InvalidMoney> {
        self.with_total(self.total_nanos() * i128::from(count))
    }

    fn total_nanos(&self) -> i128 {
        i128::from(self.units) * NANOS_PER_UNIT + i128::from(self.nanos)
    }

    fn with_total(&self, total: i128) -> Result<Self, InvalidMoney> {
        let units = i64::try_from(total / NANOS_PER_UNIT).map_err(|_| InvalidMoney::TooLarge)?;
        let nanos = i32::try_from(total % NANOS_PER_UNIT).expect("below one unit");
        Ok(Self {
            currency: self.currency.clone(),
            units,
            nanos,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(units: i64, nanos: i32) -> Money {
        Money::new(CurrencyCode::new("USD").unwrap(), units, nanos).unwrap()
    }

    #[test]
    fn parts_must_agree() {
        let usd = || CurrencyCode::new("USD").unwrap();
        assert!(Money::new(usd(), 1, -1).is_err());
        assert!(Money::new(usd(), -1, 1).is_err());
        assert!(Money::new(usd(), 0, 1_000_000_000).is_err());
        assert!(Money::new(usd(), 0, -999_999_999).is_ok());
        assert!(Money::new(usd(), 0, i32::MIN).is_err());
    }

    #[test]
    fn sums_carry_and_keep_one_sign() {
        assert_eq!(
            money(1, 600_000_000).plus(&money(2, 500_000_000)),
            Ok(money(4, 100_000_000))
        );
        assert_eq!(money(1, 0).plus(&money(0, -1)), Ok(money(0, 999_999_999)));
        assert_eq!(money(19, 990_000_000).times(3), Ok(money(59, 970_000_000)));
        assert_eq!(money(i64::MAX, 0).times(2), Err(InvalidMoney::TooLarge));
        let eur = Money::zero(CurrencyCode::new("EUR").unwrap());
        assert_eq!(
            money(1, 0).plus(&eur),
            Err(InvalidMoney::DifferentCurrencies)
        );
    }
}
