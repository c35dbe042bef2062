//! What is kept for a time only, and is removed when its time is over.

use std::{sync::Arc, time::Duration};

use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    Options, Snapshot, Table, Tx,
    flow::{ENDED, Path, STEPS},
    home::Home,
    inbox::INBOX,
};

/// When what expires, in order of time, so that nothing is searched for.
const EXPIRY: Table<(u64, u128), Kind> = Table::new("modulith.expiry");

/// When it expires and what it is called, and what it is.
type Row = ((u64, u128), Kind);

/// How often expired rows are looked for.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// How many rows one commit removes, so that sweeping holds up no command for long.
const SWEEP_ROWS: usize = 256;

/// How many steps of one flow are removed at most; flows have tens.
const STEPS_MAX: usize = 100_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A reply in the inbox.
    Reply,
    /// A flow that has ended, and its steps.
    Flow,
}

/// Notes that something expires, `kept` from now.
pub(crate) fn after(tx: &mut Tx<'_>, kept: Duration, id: u128, kind: Kind) -> Result<(), Fault> {
    let kept = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    tx.put(&EXPIRY, &(tx.now().0.saturating_add(kept), id), &kind)
}

/// What is due, or beyond the number that may be kept: at most [`SWEEP_ROWS`] of it.
fn due(snapshot: &Snapshot, now: Timestamp, options: &Options) -> Result<Vec<Row>, Fault> {
    let too_many = snapshot.len(&EXPIRY)?.saturating_sub(options.replies_max);
    let too_many = usize::try_from(too_many)
        .unwrap_or(usize::MAX)
        .min(SWEEP_ROWS);
    let oldest = snapshot.range(&EXPIRY, .., SWEEP_ROWS)?;
    let keep = oldest
        .iter()
        .enumerate()
        .position(|(place, ((at, _), _))| *at > now.0 && place >= too_many);
    let mut due = oldest;
    due.truncate(keep.unwrap_or(SWEEP_ROWS));
    Ok(due)
}

/// What expires, of one kind.
pub(crate) fn ids(snapshot: &Snapshot, kind: Kind) -> Result<Vec<u128>, Fault> {
    let rows = snapshot.range(&EXPIRY, .., usize::MAX)?;
    let of_kind = rows.into_iter().filter(|(_, of)| *of == kind);
    Ok(of_kind.map(|((_, id), _)| id).collect())
}

fn remove(tx: &mut Tx<'_>, due: &[Row]) -> Result<(), Fault> {
    for (key, kind) in due {
        match kind {
            Kind::Reply => tx.remove(&INBOX, &key.1),
            Kind::Flow => {
                tx.remove(&ENDED, &key.1);
                let steps = (key.1, Path::default())..=(key.1, Path::last());
                for (step, _) in tx.range(&STEPS, steps, STEPS_MAX)? {
                    tx.remove(&STEPS, &step);
                }
            }
        }
        tx.remove(&EXPIRY, key);
    }
    Ok(())
}

/// Removes what has expired, for as long as the module runs.
pub(crate) async fn keep(home: Arc<Home>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        // A store that does not take it now may the next time.
        while matches!(sweep_some(&home).await, Ok(SWEEP_ROWS)) {}
    }
}

/// Removes all that has expired. Returns how much that was.
pub(crate) async fn sweep(home: &Home) -> Result<usize, Fault> {
    let mut swept = 0;
    loop {
        let some = sweep_some(home).await?;
        swept += some;
        if some < SWEEP_ROWS {
            return Ok(swept);
        }
    }
}

/// Removes some of what has expired, in one commit.
async fn sweep_some(home: &Home) -> Result<usize, Fault> {
    let now = home.environment().clock.now();
    let due = due(&home.store()?.snapshot()?, now, &home.options)?;
    if !due.is_empty() {
        let rows = due.clone();
        home.transact(move |tx| remove(tx, &rows)).await?;
    }
    Ok(due.len())
}
