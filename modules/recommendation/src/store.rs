//! What is remembered: for each product, what was bought with it.

use catalog_contract::ProductId;
use modulith_kernel::{Fault, Snapshot, Table, Tx};
use serde::{Deserialize, Serialize};

use crate::rules::Companions;

/// One row per product that was ever bought together with another.
const COMPANIONS: Table<ProductId, Vec<StoredCompanion>> = Table::new("companions");

#[derive(Debug, Serialize, Deserialize)]
struct StoredCompanion {
    product: String,
    times: u32,
}

pub(crate) fn companions(snapshot: &Snapshot, product: &ProductId) -> Result<Companions, Fault> {
    Ok(from_stored(snapshot.get(&COMPANIONS, product)?))
}

/// Changes what is remembered of one product.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    product: &ProductId,
    change: impl FnOnce(&mut Companions),
) -> Result<(), Fault> {
    let mut companions = from_stored(tx.get(&COMPANIONS, product)?);
    change(&mut companions);
    tx.put(&COMPANIONS, product, &to_stored(companions))
}

fn to_stored(companions: Companions) -> Vec<StoredCompanion> {
    let stored = |(product, times): (ProductId, u32)| StoredCompanion {
        product: product.as_str().to_string(),
        times,
    };
    companions.times.into_iter().map(stored).collect()
}

/// An id that a later version no longer takes for one is forgotten: it names nothing sold.
fn from_stored(stored: Option<Vec<StoredCompanion>>) -> Companions {
    let times = stored
        .into_iter()
        .flatten()
        .filter_map(|row| Some((ProductId::new(row.product).ok()?, row.times)))
        .collect();
    Companions { times }
}
