//! What a shopper typed, checked. Pure rules: nothing here asks anybody.

use std::{fmt, num::NonZeroU32};

use checkout_contract::EmailAddress;
use payment_contract::{CardNumber, CreditCard, Cvv, passes_luhn};
use shipping_contract::Address;

use crate::{
    page::{CheckoutForm, Field},
    visit::Typed,
};

/// How many of one product a form may ask for at once.
const QUANTITY_MAX: u32 = 10;
const STREET_CHARS_MAX: usize = 512;
const NAME_CHARS_MAX: usize = 128;

/// A checkout form that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purchase {
    pub(crate) email: EmailAddress,
    pub(crate) address: Address,
    pub(crate) card: CreditCard,
}

/// A quantity from 1 to 10.
pub(crate) fn quantity(typed: &str) -> Result<NonZeroU32, String> {
    let number = typed
        .parse::<u32>()
        .ok()
        .filter(|number| *number <= QUANTITY_MAX);
    let reason = || format!("The quantity is a whole number from 1 to {QUANTITY_MAX}.");
    number.and_then(NonZeroU32::new).ok_or_else(reason)
}

/// The key that a checkout form was drawn with; none when it is not one of ours.
pub(crate) fn order_key(typed: &Typed) -> Option<&str> {
    let key = typed.field("order_key");
    let is_ours = key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then_some(key)
}

/// A refusal, which has neither capital nor full stop, as a sentence.
pub(crate) fn sentence(refusal: &impl fmt::Display) -> String {
    let text = refusal.to_string();
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => text,
    }
}

/// Checks a checkout form: the form to show again, with what is wrong marked, and the purchase if
/// nothing is. The card's number and code are never in the form that is shown again.
pub(crate) fn purchase(typed: &Typed) -> (CheckoutForm, Option<Purchase>) {
    let mut form = CheckoutForm::default();
    let email = checked(&mut form.email, typed.field("email"), email);
    let street = checked(
        &mut form.street_address,
        typed.field("street_address"),
        |text| short_text(text, STREET_CHARS_MAX),
    );
    let zip_code = checked(&mut form.zip_code, typed.field("zip_code"), zip_code);
    let name = |text: &str| short_text(text, NAME_CHARS_MAX);
    let city = checked(&mut form.city, typed.field("city"), name);
    let state = checked(&mut form.state, typed.field("state"), name);
    let country = checked(&mut form.country, typed.field("country"), name);
    let month = typed.field("credit_card_expiration_month");
    let month = checked(
        &mut form.credit_card_expiration_month,
        month,
        expiration_month,
    );
    let year = typed.field("credit_card_expiration_year");
    let year = checked(&mut form.credit_card_expiration_year, year, expiration_year);
    let number = card_number(typed.field("credit_card_number"));
    form.credit_card_number_error = number.as_ref().err().cloned();
    let cvv = cvv(typed.field("credit_card_cvv"));
    form.credit_card_cvv_error = cvv.as_ref().err().cloned();
    let purchase = (|| {
        Some(Purchase {
            email: email?,
            address: Address {
                street: street?,
                city: city?,
                state: state?,
                country: country?,
                zip_code: zip_code?,
            },
            card: CreditCard {
                number: number.ok()?,
                cvv: cvv.ok()?,
                expiration_year: year?,
                expiration_month: month?,
            },
        })
    })();
    (form, purchase)
}

/// Keeps what was typed, and what is wrong with it, in the form.
fn checked<T>(
    field: &mut Field,
    typed: &str,
    check: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    field.value = typed.to_string();
    match check(typed) {
        Ok(value) => Some(value),
        Err(error) => {
            field.error = Some(error);
            None
        }
    }
}

fn email(typed: &str) -> Result<EmailAddress, String> {
    EmailAddress::new(typed).map_err(|error| sentence(&error))
}

fn short_text(typed: &str, chars_max: usize) -> Result<String, String> {
    match typed.chars().count() {
        0 => Err("Please fill this in.".to_string()),
        n if n > chars_max => Err(format!("At most {chars_max} characters, please.")),
        _ if typed.chars().any(char::is_control) => Err("One line, please.".to_string()),
        _ => Ok(typed.to_string()),
    }
}

fn zip_code(typed: &str) -> Result<u32, String> {
    let zip = typed.parse().ok().filter(|zip| *zip > 0);
    zip.ok_or_else(|| "A postal code is a number, such as 94043.".to_string())
}

