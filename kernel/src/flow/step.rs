//! What a flow can do: its steps, each with what it may be told before it is taken.

use std::{
    future::{Future, IntoFuture},
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, pending};
use modulith_contract::{
    Command, Event, Fault, Key, Kind, Never, Outcome, Refusal, Request, Stop, Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use super::{
    Path, Retry,
    flows::Halt,
    journal::{Certainty, Journal, Undo},
    record::{STEPS, StepKind, StepRecord},
    wait::{self, Expected},
};
use crate::{MessageName, REPLY_TIMEOUT, Tx, codec, faults};

/// A running flow, as its code sees it: every step outside of that code goes through here.
///
/// Steps are numbered in the order in which they are made, so that several made in one order may
/// be awaited at once (`join!(a.into_future(), b.into_future())`). Whoever wants several steps
/// in a row beside others gives each row a [`Flow::branch`].
pub struct Flow {
    journal: Arc<Journal>,
    path: Path,
    steps: AtomicU32,
}

impl Flow {
    pub(super) fn new(journal: Arc<Journal>) -> Self {
        Self {
            journal,
            path: Path::default(),
            steps: AtomicU32::new(0),
        }
    }

    /// The flow's id: that of the command which started it.
    pub fn id(&self) -> u128 {
        self.journal.id
    }

    /// The version of the code that the flow started with; see
    /// [`Conduct::VERSION`](crate::Conduct::VERSION).
    pub fn version(&self) -> u32 {
        self.journal.version()
    }

    /// Numbers its steps apart, for several rows of steps side by side.
    pub fn branch(&self) -> Self {
        Self {
            journal: self.journal.clone(),
            path: self.next(),
            steps: AtomicU32::new(0),
        }
    }

    /// Asks another module. Awaiting it gives the outcome.
    ///
    /// By default each attempt may take [`REPLY_TIMEOUT`], and there is another one
    /// ([`Retry::forever`]) until there is a reply or a refusal. However often it is sent, a
    /// command takes effect once.
    pub fn ask<R: Request + Clone>(&self, request: R) -> Ask<'_, R> {
        Ask {
            flow: self,
            path: self.next(),
            request,
            undo: None,
            retry: Retry::forever(),
            limit: REPLY_TIMEOUT,
        }
    }

    /// Changes the module's own store, in one commit with what the flow remembers of it: once,
    /// however often the flow is resumed. Awaiting it gives what `change` returns.
    ///
    /// `label` names the step in the flow's history. A refusal changes nothing; a failing store
    /// is waited for.
    pub fn commit<T, R, F>(&self, label: &'static str, change: F) -> Commit<'_, T, R, F>
    where
        F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>>,
    {
        Commit {
            flow: self,
            path: self.next(),
            label,
            change,
            undo: None,
            types: PhantomData,
        }
    }

    /// Does something to the outside world, such as sending a letter. Awaiting it gives what it
    /// came to.
    ///
    /// It is done at least once: a crash between the effect and the journal does it again, so it
    /// must be harmless to repeat, or the world must know it again. A fault is retried as for
    /// [`Flow::ask`].
    pub fn run<T, E>(&self, label: &'static str, effect: E) -> Run<'_, T, E>
    where
        E: AsyncFn() -> Result<T, Fault>,
    {
        Run {
            flow: self,
            path: self.next(),
            label,
            effect,
            retry: Retry::forever(),
            types: PhantomData,
        }
    }

    /// Sleeps, through restarts too.
    pub async fn sleep(&self, duration: Duration) {
        let path = self.next();
        let journal = &self.journal;
        let label = "";
        let until = match journal.recall(&path, StepKind::Sleep, label, 0).await {
            Some(record) => self.decode(&record.result).await,
            None => {
                let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let until = Timestamp(journal.now().0.saturating_add(millis));
                let summary = format!("until {until}");
                let record = self.record(StepKind::Sleep, label, 0, &until, summary);
                journal.note(path, record, Certainty::Undetermined);
                journal.flush().await;
                until
            }
        };
        if journal.is_undoing() && journal.now() < until {
            // What is being taken back was asleep when it was cancelled: the code got no further.
            journal.control.halt(Halt::Cancelled);
            return pending().await;
        }
        self.clock_reaches(until).await;
    }

    /// The time of day, the same however often the flow is resumed.
    pub fn now(&self) -> Timestamp {
        let found = || self.journal.now();
        self.draw(StepKind::Now, found)
    }

    /// 128 random bits, the same however often the flow is resumed.
    pub fn random_u128(&self) -> u128 {
        let found = || self.journal.home.environment().random_u128();
        self.draw(StepKind::Random, found)
    }

    /// Begins to wait for an event with this key: one that comes from now on is kept, so expect
    /// it before the step that brings it about. The module must declare that it
    /// [`awaits`](crate::Declaration::awaits) it.
    pub async fn expect<E: Event>(&self, key: &impl Key) -> Expected<'_, E> {
        wait::expect(self, self.next(), key).await
    }

    /// Waits for an event with this key that comes from now on; none when the time is over.
    pub async fn wait_for<E: Event>(&self, key: &impl Key, limit: Duration) -> Option<E> {
        self.expect::<E>(key).await.within(limit).await
    }

    /// Tells the callers what the command came to, now, and goes on: with what they need not wait
    /// for. What the code returns in the end they are not told any more.
    ///
    /// What was told stands: of the steps before, none is taken back from here on, whether the flow
    /// fails or is cancelled.
    ///
    /// # Errors
    /// [`Fault::TooLarge`] when the reply is too large to be sent.
    pub async fn reply<C: Command>(&self, reply: C::Reply) -> Result<(), Fault> {
        let outcome: Outcome<C> = Ok(reply);
        let bytes = codec::encode_kept(&outcome).map_err(|e| faults::unencodable::<C>(&e))?;
        let journal = &self.journal;
        journal.stand();
        if journal.running().reply.is_some() {
            return Ok(());
        }
        // The code would come to the same reply after a crash: nobody needs to wait for the disk.
        if journal.is_determined() {
            journal.control.tell(&bytes);
        }
        journal.set_reply(bytes.clone()).await;
        journal.control.tell(&bytes);
        Ok(())
    }

    pub(super) fn next(&self) -> Path {
        self.path.child(self.steps.fetch_add(1, Relaxed) + 1)
    }

    pub(super) fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Waits until the clock shows a time.
    pub(super) async fn clock_reaches(&self, until: Timestamp) {
        let clock = self.journal.home.environment().clock.clone();
        clock.reaches(until).await;
    }

    pub(super) fn record<T: Serialize>(
        &self,
        kind: StepKind,
        label: &str,
        digest: u128,
        result: &T,
        summary: impl Into<String>,
    ) -> StepRecord {
        StepRecord {
            kind,
            label: label.to_string(),
            digest,
            // What cannot be kept is found out when it is read: the flow is parked then.
            result: codec::encode_kept(result).unwrap_or_default(),
            summary: summary.into(),
            attempts: 1,
            at: self.journal.now(),
        }
    }

    /// Reads a result back; a flow whose journal cannot be read goes no further.
    pub(super) async fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> T {
        match codec::decode(bytes) {
            Ok(value) => value,
            Err(error) => {
                let reason = format!("a result in the journal cannot be read: {error}");
                self.journal.control.halt(Halt::Mismatch(reason));
                futures_util::future::pending().await
            }
        }
    }

    fn draw<T: Serialize + DeserializeOwned>(&self, kind: StepKind, found: impl Fn() -> T) -> T {
        let path = self.next();
        match self.journal.find(&path, kind, "", 0) {
            Ok(Some(record)) => codec::decode(&record.result).unwrap_or_else(|error| {
                let reason = format!("a result in the journal cannot be read: {error}");
                self.journal.control.halt(Halt::Mismatch(reason));
                found()
            }),
            Ok(None) => {
                let value = found();
                let record = self.record(kind, "", 0, &value, "");
                self.journal.note(path, record, Certainty::Undetermined);
                value
            }
            Err(halt) => {
                // The code is stopped where it next waits.
                self.journal.control.halt(halt);
                found()
            }
        }
    }
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow")
            .field("id", &super::journal::hex(self.id()))
            .finish_non_exhaustive()
    }
}

