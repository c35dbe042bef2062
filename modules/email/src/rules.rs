//! What the letter says: plain text that reads well in any mail program.
//!
//! Amounts are rounded as the order page rounds them, so that page and letter agree.

use std::fmt::Write;

use checkout_contract::{Order, OrderItem};
use currency_contract::Money;

/// What stands in the subject line. An order number is plain ASCII without spaces.
pub(crate) fn subject(order: &Order) -> String {
    format!("Your order {} is on its way", order.id)
}

/// The whole text of the letter.
pub(crate) fn text(order: &Order) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    _ = write_text(&mut text, order);
    text
}

fn write_text(out: &mut String, order: &Order) -> std::fmt::Result {
    writeln!(out, "Thank you for your order!")?;
    writeln!(
        out,
        "It is paid and packed. Here is all you need to find it again."
    )?;
    writeln!(out)?;
    writeln!(out, "Order number:     {}", order.id)?;
    writeln!(out, "Tracking number:  {}", order.tracking)?;
    writeln!(out)?;
    writeln!(out, "What you bought")?;
    writeln!(out, "---------------")?;
    let sums = Sums::of(order);
    for (line, sum) in order.items.iter().zip(&sums.lines) {
        let what = format!("{} x {}", line.item.quantity, line.item.product);
        let apiece = format!("at {}", amount(&line.cost));
        writeln!(
            out,
            "{what:<24}  {apiece:<20}  {sum:>width$}",
            width = sums.width
        )?;
    }
    // As wide as the two columns before the sums, and the gap between them.
    writeln!(
        out,
        "{:<46}  {:>width$}",
        "Shipping",
        sums.shipping,
        width = sums.width
    )?;
    writeln!(
        out,
        "{:<46}  {:>width$}",
        "Total",
        sums.total,
        width = sums.width
    )?;
    writeln!(out)?;
    writeln!(out, "Where it goes")?;
    writeln!(out, "-------------")?;
    let address = &order.address;
    writeln!(out, "{}", one_line(&address.street))?;
    let (city, state) = (one_line(&address.city), one_line(&address.state));
    writeln!(out, "{city}, {state} {:05}", address.zip_code)?;
    writeln!(out, "{}", one_line(&address.country))?;
    writeln!(out)?;
    writeln!(
        out,
        "If something is not as it should be, tell us your order number."
    )?;
    writeln!(out, "The Boutique")
}

/// The right-hand column, which is as wide as its widest amount.
struct Sums {
    lines: Vec<String>,
    shipping: String,
    total: String,
    width: usize,
}

impl Sums {
    fn of(order: &Order) -> Self {
        let lines: Vec<_> = order.items.iter().map(line_sum).collect();
        let (shipping, total) = (amount(&order.shipping_cost), amount(&order.total));
        let all = lines.iter().chain([&shipping, &total]);
        let width = all.map(String::len).max().unwrap_or_default();
        Self {
            lines,
            shipping,
            total,
            width,
        }
    }
}

/// What a line comes to. An order whose total fits has no line that does not.
fn line_sum(line: &OrderItem) -> String {
    line.cost
        .times(line.item.quantity.get())
        .map_or_else(|_| String::from("?"), |sum| amount(&sum))
}

/// An amount with its code, such as `17.68 EUR`: half a cent rounds away from zero, and yen have
/// no cents.
fn amount(money: &Money) -> String {
    let exact = i128::from(money.units()) * 1_000_000_000 + i128::from(money.nanos());
    let (sign, exact) = if exact < 0 {
        ("-", -exact)
    } else {
        ("", exact)
    };
    let currency = money.currency();
    if currency.as_str() == "JPY" {
        return format!("{sign}{} {currency}", (exact + 500_000_000) / 1_000_000_000);
    }
    let cents = (exact + 5_000_000) / 10_000_000;
    format!("{sign}{}.{:02} {currency}", cents / 100, cents % 100)
}

/// A text without line breaks or other control characters: an address must not be able to
/// pretend that it is another part of the letter.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::num::NonZeroU32;

    use cart_contract::{CartItem, ShopperId};
    use catalog_contract::ProductId;
    use checkout_contract::OrderId;
    use currency_contract::CurrencyCode;
    use modulith_kernel::Timestamp;
    use shipping_contract::{Address, TrackingId};

    use super::*;

    fn money(currency: &str, units: i64, nanos: i32) -> Money {
        Money::new(CurrencyCode::new(currency).unwrap(), units, nanos).unwrap()
    }

    fn line(product: &str, quantity: u32, units: i64) -> OrderItem {
        OrderItem {
            item: CartItem {
                product: ProductId::new(product).unwrap(),
                quantity: NonZeroU32::new(quantity).unwrap(),
            },
            cost: money("USD", units, 990_000_000),
        }
    }

    pub(crate) fn order() -> Order {
        Order {
            id: OrderId::new("0f8fad5b-d9cd-469f-a165-70867728950e").unwrap(),
            shopper: ShopperId::new("shopper-1").unwrap(),
            tracking: TrackingId::new("AB-12345-678901234").unwrap(),
            shipping_cost: money("USD", 8, 990_000_000),
            address: Address {
                street: "1600 Amphitheatre Parkway".to_string(),
                city: "Mountain View".to_string(),
                state: "CA".to_string(),
                country: "United States".to_string(),
                zip_code: 94043,
            },
            items: vec![line("6E92ZMYYFZ", 2, 8), line("1YMWWN1N4O", 1, 109)],
            total: money("USD", 136, 960_000_000),
            placed_at: Timestamp(0),
        }
    }

    #[test]
    fn the_letter_says_all_there_is_to_know() {
        assert_eq!(
            text(&order()),
            "\
Thank you for your order!
It is paid and packed. Here is all you need to find it again.

Order number:     0f8fad5b-d9cd-469f-a165-70867728950e
Tracking number:  AB-12345-678901234

What you bought
---------------
2 x 6E92ZMYYFZ            at 8.99 USD            17.98 USD
1 x 1YMWWN1N4O            at 109.99 USD         109.99 USD
Shipping                                          8.99 USD
Total                                           136.96 USD

Where it goes
-------------
1600 Amphitheatre Parkway
Mountain View, CA 94043
United States

If something is not as it should be, tell us your order number.
The Boutique
"
        );
    }

    #[test]
    fn amounts_round_as_on_the_order_page() {
        for (money, expected) in [
            (money("EUR", 17, 682_441_398), "17.68 EUR"),
            (money("USD", 999, 995_000_000), "1000.00 USD"),
            (money("USD", 0, 4_999_999), "0.00 USD"),
            (money("JPY", 12_297, 864_661_691), "12298 JPY"),
            (money("USD", -1, -500_000_000), "-1.50 USD"),
            (money("USD", i64::MIN, 0), "-9223372036854775808.00 USD"),
        ] {
            assert_eq!(amount(&money), expected);
        }
    }

    #[test]
    fn a_zip_code_has_five_digits() {
        let mut order = order();
        order.address.zip_code = 501;
        assert!(text(&order).contains("Mountain View, CA 00501\n"));
    }

    #[test]
    fn an_address_cannot_break_out_of_its_line() {
        let mut order = order();
        let before = text(&order).lines().count();
        order.address.street = "1 Main Street\r\nTotal: nothing\u{85}at all".to_string();
        let text = text(&order);
        assert_eq!(text.lines().count(), before);
        assert!(text.contains("1 Main Street  Total: nothing at all\n"));
    }
}
