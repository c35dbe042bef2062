//! Currency alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use currency::Currency;
use currency_contract::{Convert, ConvertAll, ConvertRefusal, CurrencyCode, ListCurrencies, Money};
use modulith_kernel::Stop;
use modulith_testkit::World;

fn code(code: &str) -> CurrencyCode {
    CurrencyCode::new(code).unwrap()
}

fn money(currency: &str, units: i64, nanos: i32) -> Money {
    Money::new(code(currency), units, nanos).unwrap()
}

#[test]
fn the_codes_are_listed_in_the_shops_order() {
    World::of::<Currency>(()).run(async |world: &World| {
        let codes = world.ask(ListCurrencies {}).await.unwrap();
        let codes: Vec<_> = codes.iter().map(CurrencyCode::as_str).collect();
        assert_eq!(
            codes.join(" "),
            "EUR USD JPY BGN CZK DKK GBP HUF PLN RON SEK CHF ISK NOK HRK RUB TRY AUD BRL CAD CNY \
             HKD IDR ILS INR KRW MXN MYR NZD PHP SGD THB ZAR"
        );
    });
}

#[test]
fn an_amount_is_converted() {
    World::of::<Currency>(()).run(async |world: &World| {
        let convert = Convert {
            from: money("USD", 19, 990_000_000),
            to: code("EUR"),
        };
        assert_eq!(world.ask(convert).await, Ok(money("EUR", 17, 682_441_398)));
    });
}

#[test]
fn several_amounts_are_converted_in_their_order() {
    World::of::<Currency>(()).run(async |world: &World| {
        let from = vec![
            money("USD", 109, 990_000_000),
            money("USD", 19, 990_000_000),
        ];
        assert_eq!(
            world
                .ask(ConvertAll {
                    from,
                    to: code("JPY")
                })
                .await,
            Ok(vec![
                money("JPY", 12297, 864_661_691),
                money("JPY", 2235, 60_592_707)
            ])
        );
    });
}

#[test]
fn an_unknown_code_and_too_large_an_amount_are_refused() {
    World::of::<Currency>(()).run(async |world: &World| {
        let unknown = Convert {
            from: money("USD", 1, 0),
            to: code("XTS"),
        };
        assert_eq!(
            world.ask(unknown).await,
            Err(Stop::Refused(ConvertRefusal::UnknownCurrency {
                code: code("XTS")
            }))
        );
        let large = ConvertAll {
            from: vec![money("EUR", i64::MAX, 0)],
            to: code("IDR"),
        };
        assert_eq!(
            world.ask(large).await,
            Err(Stop::Refused(ConvertRefusal::AmountTooLarge {
                to: code("IDR")
            }))
        );
    });
}
