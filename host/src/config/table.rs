//! Reading typed values out of a table of the file, noting every mistake on the way.

use std::{net::SocketAddr, ops::RangeInclusive};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError,
    error::{did_you_mean, one_of},
};

/// The text of a file, for turning places into line numbers, and the mistakes found so far.
pub(crate) struct Reader<'a> {
    text: &'a str,
    pub(crate) errors: Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            errors: Vec::new(),
        }
    }

    /// The line of a place, from 1.
    pub(crate) fn line_at(&self, place: usize) -> usize {
        self.text
            .bytes()
            .take(place)
            .filter(|byte| *byte == b'\n')
            .count()
            + 1
    }

    pub(crate) fn line<T>(&self, spanned: &Spanned<T>) -> Option<usize> {
        Some(self.line_at(spanned.span().start))
    }

    /// Notes that a value is not what it should be.
    pub(crate) fn wrong(&mut self, key: &str, value: &Spanned<DeValue<'_>>, expected: &str) {
        let error = ConfigError::expected(self.line(value), key, found(value.get_ref()), expected);
        self.errors.push(error);
    }

    /// Notes every key of a table that is not a known one.
    pub(crate) fn known_keys(&mut self, path: &str, table: &DeTable<'_>, known: &[&str]) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let full = if path.is_empty() {
                    name.into()
                } else {
                    format!("{path}.{name}")
                };
                let problem = format!(
                    "unknown key, expected {}{}",
                    one_of(known),
                    did_you_mean(name, known)
                );
                self.errors
                    .push(ConfigError::problem(self.line(key), full, problem));
            }
        }
    }

    pub(crate) fn table<'t, 'i>(
        &mut self,
        key: &str,
        value: &'t Spanned<DeValue<'i>>,
    ) -> Option<&'t DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong(key, value, "a table");
                None
            }
        }
    }

    pub(crate) fn text<'t>(
        &mut self,
        path: &str,
        table: &'t DeTable<'_>,
        name: &str,
    ) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = table.get(name)?;
        match value.get_ref() {
            DeValue::String(_) => Some(value),
            _ => {
                self.wrong(&format!("{path}.{name}"), value, "a text in quotes");
                None
            }
        }
    }

    pub(crate) fn switch(&mut self, path: &str, table: &DeTable<'_>, name: &str) -> bool {
        match table.get(name).map(|value| (value, value.get_ref())) {
            None => false,
            Some((_, DeValue::Boolean(on))) => *on,
            Some((value, _)) => {
                self.wrong(&format!("{path}.{name}"), value, "true or false");
                false
            }
        }
    }

    pub(crate) fn number(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        name: &str,
        range: RangeInclusive<u16>,
    ) -> Option<u16> {
        let value = table.get(name)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => u16::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            self.wrong(&format!("{path}.{name}"), value, &expected);
        }
        number
    }

    pub(crate) fn address(
        &mut self,
        path: &str,
        table: &DeTable<'_>,
        name: &str,
    ) -> Option<SocketAddr> {
        let value = table.get(name)?;
        let address = value.get_ref().as_str().and_then(|text| text.parse().ok());
        if address.is_none() {
            let expected = "an IP address and port such as \"127.0.0.1:8080\"";
            self.wrong(&format!("{path}.{name}"), value, expected);
        }
        address
    }
}

/// A value as it stands in the file, cut short.
pub(crate) fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", text.chars().take(60).collect::<String>()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(on) => on.to_string(),
        DeValue::Datetime(when) => when.to_string(),
        DeValue::Array(_) => "a list".to_string(),
        DeValue::Table(_) => "a table".to_string(),
    }
}
