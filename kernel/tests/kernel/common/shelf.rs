//! A shelf: puts every posting it hears of beside the others, and stumbles when it is told to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU32, Ordering::SeqCst},
};

use modulith_kernel::{
    Answer, Context, Declaration, Fault, Listen, Module, Outcome, Query, Setup, SetupError, Table,
    Tx,
};
use serde::{Deserialize, Serialize};

use super::ledger::Posted;

/// The amounts of all postings heard of, in the order they were handled.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "shelf", reply = Vec<i64>)]
pub(crate) struct ListHeard {}

/// Numbered in the order they were handled.
const HEARD: Table<u64, i64> = Table::new("heard");
const COUNT: Table<(), u64> = Table::new("count");

/// What trips the shelf up.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShelfSettings {
    /// Events of this amount end in a fault.
    pub(crate) fault_on: Arc<AtomicI64>,
    /// Events of this amount end in a panic.
    pub(crate) panic_on: Arc<AtomicI64>,
    /// How many events were begun.
    pub(crate) begun: Arc<AtomicU32>,
    /// How many values of the module were made.
    pub(crate) made: Arc<AtomicU32>,
}

pub(crate) struct Shelf(ShelfSettings);

impl Module for Shelf {
    const NAME: &'static str = "shelf";
    type Settings = ShelfSettings;

    fn new(settings: &ShelfSettings, _: &Setup) -> Result<Self, SetupError> {
        settings.made.fetch_add(1, SeqCst);
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.listens::<Posted>().answers::<ListHeard>();
    }
}

impl Listen<Posted> for Shelf {
    fn listen(&self, event: Posted, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.0.begun.fetch_add(1, SeqCst);
        let count = tx.get(&COUNT, &())?.unwrap_or(0);
        tx.put(&HEARD, &count, &event.amount)?;
        tx.put(&COUNT, &(), &(count + 1))?;
        if event.amount == self.0.fault_on.load(SeqCst) {
            return Err(Fault::Late);
        }
        assert_ne!(
            event.amount,
            self.0.panic_on.load(SeqCst),
            "the test's listener panics"
        );
        Ok(())
    }
}

impl Answer<ListHeard> for Shelf {
    async fn answer(&self, _: ListHeard, context: &Context) -> Outcome<ListHeard> {
        let rows = context.snapshot()?.range(&HEARD, .., usize::MAX)?;
        Ok(rows.into_iter().map(|(_, amount)| amount).collect())
    }
}
