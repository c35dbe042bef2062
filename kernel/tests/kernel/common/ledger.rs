//! A ledger: balances by account. Its handlers change first and check later, so that what must
//! leave nothing behind has something to leave.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use modulith_kernel::{
    Answer, Command, Context, Declaration, Event, Handle, Id, Module, Outcome, Query, Refusal,
    Setup, SetupError, Table, Tx,
};
use serde::{Deserialize, Serialize};

use super::Gate;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub(crate) struct Account(String);

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = account, reply = i64, refusal = PostRefusal)]
pub(crate) struct Post {
    pub(crate) account: Account,
    pub(crate) amount: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub(crate) enum PostRefusal {
    #[refusal(precondition, "there is only {balance} in the account")]
    Overdrawn { balance: i64 },
}

/// Changes like [`Post`], then panics.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = account)]
pub(crate) struct Crash {
    pub(crate) account: Account,
}

/// Stands in the gate.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger")]
pub(crate) struct Hold {}

/// Publishes an event of the ledger's contract that it does not declare.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger", key = account)]
pub(crate) struct PublishUndeclared {
    pub(crate) account: Account,
}

/// Publishes an event that no page of a feed can hold.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "ledger")]
pub(crate) struct PublishNote {
    pub(crate) bytes: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger", key = account, reply = i64)]
pub(crate) struct GetBalance {
    pub(crate) account: Account,
}

/// Which of the module's values answers: 1 for the first made.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger", reply = u32)]
pub(crate) struct GetIncarnation {}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ledger")]
pub(crate) struct GetCrash {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(module = "ledger", key = account)]
pub(crate) struct Posted {
    pub(crate) account: Account,
    pub(crate) amount: i64,
}

/// An event that the shelf takes no interest in.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "ledger")]
pub(crate) struct Noted {
    pub(crate) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "ledger", key = account)]
pub(crate) struct Undeclared {
    pub(crate) account: Account,
}

const BALANCES: Table<Account, i64> = Table::new("balances");

/// What a test holds on to while the ledger runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct LedgerSettings {
    pub(crate) gate: Arc<Gate>,
    pub(crate) made: Arc<AtomicU32>,
}

pub(crate) struct Ledger {
    gate: Arc<Gate>,
    incarnation: u32,
}

impl Module for Ledger {
    const NAME: &'static str = "ledger";
    type Settings = LedgerSettings;

    fn new(settings: &LedgerSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self {
            gate: settings.gate.clone(),
            incarnation: settings.made.fetch_add(1, SeqCst) + 1,
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Post>()
            .handles::<Crash>()
            .handles::<Hold>()
            .handles::<PublishUndeclared>()
            .handles::<PublishNote>()
            .answers::<GetBalance>()
            .answers::<GetIncarnation>()
            .answers::<GetCrash>()
            .publishes::<Posted>()
            .publishes::<Noted>();
    }
}

impl Handle<Post> for Ledger {
    fn handle(&self, Post { account, amount }: Post, tx: &mut Tx<'_>) -> Outcome<Post> {
        let balance = tx.get(&BALANCES, &account)?.unwrap_or(0);
        let after = balance + amount;
        tx.put(&BALANCES, &account, &after)?;
        tx.publish(&Posted { account, amount })?;
        if after < 0 {
            return Err(PostRefusal::Overdrawn { balance }.into());
        }
        Ok(after)
    }
}

impl Handle<Crash> for Ledger {
    fn handle(&self, Crash { account }: Crash, tx: &mut Tx<'_>) -> Outcome<Crash> {
        tx.put(&BALANCES, &account, &999)?;
        tx.publish(&Posted {
            account,
            amount: 999,
        })?;
        panic!("the test's handler panics");
    }
}

impl Handle<Hold> for Ledger {
    fn handle(&self, _: Hold, _: &mut Tx<'_>) -> Outcome<Hold> {
        self.gate.pass();
        Ok(())
    }
}

impl Handle<PublishUndeclared> for Ledger {
    fn handle(
        &self,
        PublishUndeclared { account }: PublishUndeclared,
        tx: &mut Tx<'_>,
    ) -> Outcome<PublishUndeclared> {
        tx.put(&BALANCES, &account, &999)?;
        Ok(tx.publish(&Undeclared { account })?)
    }
}

impl Handle<PublishNote> for Ledger {
    fn handle(&self, note: PublishNote, tx: &mut Tx<'_>) -> Outcome<PublishNote> {
        let text = "x".repeat(note.bytes as usize);
        Ok(tx.publish(&Noted { text })?)
    }
}

impl Answer<GetBalance> for Ledger {
    async fn answer(&self, query: GetBalance, context: &Context) -> Outcome<GetBalance> {
        let balance = context.snapshot()?.get(&BALANCES, &query.account)?;
        Ok(balance.unwrap_or(0))
    }
}

impl Answer<GetIncarnation> for Ledger {
    async fn answer(&self, _: GetIncarnation, _: &Context) -> Outcome<GetIncarnation> {
        Ok(self.incarnation)
    }
}

impl Answer<GetCrash> for Ledger {
    async fn answer(&self, _: GetCrash, _: &Context) -> Outcome<GetCrash> {
        panic!("the test's answer panics");
    }
}
