//! Rates, and the arithmetic of conversion.
//!
//! The figures agree to the last digit with the shop that this one is compared with, so the steps
//! and their order are fixed: IEEE doubles, through the euro, rounded once on the way there and
//! cut off at the end.

use currency_contract::{ConvertRefusal, CurrencyCode, Money};

/// Billionths in a unit.
const NANOS_PER_UNIT: f64 = 1e9;

/// The first number of units that an `i64` cannot hold. A power of two, so a double is exact.
const UNITS_END: f64 = 9_223_372_036_854_775_808.0;

/// How much of each currency one euro buys, in the order the shop lists them.
const RATES: [(&str, f64); 33] = [
    ("EUR", 1.0),
    ("USD", 1.1305),
    ("JPY", 126.40),
    ("BGN", 1.9558),
    ("CZK", 25.592),
    ("DKK", 7.4609),
    ("GBP", 0.85970),
    ("HUF", 315.51),
    ("PLN", 4.2996),
    ("RON", 4.7463),
    ("SEK", 10.5375),
    ("CHF", 1.1360),
    ("ISK", 136.80),
    ("NOK", 9.8040),
    ("HRK", 7.4210),
    ("RUB", 74.4208),
    ("TRY", 6.1247),
    ("AUD", 1.6072),
    ("BRL", 4.2682),
    ("CAD", 1.5128),
    ("CNY", 7.5857),
    ("HKD", 8.8743),
    ("IDR", 15999.40),
    ("ILS", 4.0875),
    ("INR", 79.4320),
    ("KRW", 1275.05),
    ("MXN", 21.7999),
    ("MYR", 4.6289),
    ("NZD", 1.6679),
    ("PHP", 59.083),
    ("SGD", 1.5349),
    ("THB", 36.012),
    ("ZAR", 16.0583),
];

/// The codes that have a rate.
pub(crate) fn codes() -> impl Iterator<Item = &'static str> {
    RATES.iter().map(|&(code, _)| code)
}

/// Converts several amounts to one currency.
pub(crate) fn convert_all(from: &[Money], to: &CurrencyCode) -> Result<Vec<Money>, ConvertRefusal> {
    // Looked up here as well, so that an unknown code is refused even with nothing to convert.
    rate(to)?;
    from.iter().map(|amount| convert(amount, to)).collect()
}

/// Converts one amount. One below zero converts as the same amount above it does.
pub(crate) fn convert(from: &Money, to: &CurrencyCode) -> Result<Money, ConvertRefusal> {
    let (from_rate, to_rate) = (rate(from.currency())?, rate(to)?);
    let sign = if from.units() < 0 || from.nanos() < 0 {
        -1
    } else {
        1
    };
    let (units, nanos) = ((from.units() as f64).abs(), f64::from(from.nanos()).abs());

    let (euro_units, euro_nanos) = carry(units / from_rate, nanos / from_rate);
    let (units, nanos) = carry(euro_units * to_rate, euro_nanos.round() * to_rate);

    let too_large = || ConvertRefusal::AmountTooLarge { to: to.clone() };
    // Written so that a NaN is refused too.
    if !(units < UNITS_END && nanos < NANOS_PER_UNIT) {
        return Err(too_large());
    }
    Money::new(to.clone(), sign * units as i64, sign as i32 * nanos as i32).map_err(|_| too_large())
}

fn rate(code: &CurrencyCode) -> Result<f64, ConvertRefusal> {
    RATES
        .iter()
        .find(|(known, _)| *known == code.as_str())
        .map(|&(_, rate)| rate)
        .ok_or_else(|| ConvertRefusal::UnknownCurrency { code: code.clone() })
}

