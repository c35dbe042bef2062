//! The actor of a stateful module: takes what waits in its mailbox, runs it in one transaction,
//! commits, replies.
//!
//! Three traps of actix are kept shut here: its mailbox holds 16 messages unless told otherwise;
//! `do_send` ignores that bound (it is banned by clippy.toml); and a panic in a handler would take
//! the actor's whole thread along, so every handler runs inside `catch_unwind`.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use actix::{Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, fut};
use modulith_contract::Fault;
use tokio::{sync::oneshot, time::Instant};
use tracing::{error, warn};

use crate::{
    SetupError, Tx, faults,
    home::Home,
    store::{Batch, Store},
    work::Work,
};

/// How many messages may wait for a module.
///
/// At 50 000 commands a second (docs/benchmarks.md) a full mailbox is 80 ms of work: longer
/// queues only turn overload into latency.
pub const MAILBOX_MESSAGES_MAX: usize = 4096;

/// How many commands one commit may hold; above it the sync is no longer what costs.
pub const BATCH_COMMANDS_MAX: usize = 256;

/// How many panics within [`GIVE_UP_WINDOW`] stop a module.
///
/// High enough that one bad request repeated by an impatient user does not, low enough that a
/// module which cannot work does not fill the disk with panic messages.
pub const GIVE_UP_PANICS: usize = 32;

/// The time within which [`GIVE_UP_PANICS`] count.
pub const GIVE_UP_WINDOW: Duration = Duration::from_secs(60);

/// Makes the module's value anew.
pub(crate) type Renew = Box<dyn Fn() -> Result<(), SetupError> + Send>;

pub(crate) struct ModuleActor {
    home: Arc<Home>,
    renew: Renew,
    waiting: Vec<Box<dyn Work>>,
    panics: VecDeque<Instant>,
    store_failed: bool,
}

pub(crate) enum Job {
    /// Run this with the next batch.
    Work(Box<dyn Work>),
    /// Finish what waits, then stop and say so.
    Stop(oneshot::Sender<()>),
}

impl Message for Job {
    type Result = ();
}

impl Actor for ModuleActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX_MESSAGES_MAX);
    }
}

impl Handler<Job> for ModuleActor {
    type Result = ();

    fn handle(&mut self, job: Job, context: &mut Self::Context) {
        match job {
            Job::Work(work) => self.enqueue(work, context),
            Job::Stop(done) => {
                self.commit_waiting();
                context.stop();
                // A node that is dropped rather than stopped does not wait for this.
                _ = done.send(());
            }
        }
        if self.home.stopped().is_some() {
            self.commit_waiting();
        }
    }
}

impl ModuleActor {
    pub(crate) fn new(home: Arc<Home>, renew: Renew) -> Self {
        Self {
            home,
            renew,
            waiting: Vec::new(),
            panics: VecDeque::new(),
            store_failed: false,
        }
    }

    /// actix drains the mailbox before it polls what was spawned, so by the time the spawned
    /// commit runs, all that was waiting in the mailbox is in the batch.
    fn enqueue(&mut self, work: Box<dyn Work>, context: &mut Context<Self>) {
        self.waiting.push(work);
        if self.waiting.len() >= BATCH_COMMANDS_MAX {
            self.commit_waiting();
        } else if self.waiting.len() == 1 {
            context.spawn(fut::ready(()).map(|(), actor: &mut Self, _| actor.commit_waiting()));
        }
    }

