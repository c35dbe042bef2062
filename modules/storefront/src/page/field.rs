//! One form field: its label, its control, and the texts that explain it.

use maud::{Markup, html};

/// What the shopper typed into one field, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// As typed; shown again.
    pub value: String,
    /// A sentence for the shopper that says what to do, such as "Please enter a city."
    pub error: Option<String>,
}

/// One field of the form: how it is asked for, and its state.
pub(super) struct Input<'a> {
    pub(super) name: &'static str,
    label: &'static str,
    autocomplete: &'static str,
    hint: Option<&'static str>,
    pattern: Option<&'static str>,
    length_max: Option<u32>,
    value: Option<&'a str>,
    pub(super) error: Option<&'a str>,
}

impl<'a> Input<'a> {
    /// A field by its form name; `autocomplete` is the browser's name for its content.
    pub(super) fn new(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self {
            name,
            label,
            autocomplete,
            hint: None,
            pattern: None,
            length_max: None,
            value: None,
            error: None,
        }
    }

    /// Shows again what was typed, and what is wrong with it.
    pub(super) fn typed(self, field: &'a Field) -> Self {
        let value = Some(field.value.as_str()).filter(|value| !value.is_empty());
        Self {
            value,
            error: field.error.as_deref(),
            ..self
        }
    }

    /// Says what is wrong without showing what was typed: for card number and code.
    pub(super) fn refused(self, error: &'a Option<String>) -> Self {
        Self {
            error: error.as_deref(),
            ..self
        }
    }

    /// Asks for digits, of this shape and at most this long.
    pub(super) fn digits(self, pattern: &'static str, length_max: u32) -> Self {
        Self {
            pattern: Some(pattern),
            length_max: Some(length_max),
            ..self
        }
    }

    /// Stops typing at this many characters.
    pub(super) fn longest(self, length_max: u32) -> Self {
        Self {
            length_max: Some(length_max),
            ..self
        }
    }

    /// Explains what belongs here.
    pub(super) fn hint(self, hint: &'static str) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    /// Ids of the texts that explain this field, for `aria-describedby`.
    fn described_by(&self) -> Option<String> {
        let name = self.name;
        match (self.hint, self.error) {
            (None, None) => None,
            (Some(_), None) => Some(format!("{name}-hint")),
            (None, Some(_)) => Some(format!("{name}-error")),
            (Some(_), Some(_)) => Some(format!("{name}-hint {name}-error")),
        }
    }
}

/// A field to type into; one with a pattern brings up a keyboard of digits.
pub(super) fn text(input: &Input<'_>, kind: &str) -> Markup {
    let control = html! {
        input type=(kind) id=(input.name) name=(input.name) autocomplete=(input.autocomplete)
            inputmode=[input.pattern.map(|_| "numeric")] pattern=[input.pattern]
            maxlength=[input.length_max] value=[input.value] required
            aria-invalid=[input.error.map(|_| "true")] aria-describedby=[input.described_by()];
    };
    field(input, &control)
}

/// The twelve months to choose from.
pub(super) fn months(input: &Input<'_>) -> Markup {
    let chosen = input.value.and_then(|value| value.parse::<u32>().ok());
    let control = html! {
        select id=(input.name) name=(input.name) autocomplete=(input.autocomplete) required
            aria-invalid=[input.error.map(|_| "true")] aria-describedby=[input.described_by()] {
            option value="" { "Month" }
            @for month in 1..=12 {
                option value=(month) selected[chosen == Some(month)] { (format!("{month:02}")) }
            }
        }
    };
    field(input, &control)
}

/// Label, control, hint and error, tied together by their ids.
fn field(input: &Input<'_>, control: &Markup) -> Markup {
    html! {
        div.field {
            label for=(input.name) { (input.label) }
            (control)
            @if let Some(hint) = input.hint { p.hint id={ (input.name) "-hint" } { (hint) } }
            @if let Some(error) = input.error {
                p.error id={ (input.name) "-error" } { (error) }
            }
        }
    }
}
