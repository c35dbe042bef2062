//! A conductor: moves an amount from one account to another, in a flow with every kind of step.

use std::time::Duration;

use modulith_kernel::{
    Answer, Command, Conduct, Context, Declaration, Flow, Module, Outcome, Query, Schema, Setup,
    SetupError, Stop, Table, Tx,
};
use serde::{Deserialize, Serialize};

use super::ledger::{Post, PostRefusal, Posted, TakeBack};

/// Moves an amount. Replies with the token that it drew, and its posts carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[command(module = "conductor", key = number, reply = u64, refusal = PostRefusal)]
pub(super) struct Transfer {
    pub(super) number: u64,
    pub(super) course: Course,
}

/// What happens on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) enum Course {
    /// All goes well.
    Straight,
    /// All goes well, after a sleep between the two posts.
    Slept,
    /// All goes well; before the second post, the event of the first is waited for.
    Awaited,
    /// All goes well, and whoever asked is told before the end.
    ToldEarly,
    /// The second post is refused, so that the first is taken back.
    Refused,
}

/// The entry of a transfer's first post, and its second.
pub(super) fn entries(number: u64) -> [u64; 2] {
    [number * 10 + 1, number * 10 + 2]
}

/// How often each transfer was begun, ended, and taken back.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "conductor", reply = Vec<(u64, Counts)>)]
pub(super) struct ListTransfers {}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Counts {
    pub(super) begun: u32,
    pub(super) ended: u32,
    pub(super) undone: u32,
}

const TRANSFERS: Table<u64, Counts> = Table::new("transfers");

/// The account that amounts come from, and the one they go to.
const ACCOUNTS: [u64; 2] = [1, 2];

/// More than anybody has.
const TOO_MUCH: i64 = 1_000_000_000;

/// More rows than a run has.
const ROWS_MAX: usize = 10_000;

/// Whether undo steps are left out, which a test does to see that it is found out.
pub(super) struct Conductor {
    skips_undo: bool,
}

impl Module for Conductor {
    const NAME: &'static str = "conductor";
    type Settings = bool;

    fn new(skips_undo: &bool, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self {
            skips_undo: *skips_undo,
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .conducts::<Transfer>()
            .answers::<ListTransfers>()
            .awaits::<Posted>()
            .asks::<Post>()
            .asks::<TakeBack>();
    }
}

fn count(
    number: u64,
    tx: &mut Tx<'_>,
    change: impl FnOnce(&mut Counts),
) -> Result<(), modulith_kernel::Fault> {
    let mut counts = tx.get(&TRANSFERS, &number)?.unwrap_or_default();
    change(&mut counts);
    tx.put(&TRANSFERS, &number, &counts)
}

impl Conduct<Transfer> for Conductor {
    async fn conduct(&self, command: Transfer, flow: &Flow) -> Outcome<Transfer> {
        let Transfer { number, course } = command;
        let begin = flow.commit("begin", move |tx| {
            Ok::<_, Stop<PostRefusal>>(count(number, tx, |counts| counts.begun += 1)?)
        });
        let begin = begin.undo(move |tx| count(number, tx, |counts| counts.undone += 1));
        begin.await?;
        let token = flow.random_u128() as u64;
        let [first, second] = entries(number);
        let taken = match course {
            Course::Awaited => Some(flow.expect::<Posted>(&first).await),
            _ => None,
        };
        let amount = i64::try_from(number % 7).unwrap_or_default() + 1;
        let post = |entry, account, amount| Post {
            entry,
            account,
            amount,
            token,
            memo: Vec::new(),
        };
        let take = flow.ask(post(first, ACCOUNTS[0], -amount));
        if self.skips_undo {
            take.await?;
        } else {
            take.undo(TakeBack { entry: first }).await?;
        }
        if let Some(taken) = taken {
            let event = taken.within(Duration::from_secs(60)).await;
            if event.is_none_or(|event| event.entry != first) {
                return Err(modulith_kernel::Fault::Late.into());
            }
        }
        if course == Course::Slept {
            flow.sleep(Duration::from_secs(3)).await;
        }
        if course == Course::ToldEarly {
            flow.reply::<Transfer>(token).await?;
        }
        let amount = match course {
            Course::Refused => -TOO_MUCH,
            _ => amount,
        };
        flow.ask(post(second, ACCOUNTS[1], amount)).await?;
        let end = flow.commit("end", move |tx| {
            Ok::<_, Stop<PostRefusal>>(count(number, tx, |counts| counts.ended += 1)?)
        });
        end.await?;
        Ok(token)
    }
}

impl Answer<ListTransfers> for Conductor {
    async fn answer(&self, _: ListTransfers, context: &Context) -> Outcome<ListTransfers> {
        let rows = context.snapshot()?.range(&TRANSFERS, .., ROWS_MAX);
        rows.map_err(Into::into)
    }
}
