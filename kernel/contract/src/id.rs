//! What an identifier may look like.

use std::fmt;

/// The longest identifier, in bytes.
///
/// Ids are keys in stores, labels in frames and parts of file names; 64 bytes hold a UUID, a
/// session name or an order number with room to spare.
pub const ID_BYTES_MAX: usize = 64;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    what: &'static str,
    found: String,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a {}: expected 1 to {ID_BYTES_MAX} letters, digits or any of - _ . :",
            self.found, self.what
        )
    }
}

impl std::error::Error for InvalidId {}

/// Accepts 1 to [`ID_BYTES_MAX`] ASCII letters, digits, `-`, `_`, `.` and `:`, and not `.` or `..`.
pub fn check_id(what: &'static str, id: &str) -> Result<(), InvalidId> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    let length = (1..=ID_BYTES_MAX).contains(&id.len());
    if length && id.bytes().all(plain) && id != "." && id != ".." {
        return Ok(());
    }
    Err(InvalidId {
        what,
        found: id.chars().take(ID_BYTES_MAX).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_plain() {
        for good in [
            "a",
            "OLJCESPC7Z",
            "0f8fad5b-d9cd-469f-a165-70867728950e",
            &"x".repeat(64),
        ] {
            assert_eq!(check_id("ProductId", good), Ok(()), "{good}");
        }
        for bad in ["", " ", "a b", "ü", "../etc", "..", "a\n", &"x".repeat(65)] {
            let error = check_id("ProductId", bad).unwrap_err();
            assert!(error.to_string().contains("is not a ProductId"), "{error}");
        }
    }
}
