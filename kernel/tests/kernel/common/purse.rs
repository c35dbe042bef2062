//! Modules that can be divided: purses that pay each other, a till that hears of every payment,
//! and an errand boy whose flows wait for one.

use futures_util::{Stream, StreamExt, stream::iter};
use modulith_kernel::{
    Answer, AnswerStream, Command, Conduct, Context, Declaration, Event, Fault, Flow, Gather,
    Handle, Id, Listen, Module, Never, Outcome, Query, Refusal, Schema, Setup, SetupError, Stop,
    Table, Tx,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub(crate) struct Owner(String);

pub(crate) fn owner(name: &str) -> Owner {
    Owner::new(name).expect("a plain name is an id")
}

/// Takes from one purse for another. Tells how often this one has paid.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "purse", key = from, reply = u32)]
pub(crate) struct Pay {
    pub(crate) from: Owner,
    pub(crate) to: Owner,
    pub(crate) amount: i64,
}

/// Panics.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "purse", key = from)]
pub(crate) struct Tear {
    pub(crate) from: Owner,
}

/// Publishes an event without a key.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "purse", key = from)]
pub(crate) struct Sigh {
    pub(crate) from: Owner,
}

/// All amounts that this purse has paid, in order.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "purse", key = from, reply = Vec<i64>)]
pub(crate) struct ListPaid {
    pub(crate) from: Owner,
}

/// The same, one by one.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "purse", key = from, stream = i64)]
pub(crate) struct StreamPaid {
    pub(crate) from: Owner,
}

/// Everybody who has a purse.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "purse", reply = Vec<String>, fan_out = all)]
pub(crate) struct ListOwners {}

impl Gather for ListOwners {
    fn gather(replies: Vec<Vec<String>>, missing: u16) -> Vec<String> {
        assert_eq!(missing, 0, "all means all");
        let mut owners: Vec<_> = replies.into_iter().flatten().collect();
        owners.sort();
        owners
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Census {
    pub(crate) owners: u32,
    pub(crate) missing: u16,
}

/// How many have a purse, and how many partitions could not tell.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "purse", reply = Census, fan_out = some)]
pub(crate) struct CountOwners {}

impl Gather for CountOwners {
    fn gather(replies: Vec<Census>, missing: u16) -> Census {
        let owners = replies.iter().map(|census| census.owners).sum();
        Census { owners, missing }
    }
}

/// Who has paid this amount; nobody knows where he is.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "purse", reply = String, refusal = Unpaid, fan_out = some)]
pub(crate) struct FindPayer {
    pub(crate) amount: i64,
}

impl Gather for FindPayer {
    fn gather(replies: Vec<String>, _: u16) -> String {
        replies.join("+")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub(crate) enum Unpaid {
    #[refusal(not_found, "nobody has paid {amount}")]
    Nobody { amount: i64 },
}

/// Somebody paid. Its key is not that of the command: it is for him who gets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(module = "purse", key = to)]
pub(crate) struct Paid {
    pub(crate) from: Owner,
    pub(crate) to: Owner,
    pub(crate) amount: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(module = "purse")]
pub(crate) struct Sighed {}

const PAID: Table<(Owner, u32), i64> = Table::new("paid");
const COUNTS: Table<Owner, u32> = Table::new("counts");

pub(crate) struct Purse;

impl Module for Purse {
    const NAME: &'static str = "purse";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<Pay>()
            .handles::<Tear>()
            .handles::<Sigh>()
            .answers::<ListPaid>()
            .streams::<StreamPaid>()
            .answers::<ListOwners>()
            .answers::<CountOwners>()
            .answers::<FindPayer>()
            .publishes::<Paid>()
            .publishes::<Sighed>();
    }
}

impl Handle<Pay> for Purse {
    fn handle(&self, Pay { from, to, amount }: Pay, tx: &mut Tx<'_>) -> Outcome<Pay> {
        let count = tx.get(&COUNTS, &from)?.unwrap_or(0) + 1;
        tx.put(&COUNTS, &from, &count)?;
        tx.put(&PAID, &(from.clone(), count), &amount)?;
        tx.publish(&Paid { from, to, amount })?;
        Ok(count)
    }
}

impl Handle<Tear> for Purse {
    fn handle(&self, _: Tear, _: &mut Tx<'_>) -> Outcome<Tear> {
        panic!("the test's purse tears");
    }
}

impl Handle<Sigh> for Purse {
    fn handle(&self, _: Sigh, tx: &mut Tx<'_>) -> Outcome<Sigh> {
        Ok(tx.publish(&Sighed {})?)
    }
}

/// What somebody paid, as far as this partition knows.
fn paid_by(from: &Owner, context: &Context) -> Result<Vec<i64>, Fault> {
    let rows = context.snapshot()?.range(&PAID, .., usize::MAX)?;
    let own = rows.into_iter().filter(|((paid_by, _), _)| paid_by == from);
    Ok(own.map(|(_, amount)| amount).collect())
}

impl Answer<ListPaid> for Purse {
    async fn answer(&self, query: ListPaid, context: &Context) -> Outcome<ListPaid> {
        Ok(paid_by(&query.from, context)?)
    }
}

impl AnswerStream<StreamPaid> for Purse {
    fn stream(
        &self,
        query: StreamPaid,
        context: &Context,
    ) -> impl Stream<Item = Result<i64, Stop<Never>>> + Send + 'static {
        match paid_by(&query.from, context) {
            Ok(paid) => iter(paid).map(Ok).left_stream(),
            Err(fault) => iter([Err(fault.into())]).right_stream(),
        }
    }
}

impl Answer<ListOwners> for Purse {
    async fn answer(&self, _: ListOwners, context: &Context) -> Outcome<ListOwners> {
        let rows = context.snapshot()?.range(&COUNTS, .., usize::MAX)?;
        Ok(rows.into_iter().map(|(from, _)| from.to_string()).collect())
    }
}

impl Answer<CountOwners> for Purse {
    async fn answer(&self, _: CountOwners, context: &Context) -> Outcome<CountOwners> {
        let rows = context.snapshot()?.range(&COUNTS, .., usize::MAX)?;
        Ok(Census {
            owners: u32::try_from(rows.len()).expect("a test has few"),
            missing: 0,
        })
    }
}

impl Answer<FindPayer> for Purse {
    async fn answer(&self, query: FindPayer, context: &Context) -> Outcome<FindPayer> {
        let FindPayer { amount } = query;
        let rows = context.snapshot()?.range(&PAID, .., usize::MAX)?;
        let mut rows = rows.into_iter();
        let found = rows.find(|(_, paid)| *paid == amount);
        let ((from, _), _) = found.ok_or(Unpaid::Nobody { amount })?;
        Ok(from.to_string())
    }
}

/// What somebody got, in the order in which the till heard of it.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "till", key = to, reply = Vec<(String, i64)>)]
pub(crate) struct ListGot {
    pub(crate) to: Owner,
}

/// How many payments the till has heard of in all, and how many sighs.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "till", reply = Vec<(u32, u32)>, fan_out = all)]
pub(crate) struct CountHeard {}

impl Gather for CountHeard {
    fn gather(replies: Vec<Vec<(u32, u32)>>, _: u16) -> Vec<(u32, u32)> {
        replies.into_iter().flatten().collect()
    }
}

const GOT: Table<(Owner, u32), (String, i64)> = Table::new("got");
const HEARD: Table<(), (u32, u32)> = Table::new("heard");

/// What trips the till up.
#[derive(Debug, Clone, Default)]
pub(crate) struct TillSettings {
    /// Payments of this amount end in a fault.
    pub(crate) fault_on: Arc<AtomicI64>,
    /// How many payments were begun to be handled.
    pub(crate) begun: Arc<AtomicU32>,
}

pub(crate) struct Till(TillSettings);

impl Module for Till {
    const NAME: &'static str = "till";
    type Settings = TillSettings;

    fn new(settings: &TillSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .listens::<Paid>()
            .listens::<Sighed>()
            .answers::<ListGot>()
            .answers::<CountHeard>();
    }
}

impl Listen<Paid> for Till {
    fn listen(&self, event: Paid, tx: &mut Tx<'_>) -> Result<(), Fault> {
        self.0.begun.fetch_add(1, SeqCst);
        let (paid, sighed) = tx.get(&HEARD, &())?.unwrap_or_default();
        tx.put(&HEARD, &(), &(paid + 1, sighed))?;
        let got = (event.from.to_string(), event.amount);
        tx.put(&GOT, &(event.to, paid), &got)?;
        if event.amount == self.0.fault_on.load(SeqCst) {
            return Err(Fault::Late);
        }
        Ok(())
    }
}

impl Listen<Sighed> for Till {
    fn listen(&self, _: Sighed, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let (paid, sighed) = tx.get(&HEARD, &())?.unwrap_or_default();
        tx.put(&HEARD, &(), &(paid, sighed + 1))
    }
}

impl Answer<ListGot> for Till {
    async fn answer(&self, query: ListGot, context: &Context) -> Outcome<ListGot> {
        let rows = context.snapshot()?.range(&GOT, .., usize::MAX)?;
        let own = rows.into_iter().filter(|((to, _), _)| *to == query.to);
        Ok(own.map(|(_, got)| got).collect())
    }
}

impl Answer<CountHeard> for Till {
    async fn answer(&self, _: CountHeard, context: &Context) -> Outcome<CountHeard> {
        Ok(vec![
            context.snapshot()?.get(&HEARD, &())?.unwrap_or_default(),
        ])
    }
}

/// Waits until somebody is paid, and tells how much. The errand has a key of its own.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "errand", key = name, reply = Option<i64>)]
pub(crate) struct AwaitPayment {
    pub(crate) name: Owner,
    pub(crate) to: Owner,
}

/// Has one purse pay another, and counts the errands of this name.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "errand", key = name, reply = u32)]
pub(crate) struct SendPayment {
    pub(crate) name: Owner,
    pub(crate) pay: Payment,
}

/// Adds up what a purse has paid, item by item. The errand has a key of its own.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "errand", key = name, reply = i64)]
pub(crate) struct SumPaid {
    pub(crate) name: Owner,
    pub(crate) from: Owner,
}

#[derive(Debug, Clone, Serialize, Deserialize, Schema)]
pub(crate) struct Payment {
    pub(crate) from: Owner,
    pub(crate) to: Owner,
    pub(crate) amount: i64,
}

pub(crate) struct Errand;

impl Module for Errand {
    const NAME: &'static str = "errand";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .conducts::<AwaitPayment>()
            .conducts::<SendPayment>()
            .answers::<SumPaid>()
            .awaits::<Paid>()
            .asks::<Pay>()
            .asks_stream::<StreamPaid>();
    }
}

impl Answer<SumPaid> for Errand {
    async fn answer(&self, query: SumPaid, context: &Context) -> Outcome<SumPaid> {
        let mut amounts = context.stream(StreamPaid { from: query.from });
        let mut sum = 0;
        while let Some(amount) = amounts.next().await {
            sum += amount?;
        }
        Ok(sum)
    }
}

impl Conduct<AwaitPayment> for Errand {
    async fn conduct(&self, command: AwaitPayment, flow: &Flow) -> Outcome<AwaitPayment> {
        let payment = flow.expect::<Paid>(&command.to).await;
        let came = payment.within(Duration::from_secs(3600)).await;
        Ok(came.map(|paid| paid.amount))
    }
}

impl Conduct<SendPayment> for Errand {
    async fn conduct(&self, command: SendPayment, flow: &Flow) -> Outcome<SendPayment> {
        let Payment { from, to, amount } = command.pay;
        let paid = flow.ask(Pay { from, to, amount }).await;
        Ok(paid.map_err(Stop::into_fault)?)
    }
}