/// Moves what is below one unit into the nanos, and full units out of them.
fn carry(units: f64, nanos: f64) -> (f64, f64) {
    let nanos = nanos + units.fract() * NANOS_PER_UNIT;
    (
        units.floor() + (nanos / NANOS_PER_UNIT).floor(),
        nanos % NANOS_PER_UNIT,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: &str) -> CurrencyCode {
        CurrencyCode::new(code).unwrap()
    }

    fn money(currency: &str, units: i64, nanos: i32) -> Money {
        Money::new(code(currency), units, nanos).unwrap()
    }

    #[test]
    fn dollars_convert_to_the_golden_figures() {
        for (price, to, units, nanos) in [
            ((19, 990_000_000), "EUR", 17, 682_441_398),
            ((19, 990_000_000), "CAD", 26, 749_997_346),
            ((19, 990_000_000), "JPY", 2235, 60_592_707),
            ((19, 990_000_000), "GBP", 15, 201_594_869),
            ((19, 990_000_000), "TRY", 108, 299_648_830),
            ((19, 990_000_000), "USD", 19, 990_000_000),
            ((109, 990_000_000), "EUR", 97, 293_233_083),
            ((109, 990_000_000), "JPY", 12297, 864_661_691),
            ((109, 990_000_000), "USD", 109, 990_000_000),
        ] {
            let dollars = money("USD", price.0, price.1);
            assert_eq!(
                convert(&dollars, &code(to)),
                Ok(money(to, units, nanos)),
                "{price:?}"
            );
        }
    }

    #[test]
    fn every_price_of_the_catalog_stays_itself_in_dollars() {
        for (units, cents) in [
            (19, 99),
            (18, 99),
            (109, 99),
            (89, 99),
            (24, 99),
            (18, 49),
            (5, 49),
            (8, 99),
        ] {
            let price = money("USD", units, cents * 10_000_000);
            assert_eq!(convert(&price, &code("USD")), Ok(price));
        }
    }

    #[test]
    fn an_amount_below_zero_mirrors_the_one_above() {
        assert_eq!(
            convert(&money("USD", -19, -990_000_000), &code("EUR")),
            Ok(money("EUR", -17, -682_441_398))
        );
        assert_eq!(
            convert(&money("EUR", 0, -500_000_000), &code("USD")),
            Ok(money("USD", 0, -565_250_000))
        );
        assert_eq!(
            convert(&money("EUR", 0, 0), &code("USD")),
            Ok(money("USD", 0, 0))
        );
    }

    #[test]
    fn an_unknown_code_is_refused_on_either_side() {
        let unknown = Err(ConvertRefusal::UnknownCurrency { code: code("XTS") });
        assert_eq!(convert(&money("XTS", 1, 0), &code("EUR")), unknown);
        assert_eq!(convert(&money("EUR", 1, 0), &code("XTS")), unknown);
        assert_eq!(
            convert_all(&[], &code("XTS")),
            Err(ConvertRefusal::UnknownCurrency { code: code("XTS") })
        );
        assert!(convert(&money("eur", 1, 0), &code("EUR")).is_err());
    }

    #[test]
    fn an_amount_that_does_not_fit_is_refused() {
        for amount in [
            money("EUR", i64::MAX, 999_999_999),
            money("EUR", i64::MIN, -999_999_999),
            money("EUR", i64::MAX / 15_000, 0),
        ] {
            assert_eq!(
                convert(&amount, &code("IDR")),
                Err(ConvertRefusal::AmountTooLarge { to: code("IDR") }),
                "{amount:?}"
            );
        }
        assert!(convert(&money("EUR", i64::MAX / 17_000, 0), &code("IDR")).is_ok());
    }

    #[test]
    fn the_result_is_always_money_between_any_two_currencies() {
        for from in codes() {
            for to in codes() {
                for units in [0, 1, 7, 999, 1 << 40] {
                    for nanos in [0, 1, 499_999_999, 999_999_999] {
                        let amount = money(from, units, nanos);
                        assert!(convert(&amount, &code(to)).is_ok(), "{amount:?} to {to}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_code_is_an_id_and_listed_once() {
        let mut seen = std::collections::BTreeSet::new();
        for known in codes() {
            assert!(
                CurrencyCode::new(known).is_ok() && seen.insert(known),
                "{known}"
            );
        }
    }
}
