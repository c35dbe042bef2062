//! The letter as a mail server takes it: headers and text by RFC 5322.
//!
//! No header can be injected: the sender is checked at the start, and the addressee and the order
//! number are of types that hold no line break. A test below tries anyway.

use std::time::{Duration, UNIX_EPOCH};

use checkout_contract::{EmailAddress, Order, OrderId};
use email_contract::SendConfirmation;
use lettre::{
    Address, Message as Letter,
    message::{
        Mailbox,
        header::{ContentType, HeaderName, HeaderValue, MIME_VERSION_1_0},
    },
};
use modulith_kernel::{Fault, Message, Timestamp};

use crate::rules;

/// The last moment a `Date` header has room for: the end of the year 9999.
const DATE_MAX: Timestamp = Timestamp(253_402_300_799_999);

/// Writes the letter.
///
/// It is the same letter, with the same `Message-ID`, however often an order's letter is written;
/// a mail program that gets it twice shows it once.
pub(crate) fn write(
    from: &Mailbox,
    to: &EmailAddress,
    order: &Order,
    now: Timestamp,
) -> Result<Letter, Fault> {
    // The error may hold the address, which belongs in no log; so it goes no further.
    let to: Address = to
        .as_str()
        .parse()
        .map_err(|_| unwritable("no mail goes to the address"))?;
    let date = UNIX_EPOCH + Duration::from_millis(now.min(DATE_MAX).0);
    Letter::builder()
        .from(from.clone())
        .to(Mailbox::new(None, to))
        .subject(rules::subject(order))
        .date(date)
        .message_id(Some(format!(
            "<{}@{}>",
            atom(&order.id),
            from.email.domain()
        )))
        .raw_header(auto_submitted())
        .header(MIME_VERSION_1_0)
        .header(ContentType::TEXT_PLAIN)
        .body(rules::text(order))
        .map_err(|error| unwritable(&error.to_string()))
}

/// Tells other machines not to reply, by RFC 3834.
fn auto_submitted() -> HeaderValue {
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    HeaderValue::new(name, "auto-generated".to_string())
}

/// The order number with what may not stand in a `Message-ID` (RFC 5322 section 3.6.4) written
/// out as a number.
fn atom(order: &OrderId) -> String {
    order.as_str().replace('.', "=2E").replace(':', "=3A")
}

fn unwritable(reason: &str) -> Fault {
    let message = format!("{}.{}", SendConfirmation::MODULE, SendConfirmation::NAME);
    Fault::Malformed {
        message,
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::tests::order;

    const NOON: Timestamp = Timestamp(1_795_435_200_000);

    fn written(from: &str, order: &Order, now: Timestamp) -> String {
        let to = EmailAddress::new("someone@example.com").unwrap();
        let letter = write(&from.parse().unwrap(), &to, order, now).unwrap();
        String::from_utf8(letter.formatted()).unwrap()
    }

    /// The letter's header lines, in order of their names.
    fn headers(letter: &str) -> Vec<&str> {
        let mut lines: Vec<_> = letter
            .split("\r\n\r\n")
            .next()
            .unwrap()
            .split("\r\n")
            .collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn a_letter_has_every_header_it_needs() {
        let letter = written("The Boutique <orders@boutique.example>", &order(), NOON);
        assert_eq!(
            headers(&letter),
            [
                "Auto-Submitted: auto-generated",
                "Content-Transfer-Encoding: 7bit",
                "Content-Type: text/plain; charset=utf-8",
                "Date: Mon, 23 Nov 2026 12:00:00 +0000",
                "From: \"The Boutique\" <orders@boutique.example>",
                "MIME-Version: 1.0",
                "Message-ID: <0f8fad5b-d9cd-469f-a165-70867728950e@boutique.example>",
                "Subject: Your order 0f8fad5b-d9cd-469f-a165-70867728950e is on its way",
                "To: someone@example.com",
            ]
        );
        let text = letter.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(text.replace("\r\n", "\n"), rules::text(&order()));
    }

    #[test]
    fn nothing_in_an_order_can_add_a_header() {
        let mut order = order();
        let before = headers(&written("orders@boutique.example", &order, NOON)).len();
        let evil = "x\r\nBcc: everyone@example.com\r\n\r\n.\r\nQUIT\r\n";
        order.address.street = evil.to_string();
        order.address.city = evil.to_string();
        order.address.country = evil.to_string();
        let letter = written("orders@boutique.example", &order, NOON);
        assert_eq!(headers(&letter).len(), before);
        assert!(
            !letter.contains("\r\nBcc") && !letter.contains("\r\n.\r\n"),
            "{letter}"
        );
    }

    #[test]
    fn a_name_in_another_script_keeps_the_letter_ascii() {
        let mut order = order();
        order.address.city = "Zürich 東京".to_string();
        let letter = written("Bøutique <orders@boutique.example>", &order, NOON);
        assert!(letter.is_ascii());
        assert!(letter.contains("From: =?utf-8?b?"), "{letter}");
    }

    #[test]
    fn an_order_number_makes_a_message_id_of_plain_atoms() {
        let mut order = order();
        order.id = OrderId::new("..a:b").unwrap();
        let letter = written("orders@boutique.example", &order, NOON);
        assert!(
            letter.contains("Message-ID: <=2E=2Ea=3Ab@boutique.example>"),
            "{letter}"
        );
    }

    #[test]
    fn a_time_beyond_all_dates_is_the_last_one() {
        let letter = written("orders@boutique.example", &order(), Timestamp(u64::MAX));
        assert!(
            letter.contains("Date: Fri, 31 Dec 9999 23:59:59 +0000"),
            "{letter}"
        );
    }

    #[test]
    fn an_address_that_cannot_be_written_is_a_fault_that_does_not_repeat_it() {
        // Checkout takes a host label of any length; RFC 1035 ends it at 63 bytes.
        let to = EmailAddress::new(&format!("a@{}.com", "x".repeat(64))).unwrap();
        let from = "orders@boutique.example".parse().unwrap();
        let fault = write(&from, &to, &order(), NOON).unwrap_err();
        assert_eq!(
            fault.to_string(),
            "bytes that do not decode to email.SendConfirmation: no mail goes to the address"
        );
    }
}
