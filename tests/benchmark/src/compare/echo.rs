//! The modules under test, and what everybody's handlers do.
//!
//! `echo` answers with the text it was sent, `tally` adds up, `asker` asks. A text and not bytes,
//! because every contender's encoding has one that is copied as a whole.

use modulith_contract::{Command, Query};
use modulith_kernel::{
    Answer, Context, Declaration, Handle, Module, Outcome, Setup, SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

/// Asks for the same text back.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "echo", reply = String)]
pub(crate) struct Repeat {
    pub(crate) text: String,
}

/// Adds to a sum and tells what it comes to.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "tally", reply = u64)]
pub(crate) struct Add {
    pub(crate) amount: u64,
}

/// What everybody's handler of a query does.
pub(crate) fn repeat(text: String) -> String {
    text
}

/// What everybody's handler of a command does, once it has the sum.
pub(crate) fn add(sum: u64, amount: u64) -> u64 {
    sum.wrapping_add(amount)
}

/// Answers with what it was sent.
#[derive(Debug)]
pub(crate) struct Echo;

impl Module for Echo {
    const NAME: &'static str = "echo";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.answers::<Repeat>();
    }
}

impl Answer<Repeat> for Echo {
    async fn answer(&self, query: Repeat, _: &Context) -> Outcome<Repeat> {
        Ok(repeat(query.text))
    }
}

/// Adds up.
#[derive(Debug)]
pub(crate) struct Tally;

/// The one sum, under nothing.
const SUMS: Table<u8, u64> = Table::new("sums");

impl Module for Tally {
    const NAME: &'static str = "tally";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.handles::<Add>();
    }
}

impl Handle<Add> for Tally {
    fn handle(&self, command: Add, tx: &mut Tx<'_>) -> Outcome<Add> {
        add_to_sum(command, tx)
    }
}

/// Adds to the sum in a store.
pub(crate) fn add_to_sum(command: Add, tx: &mut Tx<'_>) -> Outcome<Add> {
    let sum = add(tx.get(&SUMS, &0)?.unwrap_or(0), command.amount);
    tx.put(&SUMS, &0, &sum)?;
    Ok(sum)
}

/// Asks from another process.
#[derive(Debug)]
pub(crate) struct Asker;

impl Module for Asker {
    const NAME: &'static str = "asker";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.asks::<Repeat>();
    }
}
