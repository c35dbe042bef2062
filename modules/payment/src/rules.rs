//! Which cards are accepted, and what a transaction number looks like.
//!
//! Pure rules: charges are kept by `store`, messages handled by `module`.

use currency_contract::Money;
use payment_contract::{CardNumber, ChargeRefusal, CreditCard, TransactionId, passes_luhn};

/// How many digits the numbers we accept have. VISA once issued 13; SHOP.md takes 16 only.
const DIGITS: usize = 16;

/// Prefixes of VISA Electron, a debit card that must be checked on-line, which we cannot.
const ELECTRON_PREFIXES: [&str; 6] = ["4026", "417500", "4508", "4844", "4913", "4917"];

/// Whether an amount may be charged to a card in a month, given as year and month.
pub(crate) fn check(
    amount: &Money,
    card: &CreditCard,
    today: (i64, u8),
) -> Result<(), ChargeRefusal> {
    if amount.units() < 0 || amount.nanos() < 0 {
        return Err(ChargeRefusal::NegativeAmount);
    }
    let CreditCard {
        number,
        expiration_year: year,
        expiration_month: month,
        ..
    } = card;
    if !passes_luhn(number.digits()) || !(1..=12).contains(month) {
        return Err(ChargeRefusal::InvalidCard);
    }
    if !is_accepted(number) {
        return Err(ChargeRefusal::UnacceptedType);
    }
    if today > (i64::from(*year), *month) {
        let last_four = number.last_four().to_string();
        return Err(ChargeRefusal::Expired {
            last_four,
            month: *month,
            year: *year,
        });
    }
    Ok(())
}

fn is_accepted(number: &CardNumber) -> bool {
    let digits = number.digits();
    digits.len() == DIGITS && (is_visa(digits) || is_mastercard(digits))
}

fn is_visa(digits: &str) -> bool {
    let is_electron = ELECTRON_PREFIXES
        .iter()
        .any(|prefix| digits.starts_with(prefix));
    digits.starts_with('4') && !is_electron
}

/// Text of one length compares as the numbers do.
fn is_mastercard(digits: &str) -> bool {
    let prefix = &digits[..4];
    ("5100"..="5599").contains(&prefix) || ("2221"..="2720").contains(&prefix)
}

/// A transaction number: a version 4 UUID (RFC 9562 section 5.4).
pub(crate) fn transaction_id(random: u128) -> TransactionId {
    const VERSION: u128 = 0xf << 76;
    const VARIANT: u128 = 0b11 << 62;
    let bits = random & !(VERSION | VARIANT) | 4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let (a, b, c, d, e) = (
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    );
    TransactionId::new(format!("{a}-{b}-{c}-{d}-{e}")).expect("a UUID is a plain id")
}

#[cfg(test)]
mod tests {
    use currency_contract::CurrencyCode;
    use payment_contract::Cvv;

    use super::*;

    const TODAY: (i64, u8) = (2026, 11);

    #[test]
    fn visa_and_mastercard_of_sixteen_digits_are_accepted() {
        for number in [
            "4432 8015 6152 0454", // VISA
            "4111 1111 1111 1111",
            "5100 0000 0000 0008", // The ends of Mastercard's two ranges.
            "5599 9999 9999 9997",
            "2221 0000 0000 0009",
            "2720 9999 9999 9996",
        ] {
            assert_eq!(check(&usd(1, 0), &card(number), TODAY), Ok(()), "{number}");
        }
    }

    #[test]
    fn cards_of_other_kinds_are_not() {
        for number in [
            "3782 822463 10005",       // American Express
            "6011 1111 1111 1117",     // Discover
            "4222 2222 2222 2",        // VISA of thirteen digits
            "4999 9999 9999 9999 902", // and of nineteen
            "5000 0000 0000 0009",     // Beside Mastercard's ranges.
            "5600 0000 0000 0003",
            "2220 9999 9999 9991",
            "2721 0000 0000 0004",
        ] {
            assert!(passes_luhn(card(number).number.digits()), "{number}");
            let refusal = check(&usd(1, 0), &card(number), TODAY);
            assert_eq!(refusal, Err(ChargeRefusal::UnacceptedType), "{number}");
        }
    }

    #[test]
    fn visa_electron_is_not() {
        for prefix in ELECTRON_PREFIXES {
            let number = with_check_digit(prefix);
            let refusal = check(&usd(1, 0), &card(&number), TODAY);
            assert_eq!(refusal, Err(ChargeRefusal::UnacceptedType), "{number}");
        }
        let beside = with_check_digit("417501");
        assert_eq!(check(&usd(1, 0), &card(&beside), TODAY), Ok(()));
    }

    #[test]
    fn a_slip_of_one_digit_is_no_card() {
        let refusal = check(&usd(1, 0), &card("4432 8015 6152 0455"), TODAY);
        assert_eq!(refusal, Err(ChargeRefusal::InvalidCard));
    }

    #[test]
    fn a_card_is_good_to_the_end_of_its_month() {
        let until = |year, month| CreditCard {
            expiration_year: year,
            expiration_month: month,
            ..card("4432 8015 6152 0454")
        };
        for (year, month) in [(2026, 11), (2026, 12), (2027, 1)] {
            assert_eq!(check(&usd(1, 0), &until(year, month), TODAY), Ok(()));
        }
        for (year, month) in [(2026, 10), (2025, 12), (26, 12)] {
            let expired = ChargeRefusal::Expired {
                last_four: "0454".to_string(),
                month,
                year,
            };
            assert_eq!(check(&usd(1, 0), &until(year, month), TODAY), Err(expired));
        }
        for month in [0, 13, 255] {
            let refusal = check(&usd(1, 0), &until(2030, month), TODAY);
            assert_eq!(refusal, Err(ChargeRefusal::InvalidCard));
        }
    }

    #[test]
    fn nothing_can_be_charged_but_not_less() {
        let visa = card("4432 8015 6152 0454");
        assert_eq!(check(&usd(0, 0), &visa, TODAY), Ok(()));
        for amount in [usd(-1, 0), usd(0, -1), usd(-1, -1)] {
            assert_eq!(
                check(&amount, &visa, TODAY),
                Err(ChargeRefusal::NegativeAmount)
            );
        }
    }

    #[test]
    fn transaction_numbers_are_version_4_uuids() {
        let of = |random| transaction_id(random).to_string();
        assert_eq!(of(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(of(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(
            of(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            "01234567-89ab-4def-8123-456789abcdef"
        );
    }

    /// A sixteen-digit number that begins with `prefix` and passes Luhn's check.
    fn with_check_digit(prefix: &str) -> String {
        (0..10)
            .map(|digit| format!("{prefix:0<15}{digit}"))
            .find(|number| passes_luhn(number))
            .unwrap()
    }

    fn card(number: &str) -> CreditCard {
        CreditCard {
            number: CardNumber::new(number).unwrap(),
            cvv: Cvv(672),
            expiration_year: 2030,
            expiration_month: 1,
        }
    }

    fn usd(units: i64, nanos: i32) -> Money {
        Money::new(CurrencyCode::new("USD").unwrap(), units, nanos).unwrap()
    }
}
