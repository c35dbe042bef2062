//! A teller: asks the ledger, as it declares and otherwise, and conducts transfers.

use std::sync::Arc;

use modulith_kernel::{
    Answer, Command, Conduct, Context, Declaration, Fault, Flow, Module, Outcome, Query, Setup,
    SetupError, Stop, Table,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::{
    alice,
    ledger::{Account, GetBalance, GetIncarnation, Post, PostRefusal},
};

/// Moves money from one account to another, and counts what it moved.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "teller", key = from, reply = u32, refusal = PostRefusal)]
pub(crate) struct Transfer {
    pub(crate) from: Account,
    pub(crate) to: Account,
    pub(crate) amount: i64,
}

/// Commits a transfer that never was, and then does not want it: the change is dropped.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "teller", refusal = PostRefusal)]
pub(crate) struct RefuseInCommit {}

/// Panics between its steps.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "teller")]
pub(crate) struct CrashBetween {}

#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "teller", reply = u32)]
pub(crate) struct CountTransfers {}

/// Asks the ledger for Alice's balance.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "teller", reply = i64)]
pub(crate) struct AskDeclared {}

/// Asks the ledger what the teller does not declare.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "teller", reply = u32)]
pub(crate) struct AskUndeclared {}

/// Takes no end.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "teller")]
pub(crate) struct AskForever {}

const TRANSFERS: Table<(), u32> = Table::new("transfers");

/// Where a test can hold a transfer between its steps.
#[derive(Debug, Clone, Default)]
pub(crate) struct TellerSettings {
    /// Told when the money was taken.
    pub(crate) taken: Arc<Notify>,
    /// Waited for before the money is given; none to go straight on.
    pub(crate) go_on: Option<Arc<Notify>>,
    /// Told when the transfer has ended, well or not.
    pub(crate) done: Arc<Notify>,
}

pub(crate) struct Teller(TellerSettings);

impl Module for Teller {
    const NAME: &'static str = "teller";
    type Settings = TellerSettings;

    fn new(settings: &TellerSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .conducts::<Transfer>()
            .conducts::<RefuseInCommit>()
            .conducts::<CrashBetween>()
            .answers::<CountTransfers>()
            .answers::<AskDeclared>()
            .answers::<AskUndeclared>()
            .answers::<AskForever>()
            .asks::<Post>()
            .asks::<GetBalance>();
    }
}

impl Conduct<Transfer> for Teller {
    async fn conduct(&self, command: Transfer, flow: &Flow) -> Outcome<Transfer> {
        let outcome = self.transfer(command, flow).await;
        self.0.done.notify_one();
        outcome
    }
}

impl Teller {
    async fn transfer(&self, command: Transfer, flow: &Flow) -> Outcome<Transfer> {
        let Transfer { from, to, amount } = command;
        let take = Post {
            account: from.clone(),
            amount: -amount,
        };
        let give_back = Post {
            account: from,
            amount,
        };
        flow.ask(take).undo(give_back).await?;
        self.0.taken.notify_one();
        if let Some(go_on) = &self.0.go_on {
            go_on.notified().await;
        }
        let give = Post {
            account: to,
            amount,
        };
        flow.ask(give).await?;
        let counted = flow.commit("count", |tx| {
            let count = tx.get(&TRANSFERS, &())?.unwrap_or(0) + 1;
            tx.put(&TRANSFERS, &(), &count)?;
            Ok::<_, Stop<PostRefusal>>(count)
        });
        Ok(counted.await?)
    }
}

impl Conduct<RefuseInCommit> for Teller {
    async fn conduct(&self, _: RefuseInCommit, flow: &Flow) -> Outcome<RefuseInCommit> {
        let commit = flow.commit("refuse", |tx| {
            tx.put(&TRANSFERS, &(), &999)?;
            Err::<(), _>(Stop::Refused(PostRefusal::Overdrawn { balance: 0 }))
        });
        Ok(commit.await?)
    }
}

impl Conduct<CrashBetween> for Teller {
    async fn conduct(&self, _: CrashBetween, flow: &Flow) -> Outcome<CrashBetween> {
        let post = |amount| Post {
            account: alice(),
            amount,
        };
        let posted = flow.ask(post(1)).undo(post(-1)).await;
        posted.map_err(|_| Fault::Late)?;
        panic!("the test's conductor panics");
    }
}

impl Answer<CountTransfers> for Teller {
    async fn answer(&self, _: CountTransfers, context: &Context) -> Outcome<CountTransfers> {
        Ok(context.snapshot()?.get(&TRANSFERS, &())?.unwrap_or(0))
    }
}

impl Answer<AskDeclared> for Teller {
    async fn answer(&self, _: AskDeclared, context: &Context) -> Outcome<AskDeclared> {
        let account = alice();
        context.ask(GetBalance { account }).await
    }
}

impl Answer<AskUndeclared> for Teller {
    async fn answer(&self, _: AskUndeclared, context: &Context) -> Outcome<AskUndeclared> {
        context.ask(GetIncarnation {}).await
    }
}

impl Answer<AskForever> for Teller {
    async fn answer(&self, _: AskForever, _: &Context) -> Outcome<AskForever> {
        std::future::pending().await
    }
}