    fn commit_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        let (ends, panicked) = match self.run(waiting) {
            Ok((ran, commit, panicked)) => {
                let ends = ran
                    .into_iter()
                    .map(|(work, end)| (work, commit.clone().and(end)));
                (ends.collect::<Vec<_>>(), panicked)
            }
            Err((waiting, fault)) => {
                let ends = waiting.into_iter().map(|work| (work, Err(fault.clone())));
                (ends.collect(), 0)
            }
        };
        for (work, end) in ends {
            work.settle(end);
        }
        if panicked > 0 {
            self.restart(panicked);
        }
    }

    /// Runs a batch and commits it.
    #[expect(
        clippy::type_complexity,
        reason = "the parts of one step, taken apart at once"
    )]
    fn run(
        &mut self,
        waiting: Vec<Box<dyn Work>>,
    ) -> Result<
        (
            Vec<(Box<dyn Work>, Result<(), Fault>)>,
            Result<(), Fault>,
            usize,
        ),
        (Vec<Box<dyn Work>>, Fault),
    > {
        if let Some(reason) = self.home.stopped() {
            return Err((waiting, faults::stopped(self.home.module(), reason)));
        }
        let mut batch = match self.begin() {
            Ok(batch) => batch,
            Err(fault) => return Err((waiting, fault)),
        };
        let mut panicked = 0;
        let mut ran = Vec::with_capacity(waiting.len());
        for mut work in waiting {
            let end = self.run_one(work.as_mut(), &mut batch);
            if matches!(end, Err(Fault::Panicked { .. })) && work.counts() {
                panicked += 1;
            }
            ran.push((work, end));
        }
        let head = batch.head();
        let commit = self.store().and_then(|store| batch.commit(store));
        match &commit {
            Ok(()) => {
                self.home.counters.commits.fetch_add(1, Relaxed);
                self.home
                    .head
                    .send_if_modified(|known| std::mem::replace(known, head) != head);
            }
            Err(fault) => {
                error!(module = self.home.module(), %fault, "commit failed; nothing of it counts");
                self.store_failed = true;
            }
        }
        Ok((ran, commit, panicked))
    }

    /// Begins a batch, on a store opened anew if its disk has failed.
    fn begin(&mut self) -> Result<Batch, Fault> {
        if self.store_failed {
            let store = self.store()?;
            store.reopen().map_err(|error| store.fault(&error))?;
            warn!(
                module = self.home.module(),
                "store opened again after a failed commit"
            );
            self.store_failed = false;
        }
        Batch::begin(self.store()?)
    }

    fn run_one(&self, work: &mut dyn Work, batch: &mut Batch) -> Result<(), Fault> {
        let environment = self.home.environment();
        let mut tx = Tx::begin(batch, environment, &self.home.published, work.cause());
        // Unwind safety: what a panicking handler leaves half-done is the transaction, dropped
        // here, and the module's value, made anew.
        let ran = catch_unwind(AssertUnwindSafe(|| work.run(&mut tx)));
        let changes = tx.into_changes();
        match ran {
            Ok(true) => batch.keep(changes),
            Ok(false) => Ok(()),
            Err(_) => {
                self.home.counters.panics.fetch_add(1, Relaxed);
                error!(
                    module = self.home.module(),
                    "handler panicked; its changes are dropped"
                );
                Err(Fault::Panicked {
                    module: self.home.module().to_string(),
                })
            }
        }
    }

    /// Makes the module anew after panics, or stops it when there were too many.
    fn restart(&mut self, panicked: usize) {
        let now = Instant::now();
        self.panics.extend(std::iter::repeat_n(now, panicked));
        while self
            .panics
            .front()
            .is_some_and(|first| now - *first > GIVE_UP_WINDOW)
        {
            self.panics.pop_front();
        }
        let given_up = if self.panics.len() >= GIVE_UP_PANICS {
            Some(format!(
                "it panicked {} times within a minute",
                self.panics.len()
            ))
        } else {
            (self.renew)()
                .err()
                .map(|error| format!("it could not be made anew: {error}"))
        };
        if let Some(reason) = given_up {
            error!(
                module = self.home.module(),
                reason, "module stopped; its neighbours go on"
            );
            self.home.stop(reason);
        }
    }

    fn store(&self) -> Result<&Store, Fault> {
        self.home.store()
    }
}
