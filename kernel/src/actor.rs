//! The actor of a stateful module: takes what waits in its mailbox, runs it in one transaction,
//! commits, replies.
//!
//! Three traps of actix are kept shut here: its mailbox holds 16 messages unless told otherwise,
//! and an actor can tell otherwise only once it has started on its own thread; `do_send` ignores that bound (it is banned by clippy.toml); and a panic in a handler would take
//! the actor's whole thread along, so every handler runs inside `catch_unwind`.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use actix::{
    Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message,
    dev::channel, fut,
};
use modulith_contract::Fault;
use tokio::{sync::oneshot, time::Instant};
use tracing::{error, warn};

use crate::{
    SetupError, Tx,
    home::Home,
    store::{Batch, Store},
    thread::Thread,
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

/// How often a store whose disk failed is tried when no command asks for it.
const RECOVER_EVERY: Duration = Duration::from_secs(1);

/// How long after a commit the database is made durable; until then the journal keeps it. With
/// [`Durability::Relaxed`](crate::Durability::Relaxed), nothing else is: it is what a crash of the
/// machine may cost.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(1);

/// Makes the module's value anew.
pub(crate) type Renew = Box<dyn Fn() -> Result<(), SetupError> + Send>;

pub(crate) struct ModuleActor {
    home: Arc<Home>,
    renew: Renew,
    waiting: Vec<Box<dyn Work>>,
    panics: VecDeque<Instant>,
    /// The last commit failed, and the store was not opened again since.
    store_failed: bool,
    /// Another try to open it is due.
    recovering: bool,
    /// A checkpoint is due.
    checkpointing: bool,
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
}

impl Handler<Job> for ModuleActor {
    type Result = ();

    fn handle(&mut self, job: Job, context: &mut Self::Context) {
        match job {
            Job::Work(work) => self.enqueue(work, context),
            Job::Stop(done) => {
                self.commit_waiting(context);
                self.checkpoint();
                context.stop();
                // A node that is dropped rather than stopped does not wait for this.
                _ = done.send(());
            }
        }
        if self.home.stopped().is_some() {
            self.commit_waiting(context);
        }
    }
}

impl ModuleActor {
    /// Starts the actor of a module on its thread.
    pub(crate) fn start_on(thread: &Thread, home: Arc<Home>, renew: Renew) -> Addr<Self> {
        let (sender, receiver) = channel::channel(MAILBOX_MESSAGES_MAX);
        thread.spawn(move || {
            let actor = Self {
                home,
                renew,
                waiting: Vec::new(),
                panics: VecDeque::new(),
                store_failed: false,
                recovering: false,
                checkpointing: false,
            };
            Context::with_receiver(receiver).into_future(actor)
        });
        Addr::new(sender)
    }

    /// actix drains the mailbox before it polls what was spawned, so by the time the spawned
    /// commit runs, all that was waiting in the mailbox is in the batch.
    fn enqueue(&mut self, work: Box<dyn Work>, context: &mut Context<Self>) {
        self.waiting.push(work);
        if self.waiting.len() >= BATCH_COMMANDS_MAX {
            self.commit_waiting(context);
        } else if self.waiting.len() == 1 {
            let commit = fut::ready(());
            context.spawn(commit.map(|(), actor: &mut Self, context| {
                actor.commit_waiting(context);
            }));
        }
    }

    fn commit_waiting(&mut self, context: &mut Context<Self>) {
        let waiting = std::mem::take(&mut self.waiting);
        if waiting.is_empty() {
            return;
        }
        for (work, end) in self.run(waiting) {
            work.settle(end);
        }
        self.checkpoint_later(context);
        self.recover_later(context);
    }

    /// Runs a batch and commits it. Says how each part of it ended.
    fn run(&mut self, waiting: Vec<Box<dyn Work>>) -> Vec<(Box<dyn Work>, Result<(), Fault>)> {
        let mut batch = match self.home.accepting().and_then(|()| self.begin()) {
            Ok(batch) => batch,
            Err(fault) => {
                let failed = waiting.into_iter().map(|work| (work, Err(fault.clone())));
                return failed.collect();
            }
        };
        let mut ran = Vec::with_capacity(waiting.len());
        for mut work in waiting {
            // What comes after a panic that stopped the module is not run any more.
            let open = self.home.accepting();
            let end = open.and_then(|()| self.run_one(work.as_mut(), &mut batch));
            ran.push((work, end));
        }
        let commit = self.commit(batch);
        let ends = ran.into_iter();
        ends.map(|(work, end)| (work, commit.clone().and(end)))
            .collect()
    }

    fn commit(&mut self, mut batch: Batch) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        let head = batch.head();
        let woken = batch.take_woken();
        let committed = self.store().and_then(|store| batch.commit(store));
        match &committed {
            Ok(()) => {
                self.home.counters.commits.fetch_add(1, Relaxed);
                self.home.tell_head(head);
                self.home.flows.wake(&woken);
            }
            Err(fault) => {
                error!(module = self.home.name(), %fault, "commit failed; nothing of it counts");
                self.store_failed = true;
            }
        }
        committed
    }

    /// Begins a batch, on a store opened anew if its disk has failed.
    fn begin(&mut self) -> Result<Batch, Fault> {
        if self.store_failed {
            self.recover()?;
        }
        Batch::begin(self.store()?)
    }

    /// Opens the store again after its disk has failed.
    fn recover(&mut self) -> Result<(), Fault> {
        let store = self.store()?;
        store.recover()?;
        // Of a commit whose sync failed it shows only now whether it has taken effect.
        let head = Batch::begin(store)?.head();
        self.home.tell_head(head);
        self.store_failed = false;
        warn!(
            module = self.home.name(),
            "store opened again after a failed commit"
        );
        Ok(())
    }

    /// Keeps trying to recover a failed store even if no command comes: until then queries find
    /// only what happens to be in memory.
    fn recover_later(&mut self, context: &mut Context<Self>) {
        if !self.store_failed || std::mem::replace(&mut self.recovering, true) {
            return;
        }
        context.run_later(RECOVER_EVERY, |actor, context| {
            actor.recovering = false;
            if actor.store_failed && actor.recover().is_err() {
                actor.recover_later(context);
            }
        });
    }

    /// Makes the database durable a while after a commit, on this thread: queries go on meanwhile,
    /// commands wait. A module that is idle does nothing.
    fn checkpoint_later(&mut self, context: &mut Context<Self>) {
        let due = self.store().is_ok_and(Store::checkpoint_is_due);
        if !due || std::mem::replace(&mut self.checkpointing, true) {
            return;
        }
        context.run_later(CHECKPOINT_AFTER, |actor, context| {
            actor.checkpointing = false;
            actor.checkpoint();
            actor.recover_later(context);
        });
    }

    fn checkpoint(&mut self) {
        if self.store_failed {
            return;
        }
        if let Err(fault) = self.store().and_then(Store::checkpoint) {
            error!(module = self.home.name(), %fault, "checkpoint failed; the journal has it all");
            self.store_failed = true;
        }
    }

    fn run_one(&mut self, work: &mut dyn Work, batch: &mut Batch) -> Result<(), Fault> {
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
                    module = self.home.name(),
                    "handler panicked; its changes are dropped"
                );
                self.restart(work.counts());
                Err(Fault::Panicked {
                    module: self.home.name().to_string(),
                })
            }
        }
    }

    /// Makes the module anew after a panic, before anything else meets the old value; or stops it
    /// when there were too many panics that count.
    fn restart(&mut self, counts: bool) {
        let now = Instant::now();
        if counts {
            self.panics.push_back(now);
        }
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
            match catch_unwind(AssertUnwindSafe(|| (self.renew)())) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("it could not be made anew: {error}")),
                Err(_) => Some("it panicked while it was made anew".to_string()),
            }
        };
        if let Some(reason) = given_up {
            error!(
                module = self.home.name(),
                reason, "module stopped; its neighbours go on"
            );
            self.home.stop(reason);
        }
    }

    fn store(&self) -> Result<&Store, Fault> {
        self.home.store()
    }
}
