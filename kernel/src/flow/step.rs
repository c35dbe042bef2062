//! What a flow can do: its steps. Those that may be told more before they are taken have a file each.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::pending;
use modulith_contract::{Command, Event, Fault, Key, Outcome, Request, Stop, Timestamp};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Path, Retry,
    ask::Ask,
    commit::Commit,
    effect::Run,
    flows::Halt,
    journal::{Certainty, Journal},
    record::{StepKind, StepRecord},
    wait::{self, Expected},
};
use crate::{REPLY_TIMEOUT, Tx, codec, faults};

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

/// The record of a step back that was taken. One that was refused holds how often instead of an
/// empty result.
pub(super) fn undone(journal: &Journal, label: &str) -> StepRecord {
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
