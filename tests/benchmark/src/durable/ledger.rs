//! The module under test: rows that are added to, and notes that are published.
//!
//! What it does is what the SQL beside it does (`postgres`): read a row of about 100 bytes, add to
//! it, write it back; or append about 100 bytes to a log.

use modulith_contract::{Command, Event};
use modulith_kernel::{Declaration, Handle, Module, Outcome, Setup, SetupError, Table, Tx};
use serde::{Deserialize, Serialize};

/// How many rows there are to choose from.
pub(crate) const ROWS: u64 = 100_000;

/// How long the text of a row is: with its balance, about 100 bytes.
pub(crate) const ROW_TEXT_BYTES: usize = 92;

/// How long a note is.
pub(crate) const NOTE_BYTES: usize = 100;

/// The rows, by number.
const ACCOUNTS: Table<u64, Account> = Table::new("accounts");

#[derive(Debug, Serialize, Deserialize)]
struct Account {
    balance: u64,
    text: String,
}

/// Writes rows from `first` on, with a balance of nothing. Harmless when repeated before use.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger")]
pub(crate) struct OpenAccounts {
    pub(crate) first: u64,
    pub(crate) count: u64,
}

/// Adds to a row and tells its new balance; to a row that is not there, nothing.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = account, reply = Option<u64>)]
pub(crate) struct Add {
    pub(crate) account: u64,
    pub(crate) amount: u64,
}

/// Publishes a note, and stores nothing else.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger")]
pub(crate) struct TakeNote {
    pub(crate) text: String,
}

/// A note was taken.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "ledger")]
pub(crate) struct NoteTaken {
    text: String,
}

/// Keeps accounts and takes notes.
#[derive(Debug)]
pub(crate) struct Ledger;

impl Module for Ledger {
    const NAME: &'static str = "ledger";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<OpenAccounts>()
            .handles::<Add>()
            .handles::<TakeNote>()
            .publishes::<NoteTaken>();
    }
}

impl Handle<OpenAccounts> for Ledger {
    fn handle(&self, command: OpenAccounts, tx: &mut Tx<'_>) -> Outcome<OpenAccounts> {
        for number in command.first..command.first + command.count {
            let account = Account {
                balance: 0,
                text: "x".repeat(ROW_TEXT_BYTES),
            };
            tx.put(&ACCOUNTS, &number, &account)?;
        }
        Ok(())
    }
}

impl Handle<Add> for Ledger {
    fn handle(&self, command: Add, tx: &mut Tx<'_>) -> Outcome<Add> {
        let Some(mut account) = tx.get(&ACCOUNTS, &command.account)? else {
            return Ok(None);
        };
        account.balance += command.amount;
        tx.put(&ACCOUNTS, &command.account, &account)?;
        Ok(Some(account.balance))
    }
}

impl Handle<TakeNote> for Ledger {
    fn handle(&self, command: TakeNote, tx: &mut Tx<'_>) -> Outcome<TakeNote> {
        Ok(tx.publish(&NoteTaken { text: command.text })?)
    }
}
