//! A counter: hears of what the ledger does, and counts how often it hears of each thing.

use modulith_kernel::{
    Answer, Context, Declaration, Fault, Listen, Module, Outcome, Query, Setup, SetupError, Table,
    Tx,
};
use serde::{Deserialize, Serialize};

use super::ledger::{Posted, TakenBack};

/// An amount that cannot be counted: its event is poison.
pub(super) const POISON: i64 = 666;

/// What was counted: entry by entry how often its post, and its taking back, was heard of.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "counter", reply = Vec<((u64, u8), u32)>)]
pub(super) struct ListHeard {}

/// By entry, and 0 for its post, 1 for its being taken back.
const HEARD: Table<(u64, u8), u32> = Table::new("heard");

/// More rows than a run has.
const ROWS_MAX: usize = 10_000;

pub(super) struct Counter;

impl Module for Counter {
    const NAME: &'static str = "counter";
    type Settings = ();

    fn new((): &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<ListHeard>()
            .listens::<Posted>()
            .listens::<TakenBack>();
    }
}

fn count(key: (u64, u8), tx: &mut Tx<'_>) -> Result<(), Fault> {
    let times = tx.get(&HEARD, &key)?.unwrap_or(0) + 1;
    tx.put(&HEARD, &key, &times)
}

impl Listen<Posted> for Counter {
    fn listen(&self, event: Posted, tx: &mut Tx<'_>) -> Result<(), Fault> {
        // What a failing handler did must be gone with it.
        count((event.entry, 0), tx)?;
        if event.amount == POISON {
            return Err(Fault::Malformed {
                message: "ledger.Posted".to_string(),
                reason: "poison".to_string(),
            });
        }
        Ok(())
    }
}

impl Listen<TakenBack> for Counter {
    fn listen(&self, event: TakenBack, tx: &mut Tx<'_>) -> Result<(), Fault> {
        count((event.entry, 1), tx)
    }
}

impl Answer<ListHeard> for Counter {
    async fn answer(&self, _: ListHeard, context: &Context) -> Outcome<ListHeard> {
        context
            .snapshot()?
            .range(&HEARD, .., ROWS_MAX)
            .map_err(Into::into)
    }
}
