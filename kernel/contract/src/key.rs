//! Keys: what identifies an entity, in messages and in stores.

/// A value that identifies an entity.
///
/// The same bytes order a store's table and decide a message's partition, so writing must keep
/// order (`a < b` exactly when `bytes(a) < bytes(b)`) and be the same in every version.
/// Ids derive it; tuples order by their first part, then the next.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "not a key",
    note = "a key is an id (`#[derive(Id)]`), a String, an unsigned number, a Timestamp, or a \
            pair of keys"
)]
pub trait Key: Sized {
    /// Appends the key's bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads one key from the front of `bytes` and moves past it.
    ///
    /// # Errors
    /// [`MalformedKey`] when the bytes were not written by [`Key::write`] of the same type.
    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey>;
}

/// Bytes that are not a key of the expected type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MalformedKey;

impl std::fmt::Display for MalformedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("bytes that are not a key of the table's type")
    }
}

impl std::error::Error for MalformedKey {}

/// The partition, of `partitions`, that the key with these bytes belongs to.
///
/// FNV-1a (64 bit, <http://www.isthe.com/chongo/tech/comp/fnv/>) modulo the count: stable across
/// versions and machines, because a key's partition decides which store file holds it.
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    let hash = crate::schema::fnv1a(crate::schema::FNV_OFFSET, key);
    u32::try_from(hash % u64::from(partitions.max(1))).expect("a remainder is below its divisor")
}

/// Text is written with each zero byte as `00 FF` and closed by `00 00`, so that a longer text
/// orders after its prefix inside a tuple too.
impl Key for String {
    fn write(&self, out: &mut Vec<u8>) {
        for byte in self.bytes() {
            out.push(byte);
            if byte == 0 {
                out.push(0xff);
            }
        }
        out.extend([0, 0]);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey> {
        let mut text = Vec::new();
        loop {
            let zero = bytes.iter().position(|&b| b == 0).ok_or(MalformedKey)?;
            text.extend_from_slice(&bytes[..zero]);
            let after = *bytes.get(zero + 1).ok_or(MalformedKey)?;
            *bytes = &bytes[zero + 2..];
            match after {
                0 => return String::from_utf8(text).map_err(|_| MalformedKey),
                0xff => text.push(0),
                _ => return Err(MalformedKey),
            }
        }
    }
}

macro_rules! unsigned_keys {
    ($($int:ty),*) => {$(
        /// Big-endian.
        impl Key for $int {
            fn write(&self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }

            fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey> {
                let (head, rest) = bytes.split_first_chunk().ok_or(MalformedKey)?;
                *bytes = rest;
                Ok(Self::from_be_bytes(*head))
            }
        }
    )*};
}
unsigned_keys!(u8, u16, u32, u64, u128);

/// The key of a table with one row.
impl Key for () {
    fn write(&self, _: &mut Vec<u8>) {}

    fn read(_: &mut &[u8]) -> Result<Self, MalformedKey> {
        Ok(())
    }
}

impl<A: Key, B: Key> Key for (A, B) {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
        self.1.write(out);
    }

    fn read(bytes: &mut &[u8]) -> Result<Self, MalformedKey> {
        Ok((A::read(bytes)?, B::read(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(key: &impl Key) -> Vec<u8> {
        let mut out = Vec::new();
        key.write(&mut out);
        out
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let key = ("a\0b".to_string(), 7_u64);
        assert_eq!(<(String, u64)>::read(&mut bytes(&key).as_slice()), Ok(key));
        assert_eq!(u64::read(&mut [1, 2].as_slice()), Err(MalformedKey));
        assert_eq!(String::read(&mut b"no end".as_slice()), Err(MalformedKey));
        assert_eq!(
            String::read(&mut [b'a', 0, 7].as_slice()),
            Err(MalformedKey)
        );
    }

    #[test]
    fn bytes_keep_the_order_of_keys() {
        let mut keys = Vec::new();
        for text in ["", "\0", "\0\0", "a", "a\0", "a\0b", "ab", "b", "ä"] {
            for number in [0_u64, 1, 255, 256, u64::MAX] {
                keys.push((text.to_string(), number));
            }
        }
        for a in &keys {
            for b in &keys {
                assert_eq!(a.cmp(b), bytes(a).cmp(&bytes(b)), "{a:?} against {b:?}");
            }
        }
    }

    #[test]
    fn a_key_stays_in_its_partition_for_ever() {
        // Fixed figures: a change here would strand what stores already hold.
        // FNV-1a of "foobar" is 0x85944171f73967e8 in its authors' test vectors.
        assert_eq!(
            partition_of(b"foobar", 1000),
            (0x8594_4171_f739_67e8_u64 % 1000) as u32
        );
        assert_eq!(partition_of(b"shopper-1", 4), 2);
        assert_eq!(partition_of(b"", 1), 0);
    }
}
