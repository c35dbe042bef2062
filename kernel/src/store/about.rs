//! What a store says of itself: whose it is, in which version, and how far it has got.

use redb::{Database, ReadTransaction, ReadableDatabase, TableDefinition};

use crate::Partition;

/// The table of it: `module`, `format`, `version`, `partition` and `partitions` (which of how many
/// it is; absent where the module is not divided), `sequence` (the number of the last batch in the
/// database) and `salt` (of the journal that goes with it).
pub(super) const ABOUT: TableDefinition<'static, &str, &[u8]> =
    TableDefinition::new("modulith.about");

pub(super) struct About {
    pub(super) module: Option<String>,
    pub(super) format: Option<u32>,
    pub(super) version: Option<u32>,
    /// Which partition, and of how many.
    pub(super) partition: (u32, u32),
    pub(super) sequence: u64,
    /// None in a new store, and in a copy: no journal goes with it.
    pub(super) salt: Option<u64>,
}

impl About {
    pub(super) fn read(database: &Database) -> Result<Self, redb::Error> {
        Self::of(&database.begin_read()?)
    }

    /// Of a database that nobody owns yet.
    fn none() -> Self {
        Self {
            module: None,
            format: None,
            version: None,
            partition: Partition::WHOLE.words(),
            sequence: 0,
            salt: None,
        }
    }

    pub(super) fn of(read: &ReadTransaction) -> Result<Self, redb::Error> {
        let table = match read.open_table(ABOUT) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Self::none()),
            Err(other) => return Err(other.into()),
        };
        let short = |key: &str| -> Result<Option<u32>, redb::Error> {
            let bytes = table.get(key)?;
            Ok(bytes
                .and_then(|bytes| bytes.value().try_into().ok())
                .map(u32::from_le_bytes))
        };
        let long = |key: &str| -> Result<Option<u64>, redb::Error> {
            let bytes = table.get(key)?;
            Ok(bytes
                .and_then(|bytes| bytes.value().try_into().ok())
                .map(u64::from_le_bytes))
        };
        Ok(Self {
            module: table
                .get("module")?
                .map(|name| String::from_utf8_lossy(name.value()).into_owned()),
            format: short("format")?,
            version: short("version")?,
            partition: (
                short("partition")?.unwrap_or(0),
                short("partitions")?.unwrap_or(1),
            ),
            sequence: long("sequence")?.unwrap_or_default(),
            salt: long("salt")?,
        })
    }
}