/// A request about to be asked by a flow; see [`Flow::ask`].
#[must_use = "a step is taken when it is awaited"]
pub struct Ask<'a, R: Request> {
    flow: &'a Flow,
    path: Path,
    request: R,
    undo: Option<Undo>,
    retry: Retry,
    limit: Duration,
}

impl<R: Request + Clone> Ask<'_, R> {
    /// Names the command that takes this one back. It is asked when the flow fails later, or when
    /// this step ended in a fault, for then it may have taken effect: it must be harmless, and
    /// must prevail, when there is nothing to take back yet. It is tried until it is done.
    pub fn undo<U: Command + Clone>(mut self, undo: U) -> Self {
        self.undo = Some(undo_by_asking(undo));
        self
    }

    /// Says how often it is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Says how long one attempt may take.
    pub fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    async fn take(self) -> Outcome<R> {
        let Self {
            flow,
            path,
            request,
            undo,
            retry,
            limit,
        } = self;
        let journal = flow.journal();
        let label = MessageName::of::<R>().to_string();
        let digest = crate::inbox::digest(&request)?;
        if let Some(undo) = undo {
            journal.may_undo(&path, undo);
        }
        let recalled = journal.recall(&path, StepKind::Ask, &label, digest).await;
        let outcome: Outcome<R> = match recalled {
            Some(record) => flow.decode(&record.result).await,
            None => {
                let is_command = R::KIND == Kind::Command;
                if is_command {
                    journal.settle().await;
                }
                let asked = Asked { retry, limit };
                let (outcome, attempts) = asked.insist(journal, &path, &request).await;
                let certainty = match &outcome {
                    Ok(_) | Err(Stop::Refused(_)) if is_command => Certainty::Determined,
                    _ => Certainty::Undetermined,
                };
                let record = StepRecord {
                    attempts,
                    ..flow.record(StepKind::Ask, &label, digest, &outcome, told(&outcome))
                };
                journal.note(path.clone(), record, certainty);
                outcome
            }
        };
        if matches!(outcome, Err(Stop::Refused(_))) {
            journal.need_not_undo(&path);
        }
        outcome
    }
}

