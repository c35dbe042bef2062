//! Whether a module is divided as its stores say it is.
//!
//! A key leads to a partition by their number, so another number would look for what is stored in
//! the wrong place. Every store knows which partition it is, of how many; what is checked here,
//! before any is opened, is what no store can tell by itself: that there are others.

use redb::{Builder, DatabaseError};

use super::{StoreError, about::About, backend::Backend, open::cache_bytes};
use crate::{Environment, Partition, partition::PARTITIONS_MAX, storage::Part};

/// Refuses to make a first store for a module that has stores of another division.
///
/// Asked before stores are opened, so that nothing new is made beside what is there.
pub(crate) fn check(
    environment: &Environment,
    module: &'static str,
    wanted: Partition,
) -> Result<(), StoreError> {
    let storage = &environment.storage;
    if storage.has(&wanted.name(module)) {
        // It says so itself.
        return Ok(());
    }
    let others = Partition::all(PARTITIONS_MAX).map(|other| other.name(module));
    let whole = Partition::WHOLE.name(module);
    for store in std::iter::once(whole)
        .chain(others)
        .filter(|s| storage.has(s))
    {
        let Some(found) = look(environment, module, &store)? else {
            continue;
        };
        if found.1 != u32::from(wanted.count()) {
            return Err(divided(module, found, wanted));
        }
        return Ok(());
    }
    Ok(())
}

/// Which partition a store is, of how many. None when it is nobody's yet, or in use: whoever uses
/// it has checked it.
fn look(
    environment: &Environment,
    module: &'static str,
    store: &str,
) -> Result<Option<(u32, u32)>, StoreError> {
    let broken = |source: redb::Error| StoreError::Broken {
        module: store.to_string(),
        source,
    };
    let opened = environment.storage.open(store, Part::Database);
    let opened = opened.and_then(|backend| {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes(Partition::WHOLE));
        builder.create_with_backend(Backend::new(backend))
    });
    let database = match opened {
        Ok(database) => database,
        Err(DatabaseError::DatabaseAlreadyOpen) => return Ok(None),
        Err(error) => return Err(broken(error.into())),
    };
    let about = About::read(&database).map_err(broken)?;
    let is_its = about.module.as_deref() == Some(module);
    Ok(is_its.then_some(about.partition))
}

/// The refusal of a store that is one of another number of partitions.
pub(super) fn divided(module: &str, found: (u32, u32), wanted: Partition) -> StoreError {
    let (index, count) = found;
    let found = match count {
        1 => "not divided".to_string(),
        _ => format!("partition {index} of {count}"),
    };
    let expected = match wanted.count() {
        1 => "one that is not divided".to_string(),
        _ => wanted.to_string(),
    };
    StoreError::Divided {
        module: module.to_string(),
        found,
        expected,
        count,
    }
}
