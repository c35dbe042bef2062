//! What a test breaks on purpose, to see that it is found out.

use std::borrow::Cow;

use modulith_kernel::storage::Part;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sabotage {
    /// Nothing.
    #[default]
    None,
    /// A sync does nothing.
    #[cfg(test)]
    Syncs,
    /// Journals are empty when they are opened.
    #[cfg(test)]
    Replay,
    /// Commits come to the journal without the replies to commands with an id.
    #[cfg(test)]
    Inbox,
    /// Commits come to the journal without the places of subscriptions.
    #[cfg(test)]
    Cursor,
    /// Transfers that fail take nothing back.
    #[cfg(test)]
    Undo,
}

#[cfg(not(test))]
impl Sabotage {
    pub(super) fn forgets(self, _: Part) -> bool {
        false
    }

    pub(super) fn lies_about_syncs(self) -> bool {
        false
    }

    pub(super) fn skips_undo(self) -> bool {
        false
    }

    pub(super) fn of_record(self, _: Part, data: &[u8]) -> Cow<'_, [u8]> {
        Cow::Borrowed(data)
    }
}

#[cfg(test)]
impl Sabotage {
    pub(super) fn forgets(self, part: Part) -> bool {
        self == Self::Replay && part == Part::Journal
    }

    pub(super) fn lies_about_syncs(self) -> bool {
        self == Self::Syncs
    }

    pub(super) fn skips_undo(self) -> bool {
        self == Self::Undo
    }

    /// A record as it comes to the journal: with the rows of the broken table in another one that
    /// nobody reads, and the checksum of that.
    pub(super) fn of_record(self, part: Part, data: &[u8]) -> Cow<'_, [u8]> {
        let table: &[u8] = match self {
            Self::Inbox => b"modulith.inbox",
            Self::Cursor => b"modulith.cursors",
            _ => return Cow::Borrowed(data),
        };
        if part != Part::Journal || !data.starts_with(b"MJR1") {
            return Cow::Borrowed(data);
        }
        let Some(at) = data.windows(table.len()).position(|part| part == table) else {
            return Cow::Borrowed(data);
        };
        let mut data = data.to_vec();
        data[at] = b'M';
        let length: [u8; 4] = data[24..28].try_into().expect("four bytes");
        let end = 32 + u32::from_le_bytes(length) as usize;
        let crc = crc32(&data[8..end]);
        data[4..8].copy_from_slice(&crc.to_le_bytes());
        Cow::Owned(data)
    }
}

/// CRC-32 (IEEE).
#[cfg(test)]
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