impl<'a, R: Request + Clone> IntoFuture for Ask<'a, R> {
    type Output = Outcome<R>;
    type IntoFuture = BoxFuture<'a, Outcome<R>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}

struct Asked {
    retry: Retry,
    limit: Duration,
}

impl Asked {
    /// Asks until there is an answer, or there are to be no more attempts.
    async fn insist<R: Request + Clone>(
        &self,
        journal: &Journal,
        path: &Path,
        request: &R,
    ) -> (Outcome<R>, u32) {
        let id = step_id(journal.id, path);
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            let deadline = Instant::now() + self.limit;
            let port = journal.home.port();
            let outcome = port.ask_again(request.clone(), id, deadline).await;
            let Err(Stop::Fault(fault)) = &outcome else {
                return (outcome, attempts);
            };
            let Some(pause) = self.retry.pause(attempts, begun, fault) else {
                return (outcome, attempts);
            };
            tracing::debug!(message = %MessageName::of::<R>(), attempts, %fault, "step waits");
            sleep(pause).await;
        }
    }
}

/// The id a step's command has however often it is sent.
fn step_id(flow: u128, path: &Path) -> u128 {
    let mut bytes = Vec::new();
    path.write(&mut bytes);
    codec::digest(&[b"step", &flow.to_le_bytes(), &bytes])
}

fn undo_by_asking<U: Command + Clone>(undo: U) -> Undo {
    Box::new(move |journal, path| {
        Box::pin(async move {
            let asked = Asked {
                retry: Retry::forever(),
                limit: REPLY_TIMEOUT,
            };
            let label = MessageName::of::<U>().to_string();
            // What was refused before is kept as such by whoever was asked.
            let refusals = journal.refusals(&path);
            let asked_as = path.child(refusals);
            let (outcome, attempts) = asked.insist(&journal, &asked_as, &undo).await;
            let mut record = undone(&journal, &label);
            record.attempts = attempts;
            match outcome {
                Ok(_) => {
                    journal.note(path, record, Certainty::Determined);
                    Ok(())
                }
                Err(stop) => {
                    record.summary = told(&Err::<(), _>(&stop));
                    record.result = codec::encode(&(refusals + 1)).unwrap_or_default();
                    journal.note(path, record, Certainty::Undetermined);
                    Err(format!("{label} cannot be done: {stop}"))
                }
            }
        })
    })
}

/// The record of a step back that was taken. One that was refused holds how often instead of an
/// empty result.
fn undone(journal: &Journal, label: &str) -> StepRecord {
    StepRecord {
        kind: StepKind::Undo,
        label: label.to_string(),
        digest: 0,
        result: Vec::new(),
        summary: "ok".to_string(),
        attempts: 1,
        at: journal.now(),
    }
}

/// An outcome in a few words, for the flow's history.
fn told<T, R: std::fmt::Display, S: std::borrow::Borrow<Stop<R>>>(
    outcome: &Result<T, S>,
) -> String {
    match outcome.as_ref().map_err(std::borrow::Borrow::borrow) {
        Ok(_) => "ok".to_string(),
        Err(Stop::Refused(refusal)) => format!("refused: {refusal}"),
        Err(Stop::Fault(fault)) => format!("fault: {fault}"),
    }
}

/// A change of the module's own store about to be made by a flow; see [`Flow::commit`].
#[must_use = "a step is taken when it is awaited"]
pub struct Commit<'a, T, R, F> {
    flow: &'a Flow,
    path: Path,
    label: &'static str,
    change: F,
    undo: Option<Undo>,
    types: PhantomData<fn() -> (T, R)>,
}

