//! A ledger: takes amounts, each entry once, and takes them back.

use modulith_kernel::{
    Answer, Command, Context, Declaration, Event, Handle, Module, Outcome, Query, Refusal, Schema,
    Setup, SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

/// Posts an amount, and says what is in the account then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = entry, reply = i64, refusal = PostRefusal)]
pub(super) struct Post {
    pub(super) entry: u64,
    pub(super) account: u64,
    pub(super) amount: i64,
    /// Something that whoever posts has drawn, and remembers.
    pub(super) token: u64,
    /// So large is the row.
    pub(super) memo: Vec<u8>,
}

/// Takes a post back, and prevails over one that is yet to come.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = entry)]
pub(super) struct TakeBack {
    pub(super) entry: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub(super) enum PostRefusal {
    #[refusal(precondition, "there is only {balance} in the account")]
    Overdrawn { balance: i64 },
    #[refusal(precondition, "it was taken back")]
    TakenBack,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "ledger", key = entry)]
pub(super) struct Posted {
    pub(super) entry: u64,
    pub(super) amount: i64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "ledger", key = entry)]
pub(super) struct TakenBack {
    pub(super) entry: u64,
    pub(super) amount: i64,
}

/// Reads everything.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger", reply = Ledgers)]
pub(super) struct GetLedger {}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub(super) struct Ledgers {
    pub(super) entries: Vec<Entry>,
    /// The sum over all accounts.
    pub(super) balance: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Entry {
    pub(super) entry: u64,
    pub(super) account: u64,
    pub(super) amount: i64,
    pub(super) token: u64,
    /// How often it was posted.
    pub(super) times: u32,
    pub(super) is_taken_back: bool,
}

const ENTRIES: Table<u64, Entry> = Table::new("entries");
const BALANCES: Table<u64, i64> = Table::new("balances");
const MEMO: Table<(), Vec<u8>> = Table::new("memo");

/// More rows than a run has.
const ROWS_MAX: usize = 10_000;

pub(super) struct Ledger;

impl Module for Ledger {
    const NAME: &'static str = "ledger";
    type Settings = ();

    fn new((): &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Post>()
            .handles::<TakeBack>()
            .answers::<GetLedger>()
            .publishes::<Posted>()
            .publishes::<TakenBack>();
    }
}

impl Handle<Post> for Ledger {
    /// Knows nothing of repetitions: that is what is tested.
    fn handle(&self, post: Post, tx: &mut Tx<'_>) -> Outcome<Post> {
        let before = tx.get(&ENTRIES, &post.entry)?;
        if before.as_ref().is_some_and(|entry| entry.is_taken_back) {
            return Err(PostRefusal::TakenBack.into());
        }
        let balance = tx.get(&BALANCES, &post.account)?.unwrap_or(0);
        let after = balance + post.amount;
        if after < 0 {
            return Err(PostRefusal::Overdrawn { balance }.into());
        }
        let entry = Entry {
            entry: post.entry,
            account: post.account,
            amount: post.amount,
            token: post.token,
            times: before.map_or(0, |entry| entry.times) + 1,
            is_taken_back: false,
        };
        tx.put(&ENTRIES, &post.entry, &entry)?;
        tx.put(&BALANCES, &post.account, &after)?;
        if !post.memo.is_empty() {
            tx.put(&MEMO, &(), &post.memo)?;
        }
        tx.publish(&Posted {
            entry: post.entry,
            amount: post.amount,
        })?;
        Ok(after)
    }
}

impl Handle<TakeBack> for Ledger {
    fn handle(&self, command: TakeBack, tx: &mut Tx<'_>) -> Outcome<TakeBack> {
        let before = tx.get(&ENTRIES, &command.entry)?;
        let mut entry = before.unwrap_or(Entry {
            entry: command.entry,
            account: 0,
            amount: 0,
            token: 0,
            times: 0,
            is_taken_back: false,
        });
        let balance = tx.get(&BALANCES, &entry.account)?.unwrap_or(0);
        // Twice taken back shows in the sum.
        let after = balance - entry.amount * i64::from(entry.times);
        entry.is_taken_back = true;
        tx.put(&BALANCES, &entry.account, &after)?;
        tx.put(&ENTRIES, &command.entry, &entry)?;
        Ok(tx.publish(&TakenBack {
            entry: command.entry,
            amount: entry.amount,
        })?)
    }
}

impl Answer<GetLedger> for Ledger {
    async fn answer(&self, _: GetLedger, context: &Context) -> Outcome<GetLedger> {
        let snapshot = context.snapshot()?;
        let entries = snapshot.range(&ENTRIES, .., ROWS_MAX)?;
        let balances = snapshot.range(&BALANCES, .., ROWS_MAX)?;
        Ok(Ledgers {
            entries: entries.into_iter().map(|(_, entry)| entry).collect(),
            balance: balances.into_iter().map(|(_, balance)| balance).sum(),
        })
    }
}