fn card_number(typed: &str) -> Result<CardNumber, String> {
    let number = CardNumber::new(typed).map_err(|error| sentence(&error))?;
    if passes_luhn(number.digits()) {
        return Ok(number);
    }
    Err("That is no card number; a digit may be mistyped.".to_string())
}

fn cvv(typed: &str) -> Result<Cvv, String> {
    let fits = (3..=4).contains(&typed.len()) && typed.bytes().all(|b| b.is_ascii_digit());
    let code = typed.parse().ok().filter(|_| fits).map(Cvv);
    code.ok_or_else(|| "The security code has three or four digits.".to_string())
}

fn expiration_month(typed: &str) -> Result<u8, String> {
    let month = typed.parse().ok().filter(|month| (1..=12).contains(month));
    month.ok_or_else(|| "A month from 1 to 12.".to_string())
}

fn expiration_year(typed: &str) -> Result<u16, String> {
    let year = typed
        .parse()
        .ok()
        .filter(|year| (2000..=2199).contains(year));
    year.ok_or_else(|| "A year of four digits.".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(change: &[(&str, &str)]) -> Typed {
        let filled = [
            ("email", "someone@example.com"),
            ("street_address", "1600 Amphitheatre Parkway"),
            ("zip_code", "94043"),
            ("city", "Mountain View"),
            ("state", "CA"),
            ("country", "United States"),
            ("credit_card_number", "4432 8015 6152 0454"),
            ("credit_card_expiration_month", "1"),
            ("credit_card_expiration_year", "2039"),
            ("credit_card_cvv", "672"),
        ];
        let all = filled.iter().chain(change);
        Typed(
            all.map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        )
    }

    #[test]
    fn a_form_filled_in_well_is_a_purchase() {
        let (form, purchase) = purchase(&typed(&[]));
        assert!(!form.has_errors());
        let purchase = purchase.unwrap();
        assert_eq!(purchase.card.number.digits(), "4432801561520454");
        assert_eq!(purchase.address.zip_code, 94043);
    }

    #[test]
    fn a_key_that_we_did_not_draw_is_none() {
        let key = |key| order_key(&typed(&[("order_key", key)])).map(str::to_string);
        let drawn = "0123456789abcdef0123456789abcdef";
        assert_eq!(key(drawn).as_deref(), Some(drawn));
        for other in ["", "1", &drawn[1..], &drawn.replace('a', "/")] {
            assert_eq!(key(other), None, "{other}");
        }
        assert_eq!(order_key(&typed(&[])), None);
    }

    #[test]
    fn every_field_that_does_not_hold_is_marked_and_kept() {
        let long = "x".repeat(513);
        for (name, value) in [
            ("email", "nobody"),
            ("street_address", ""),
            ("street_address", &long),
            ("zip_code", "0"),
            ("zip_code", "SW1A"),
            ("city", "a\nb"),
            ("state", ""),
            ("country", &long),
            ("credit_card_number", "4432 8015 6152 0455"),
            ("credit_card_number", "1234"),
            ("credit_card_expiration_month", "13"),
            ("credit_card_expiration_year", "39"),
            ("credit_card_cvv", "12a"),
            ("credit_card_cvv", ""),
        ] {
            let (form, purchase) = purchase(&typed(&[(name, value)]));
            assert!(form.has_errors(), "{name} = {value:?} passed");
            assert_eq!(purchase, None, "{name} = {value:?} made a purchase");
            assert_eq!(
                form.email.value,
                if name == "email" {
                    value
                } else {
                    "someone@example.com"
                }
            );
        }
    }

    #[test]
    fn the_form_shown_again_never_holds_the_card() {
        let (form, _) = purchase(&typed(&[("email", "nobody")]));
        let shown = format!("{form:?}");
        assert!(!shown.contains("4432") && !shown.contains("672"), "{shown}");
    }

    #[test]
    fn quantities_are_one_to_ten() {
        assert_eq!(quantity("1").map(NonZeroU32::get), Ok(1));
        assert_eq!(quantity("10").map(NonZeroU32::get), Ok(10));
        for bad in ["0", "11", "-1", "1.5", "", "two"] {
            assert!(quantity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refusals_become_sentences() {
        assert_eq!(sentence(&"the cart is empty"), "The cart is empty.");
        assert_eq!(sentence(&""), "");
    }
}