impl<'a, T, R, F> Commit<'a, T, R, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    R: Refusal,
    F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
{
    /// Says how the change is taken back when the flow fails later.
    pub fn undo<U>(mut self, undo: U) -> Self
    where
        U: Fn(&mut Tx<'_>) -> Result<(), Fault> + Send + Sync + 'static,
    {
        let label = self.label;
        self.undo = Some(Box::new(move |journal, path| {
            Box::pin(async move {
                let record = undone(&journal, label);
                journal.note(path, record, Certainty::Determined);
                let change = move |tx: &mut Tx<'_>| Ok::<_, Stop<Never>>(undo(tx)?);
                match journal.write(Arc::new(change)).await {
                    Ok(()) => Ok(()),
                    Err(never) => match never {},
                }
            })
        }));
        self
    }

    async fn take(self) -> Result<T, R> {
        let Self {
            flow,
            path,
            label,
            change,
            undo,
            ..
        } = self;
        let journal = flow.journal();
        let recalled = journal.recall(&path, StepKind::Commit, label, 0).await;
        let ended: Result<T, R> = match recalled {
            Some(record) => flow.decode(&record.result).await,
            None => {
                let key = (journal.id, path.clone());
                let at = journal.now();
                let committed = move |tx: &mut Tx<'_>| {
                    // Of an earlier try whose end was never known.
                    if let Some(record) = tx.get(&STEPS, &key)? {
                        return Ok((record, None));
                    }
                    let value = change(tx)?;
                    let ended: Result<&T, ()> = Ok(&value);
                    let result = codec::encode_kept(&ended).map_err(|error| Fault::Store {
                        module: "flow".to_string(),
                        reason: error.to_string(),
                    })?;
                    let record = StepRecord {
                        kind: StepKind::Commit,
                        label: label.to_string(),
                        digest: 0,
                        result,
                        summary: "ok".to_string(),
                        attempts: 1,
                        at,
                    };
                    tx.put(&STEPS, &key, &record)?;
                    Ok::<_, Stop<R>>((record, Some(value)))
                };
                match journal.write(Arc::new(committed)).await {
                    Ok((record, value)) => {
                        let bytes = record.result.clone();
                        journal.note_written(path.clone(), record);
                        match value {
                            Some(value) => Ok(value),
                            None => flow.decode(&bytes).await,
                        }
                    }
                    Err(refusal) => {
                        let summary = format!("refused: {refusal}");
                        let ended: Result<(), &R> = Err(&refusal);
                        let record = flow.record(StepKind::Commit, label, 0, &ended, summary);
                        journal.note(path.clone(), record, Certainty::Undetermined);
                        Err(refusal)
                    }
                }
            }
        };
        if let (Ok(_), Some(undo)) = (&ended, undo) {
            journal.may_undo(&path, undo);
        }
        ended
    }
}

impl<'a, T, R, F> IntoFuture for Commit<'a, T, R, F>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    R: Refusal,
    F: Fn(&mut Tx<'_>) -> Result<T, Stop<R>> + Send + Sync + 'static,
{
    type Output = Result<T, R>;
    type IntoFuture = BoxFuture<'a, Result<T, R>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}

/// Something about to be done to the outside world by a flow; see [`Flow::run`].
#[must_use = "a step is taken when it is awaited"]
pub struct Run<'a, T, E> {
    flow: &'a Flow,
    path: Path,
    label: &'static str,
    effect: E,
    retry: Retry,
    types: PhantomData<fn() -> T>,
}

impl<'a, T, E, Fut> Run<'a, T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Fn() -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<T, Fault>> + Send,
{
    /// Says how often it is tried.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    async fn take(self) -> Result<T, Fault> {
        let Self {
            flow,
            path,
            label,
            effect,
            retry,
            ..
        } = self;
        let journal = flow.journal();
        if let Some(record) = journal.recall(&path, StepKind::Run, label, 0).await {
            return flow.decode(&record.result).await;
        }
        journal.settle().await;
        let begun = Instant::now();
        let mut attempts = 0;
        let ended = loop {
            attempts += 1;
            let ended = effect().await;
            let Err(fault) = &ended else { break ended };
            let Some(pause) = retry.pause(attempts, begun, fault) else {
                break ended;
            };
            if attempts.is_power_of_two() {
                let module = journal.home.module();
                tracing::warn!(module, step = label, attempts, %fault, "step failed; trying again");
            }
            sleep(pause).await;
        };
        let summary = match &ended {
            Ok(_) => "ok".to_string(),
            Err(fault) => format!("fault: {fault}"),
        };
        let record = StepRecord {
            attempts,
            ..flow.record(StepKind::Run, label, 0, &ended, summary)
        };
        journal.note(path, record, Certainty::Undetermined);
        ended
    }
}

impl<'a, T, E, Fut> IntoFuture for Run<'a, T, E>
where
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Fn() -> Fut + Send + Sync + 'a,
    Fut: Future<Output = Result<T, Fault>> + Send + 'a,
{
    type Output = Result<T, Fault>;
    type IntoFuture = BoxFuture<'a, Result<T, Fault>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.take())
    }
}
