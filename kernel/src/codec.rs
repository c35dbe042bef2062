//! The encoding of messages and of stored values: the only file that knows bincode.
//!
//! bincode 2.0.1, its standard configuration: little-endian, variable-length integers, enum
//! variants by index, no field names. ADR 0007 says why it is pinned and what would replace it.

use bincode::config::{self, Configuration, Limit, LittleEndian, Varint};
use modulith_contract::withholding_secrets;
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The largest encoded message, reply or stored value, in bytes.
///
/// 16 MiB: far above any message of the boutique, and small enough that a process can hold a
/// full mailbox of them. Decoding stops allocating at the same limit, whatever lengths the bytes
/// announce.
pub const ENCODED_BYTES_MAX: usize = 16 << 20;

const CONFIG: Configuration<LittleEndian, Varint, Limit<ENCODED_BYTES_MAX>> =
    config::standard().with_limit::<ENCODED_BYTES_MAX>();

/// Why a value could not be encoded or decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The encoded value is over the limit.
    #[error("{bytes} bytes are more than the limit of {ENCODED_BYTES_MAX} bytes")]
    TooLarge {
        /// Its encoded size.
        bytes: usize,
    },
    /// The value's serde implementation asked for what bincode cannot do.
    #[error("a value that cannot be encoded: {0}")]
    Unencodable(String),
    /// The bytes are not an encoding of the type.
    #[error("{0}")]
    Malformed(String),
}

/// Encodes a value.
///
/// # Errors
/// [`CodecError::TooLarge`] above [`ENCODED_BYTES_MAX`].
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = bincode::serde::encode_to_vec(value, CONFIG)
        .map_err(|error| CodecError::Unencodable(error.to_string()))?;
    if bytes.len() > ENCODED_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Encodes a value that is to be kept: [`modulith_contract::Secret`]s in it are left out.
///
/// # Errors
/// As [`encode`].
pub fn encode_kept<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    withholding_secrets(|| encode(value))
}

/// Digests an encoded value, to tell it from another one: the first bytes of its SHA-256.
pub(crate) fn digest(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        // Lengths keep ("ab", "c") apart from ("a", "bc").
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let whole = hash.finalize();
    let (head, _) = whole
        .split_first_chunk()
        .expect("SHA-256 has more than 16 bytes");
    u128::from_le_bytes(*head)
}

/// Decodes a value from exactly these bytes.
///
/// # Errors
/// [`CodecError::Malformed`] unless the bytes are one whole value and nothing more.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (value, read) = bincode::serde::decode_from_slice(bytes, CONFIG)
        .map_err(|error| CodecError::Malformed(error.to_string()))?;
    if read < bytes.len() {
        let rest = bytes.len() - read;
        return Err(CodecError::Malformed(format!("{rest} bytes are left over")));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let value = (7_u64, Some("text".to_string()), vec![-1_i32, 2]);
        let bytes = encode(&value).unwrap();
        assert_eq!(
            decode::<(u64, Option<String>, Vec<i32>)>(&bytes).unwrap(),
            value
        );
    }

    #[test]
    fn more_or_fewer_bytes_than_one_value_are_refused() {
        let bytes = encode(&"text").unwrap();
        assert!(matches!(
            decode::<String>(&bytes[..2]),
            Err(CodecError::Malformed(_))
        ));
        let longer = [bytes.as_slice(), &[0]].concat();
        let error = decode::<String>(&longer).unwrap_err();
        assert_eq!(error.to_string(), "1 bytes are left over");
    }

    #[test]
    fn an_announced_length_beyond_the_limit_allocates_nothing() {
        // Variable-length integers: 253 announces eight bytes of length.
        let mut bytes = vec![253];
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(decode::<String>(&bytes).is_err());
        assert!(decode::<Vec<u64>>(&bytes).is_err());
        let large = vec![0_u8; ENCODED_BYTES_MAX + 1];
        assert!(matches!(encode(&large), Err(CodecError::TooLarge { .. })));
    }
}
