//! E-mail addresses, checked for shape.

use std::fmt;

use modulith_contract::{Schema, Shape};
use serde::{Deserialize, Serialize};

/// The longest address that can be delivered to, in bytes (RFC 5321 section 4.5.3.1.3, less its
/// two brackets).
const BYTES_MAX: usize = 254;

/// An address of the shape `name@host.domain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct EmailAddress(String);

impl EmailAddress {
    /// Checks an address's shape; whether it reaches anybody, only a letter can tell.
    ///
    /// # Errors
    /// Unless it is printable ASCII without spaces or any of `<>()[],;:"\`, with one `@`, a name
    /// before it and a dotted host after it, at most 254 bytes long.
    pub fn new(address: &str) -> Result<Self, InvalidEmailAddress> {
        let plain = |b: u8| b.is_ascii_graphic() && !br#"<>()[],;:"\"#.contains(&b);
        let (name, host) = address.split_once('@').ok_or(InvalidEmailAddress)?;
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let fits = !name.is_empty()
            && name.len() <= 64
            && address.len() <= BYTES_MAX
            && address.bytes().all(plain)
            && !name.starts_with('.')
            && !name.ends_with('.')
            && !name.contains("..")
            && host.contains('.')
            && host.split('.').all(label);
        if fits {
            Ok(Self(address.to_string()))
        } else {
            Err(InvalidEmailAddress)
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;

    fn try_from(address: String) -> Result<Self, InvalidEmailAddress> {
        Self::new(&address)
    }
}

impl Schema for EmailAddress {
    fn shape() -> Shape {
        Shape::Text
    }
}

/// A text that is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidEmailAddress;

impl fmt::Display for InvalidEmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an e-mail address looks like name@example.com")
    }
}

impl std::error::Error for InvalidEmailAddress {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_name_and_a_dotted_host() {
        for good in ["someone@example.com", "a.b+c@mail.example.co.uk"] {
            assert!(EmailAddress::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "someone",
            "@example.com",
            "someone@",
            "a@b",
            "a b@example.com",
            "a@@example.com",
            "a@example..com",
            "a\r\nBcc: x@example.com",
            "<a@example.com>",
            ".a@example.com",
            "a@-x.com",
        ] {
            assert!(EmailAddress::new(bad).is_err(), "{bad}");
        }
    }
}
