//! The checkout form, fresh or come back with what was typed and what is wrong with it.

use maud::{Markup, html};

use super::field::{Field, Input, months, text};

/// The state of the checkout form. The default is a fresh one.
///
/// There is no place for a card number or security code, so neither can come back in a page.
#[derive(Clone, Debug, Default)]
pub struct CheckoutForm {
    /// What an order made from this form is known by, so that sending it twice is one order.
    pub order_key: String,
    /// Whether the last order ended before it was charged, by no fault of the shopper's.
    pub was_interrupted: bool,
    /// Where the confirmation goes.
    pub email: Field,
    /// Street and house number.
    pub street_address: Field,
    /// Digits only.
    pub zip_code: Field,
    /// City or town.
    pub city: Field,
    /// State, province or region.
    pub state: Field,
    /// Country, by name.
    pub country: Field,
    /// What is wrong with the card number.
    pub credit_card_number_error: Option<String>,
    /// `1` to `12`; anything else shows as not chosen.
    pub credit_card_expiration_month: Field,
    /// Four digits.
    pub credit_card_expiration_year: Field,
    /// What is wrong with the security code.
    pub credit_card_cvv_error: Option<String>,
}

impl CheckoutForm {
    /// Whether any field is marked.
    pub fn has_errors(&self) -> bool {
        self.inputs().iter().any(|input| input.error.is_some())
    }

    /// Every field in reading order: this table is the form.
    fn inputs(&self) -> [Input<'_>; 10] {
        let month = &self.credit_card_expiration_month;
        let year = &self.credit_card_expiration_year;
        let (number, cvv) = (&self.credit_card_number_error, &self.credit_card_cvv_error);
        [
            Input::new("email", "E-mail", "email")
                .typed(&self.email)
                .longest(254),
            Input::new(
                "street_address",
                "Street and number",
                "shipping address-line1",
            )
            .typed(&self.street_address)
            .longest(512),
            Input::new("zip_code", "Postcode", "shipping postal-code")
                .typed(&self.zip_code)
                .digits("[0-9]+", 9),
            Input::new("city", "City", "shipping address-level2")
                .typed(&self.city)
                .longest(128),
            Input::new("state", "State or region", "shipping address-level1")
                .typed(&self.state)
                .longest(128),
            Input::new("country", "Country", "shipping country-name")
                .typed(&self.country)
                .longest(128),
            Input::new("credit_card_number", "Card number", "cc-number")
                .refused(number)
                .digits("[0-9 ]{12,23}", 23)
                .hint("VISA or Mastercard. For a try: 4111 1111 1111 1111."),
            Input::new(
                "credit_card_expiration_month",
                "Expiry month",
                "cc-exp-month",
            )
            .typed(month),
            Input::new("credit_card_expiration_year", "Expiry year", "cc-exp-year")
                .typed(year)
                .digits("[0-9]{4}", 4),
            Input::new("credit_card_cvv", "Security code", "cc-csc")
                .refused(cvv)
                .digits("[0-9]{3,4}", 4)
                .hint("The three digits on the back."),
        ]
    }
}

/// Says at the top of the page what needs another look, with a link to each field.
pub(super) fn problems(form: &CheckoutForm) -> Markup {
    let inputs = form.inputs();
    let wrong = inputs
        .iter()
        .filter_map(|input| input.error.map(|error| (input.name, error)));
    html! {
        @if form.was_interrupted {
            div.notice.bad role="alert" {
                h2 { "We were interrupted" }
                p {
                    "Your order was cut short before the card was charged. Nothing was charged and "
                    "your cart is as you left it. For your safety we do not keep card details: "
                    a href="#credit_card_number" { "please type them again" }
                    " and place the order once more."
                }
            }
        }
        @if form.has_errors() {
            div.notice.bad role="alert" {
                h2 { "Almost there" }
                p { "These need another look before we can send your order:" }
                ul { @for (name, error) in wrong { li { a href={ "#" (name) } { (error) } } } }
                p.small { "For your safety we do not keep card details: please type them again." }
            }
        }
    }
}

/// The form itself; the button names the sum.
pub(super) fn checkout(form: &CheckoutForm, total: &str) -> Markup {
    let [
        email,
        street,
        zip,
        city,
        state,
        country,
        number,
        month,
        year,
        cvv,
    ] = form.inputs();
    html! {
        form.checkout id="checkout" method="post" action="/cart/checkout"
            aria-labelledby="checkout-title" {
            // A browser that fills in what stood here before would send an old order again.
            input type="hidden" name="order_key" value=(form.order_key) autocomplete="off";
            h2 id="checkout-title" { "Check out" }
            fieldset {
                legend { "Delivery" }
                div.wide { (text(&email, "email")) }
                div.wide { (text(&street, "text")) }
                div.third { (text(&zip, "text")) }
                div.two-thirds { (text(&city, "text")) }
                div.half { (text(&state, "text")) }
                div.half { (text(&country, "text")) }
            }
            fieldset {
                legend { "Payment" }
                div.wide { (text(&number, "text")) }
                div.third { (months(&month)) }
                div.third { (text(&year, "text")) }
                div.third { (text(&cvv, "text")) }
            }
            button.button.wide type="submit" { "Place order" span.button-sum { (total) } }
        }
    }
}
