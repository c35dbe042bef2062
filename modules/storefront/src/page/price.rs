//! Money as a shopper reads it. The exact amount stays with whoever computes; this only writes.

/// Digits after the decimal point in a currency whose minor unit is a hundredth.
const CENT_DIGITS: usize = 2;

/// Writes an amount for people, such as `€17.68`, `¥2,235` or `CHF 1,204.50`.
///
/// Rounds half up (away from zero) to the hundredth, for yen to the whole unit. Currencies the
/// shop offers get their symbol; any other its code and a non-breaking space. `units` and `nanos`
/// carry the same sign, which comes first: `-$1.50`.
pub fn price(currency_code: &str, units: i64, nanos: i32) -> String {
    let digits = if currency_code == "JPY" {
        0
    } else {
        CENT_DIGITS
    };
    let step = 10_i128.pow(9 - digits as u32);
    let exact = i128::from(units) * 1_000_000_000 + i128::from(nanos);
    let rounded = (exact.unsigned_abs() as i128 + step / 2) / step;

    let scale = 10_i128.pow(digits as u32);
    let sign = if exact < 0 && rounded != 0 { "-" } else { "" };
    let whole = grouped(rounded / scale);
    let symbol = symbol(currency_code);
    let mark = symbol.map_or_else(|| format!("{currency_code}\u{a0}"), str::to_owned);
    match digits {
        0 => format!("{sign}{mark}{whole}"),
        _ => format!("{sign}{mark}{whole}.{:0digits$}", rounded % scale),
    }
}

/// The sign for a currency the shop offers. Canadian dollars say whose they are.
pub(super) fn symbol(currency_code: &str) -> Option<&'static str> {
    Some(match currency_code {
        "EUR" => "€",
        "USD" => "$",
        "JPY" => "¥",
        "GBP" => "£",
        "TRY" => "₺",
        "CAD" => "CA$",
        _ => return None,
    })
}

/// Decimal digits with a comma between groups of three.
fn grouped(number: i128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::price;

    #[test]
    fn offered_currencies_show_their_symbol() {
        assert_eq!(price("EUR", 17, 682_441_398), "€17.68");
        assert_eq!(price("USD", 19, 990_000_000), "$19.99");
        assert_eq!(price("GBP", 15, 201_594_869), "£15.20");
        assert_eq!(price("TRY", 108, 299_648_830), "₺108.30");
        assert_eq!(price("CAD", 26, 749_997_346), "CA$26.75");
    }

    #[test]
    fn yen_have_no_decimals() {
        assert_eq!(price("JPY", 2235, 60_592_707), "¥2,235");
        assert_eq!(price("JPY", 12_297, 864_661_691), "¥12,298");
    }

    #[test]
    fn any_other_currency_shows_its_code() {
        assert_eq!(price("CHF", 1204, 500_000_000), "CHF\u{a0}1,204.50");
    }

    #[test]
    fn half_a_cent_rounds_up_and_carries() {
        assert_eq!(price("USD", 0, 4_999_999), "$0.00");
        assert_eq!(price("USD", 0, 5_000_000), "$0.01");
        assert_eq!(price("USD", 999, 995_000_000), "$1,000.00");
    }

    #[test]
    fn large_and_negative_amounts_stay_readable() {
        assert_eq!(price("USD", 1_234_567, 0), "$1,234,567.00");
        assert_eq!(
            price("USD", i64::MAX, 999_999_999),
            "$9,223,372,036,854,775,808.00"
        );
        assert_eq!(price("USD", -1, -500_000_000), "-$1.50");
        assert_eq!(price("USD", 0, -1), "$0.00");
    }
}
