//! Credit cards, which show nobody more than their last four digits.

use std::fmt;

use modulith_contract::{Schema, Shape};
use serde::{Deserialize, Serialize};

/// A card as its holder gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct CreditCard {
    /// The number on its front.
    pub number: CardNumber,
    /// The code on its back.
    pub cvv: Cvv,
    /// The year of its last month.
    pub expiration_year: u16,
    /// Its last month, 1 to 12.
    pub expiration_month: u8,
}

/// A card number: 12 to 19 digits. Printing it shows the last four.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct CardNumber(String);

impl CardNumber {
    /// Reads a number, leaving out spaces and dashes.
    ///
    /// # Errors
    /// Unless 12 to 19 digits remain. Whether they add up is [`passes_luhn`]'s to say.
    pub fn new(text: &str) -> Result<Self, InvalidCardNumber> {
        let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
        let fits = (12..=19).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if fits {
            Ok(Self(digits))
        } else {
            Err(InvalidCardNumber)
        }
    }

    /// All its digits. For deciding, never for storing or printing.
    pub fn digits(&self) -> &str {
        &self.0
    }

    /// The last four digits, which may be shown.
    pub fn last_four(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…{}", self.last_four())
    }
}

impl TryFrom<String> for CardNumber {
    type Error = InvalidCardNumber;

    fn try_from(text: String) -> Result<Self, InvalidCardNumber> {
        Self::new(&text)
    }
}

impl Schema for CardNumber {
    fn shape() -> Shape {
        Shape::Text
    }
}

/// A text that is no card number. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCardNumber;

impl fmt::Display for InvalidCardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a card number has 12 to 19 digits")
    }
}

impl std::error::Error for InvalidCardNumber {}

/// A card's security code. Printing it shows nothing.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
#[serde(transparent)]
pub struct Cvv(pub u16);

impl fmt::Debug for Cvv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Whether a row of digits passes the check of ISO/IEC 7812-1 (Luhn).
pub fn passes_luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| {
            let digit = u32::from(byte.wrapping_sub(b'0'));
            match (place % 2, digit) {
                (0, d) => d,
                (_, d) if d > 4 => d * 2 - 9,
                (_, d) => d * 2,
            }
        })
        .sum();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_may_be_grouped_and_print_four_digits() {
        let number = CardNumber::new("4432 8015-6152 0454").unwrap();
        assert_eq!(number.digits(), "4432801561520454");
        assert_eq!(format!("{number:?}"), "…0454");
        assert_eq!(format!("{:?}", Cvv(672)), "…");
        for bad in [
            "",
            "1234",
            "44328015615204x4",
            "12345678901234567890",
            "４４３２８０１５６１５２",
        ] {
            assert_eq!(CardNumber::new(bad), Err(InvalidCardNumber), "{bad}");
        }
    }

    #[test]
    fn luhn_tells_a_slip_of_one_digit() {
        assert!(passes_luhn("4432801561520454"));
        assert!(!passes_luhn("4432801561520455"));
        assert!(!passes_luhn(""));
        assert!(!passes_luhn("44x2"));
    }
}
