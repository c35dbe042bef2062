//! Where a hosted module lives: everything about it that does not depend on its type.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use arc_swap::{ArcSwap, ArcSwapOption};
use modulith_contract::{Fault, Never, Stop};
use tokio::sync::watch;

use crate::{
    Environment, MAILBOX_MESSAGES_MAX, Manifest, Options, Port, Priority, Tx, faults,
    flow::{Flows, Resume},
    head::Head,
    mailbox::Mailbox,
    port::Meta,
    retention::Retention,
    store::Store,
    thread::Thread,
};

pub(crate) struct Home {
    pub(crate) manifest: Manifest,
    pub(crate) options: Options,
    /// The names of the events it may publish.
    pub(crate) published: Vec<&'static str>,
    environment: Environment,
    store: Option<Store>,
    mailbox: OnceLock<Mailbox>,
    /// Where the tasks of a module with a store run.
    thread: OnceLock<Thread>,
    /// Leads to other modules, and from there back here; emptied when the node ends, or the two
    /// would keep each other in memory.
    port: ArcSwap<Port>,
    /// How many callers wait for a flow.
    conducting: watch::Sender<usize>,
    /// Why the module is stopped; none while it runs.
    stopped: RwLock<Option<String>>,
    /// The number of the last event that is durable.
    pub(crate) head: Head,
    /// Whether the process is about to stop, and so keeps no question for events open.
    pub(crate) leaving: watch::Sender<bool>,
    /// Who listens to its events, and which of them may go.
    pub(crate) retention: Retention,
    pub(crate) counters: Counters,
    /// The flows that are running.
    pub(crate) flows: Flows,
    /// How to go on with a parked flow, by its command's name.
    pub(crate) resumes: ArcSwapOption<BTreeMap<&'static str, Resume>>,
}

/// What a module has done since it started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commands: AtomicU64,
    pub(crate) queries: AtomicU64,
    pub(crate) refusals: AtomicU64,
    pub(crate) faults: AtomicU64,
    pub(crate) panics: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// Commands that wait for their turn now.
    pub(crate) waiting: AtomicUsize,
}

impl Home {
    pub(crate) fn new(
        manifest: Manifest,
        options: Options,
        environment: Environment,
        store: Option<Store>,
        head: u64,
    ) -> Arc<Self> {
        let published = manifest
            .publishes
            .iter()
            .map(|event| event.message.name)
            .collect();
        let nowhere = Port::new(manifest.module, environment.clone(), Vec::new());
        Arc::new(Self {
            manifest,
            options,
            published,
            environment,
            store,
            mailbox: OnceLock::new(),
            thread: OnceLock::new(),
            port: ArcSwap::from_pointee(nowhere),
            conducting: watch::Sender::new(0),
            stopped: RwLock::new(None),
            head: Head::at(head),
            leaving: watch::Sender::new(false),
            retention: Retention::default(),
            counters: Counters::default(),
            flows: Flows::default(),
            resumes: ArcSwapOption::empty(),
        })
    }

    pub(crate) fn module(&self) -> &'static str {
        self.manifest.module
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn store(&self) -> Result<&Store, Fault> {
        self.store.as_ref().ok_or_else(|| Fault::Denied {
            caller: self.module().to_string(),
            message: "a store: it declares no command or event, so it has none".to_string(),
        })
    }

    pub(crate) fn mailbox(&self) -> Result<&Mailbox, Fault> {
        self.mailbox.get().ok_or_else(|| Fault::Denied {
            caller: self.module().to_string(),
            message: "a commit: it declares no command or event, so it has no store".to_string(),
        })
    }

    /// Changes the kernel's own rows in the module's store, in turn with its messages.
    ///
    /// # Errors
    /// What `change` returns, and then nothing is changed; [`Fault::Overloaded`] when the mailbox
    /// is full; a fault when the commit fails.
    pub(crate) async fn transact<T, F>(&self, change: F) -> Result<T, Fault>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, Fault> + Send + 'static,
    {
        let meta = Meta::unhurried(0);
        let change = |tx: &mut Tx<'_>| change(tx).map_err(Stop::<Never>::from);
        let mailbox = self.mailbox()?;
        mailbox
            .transact_waiting(meta, change)
            .await
            .map_err(Stop::into_fault)
    }

    pub(crate) fn port(&self) -> Arc<Port> {
        self.port.load_full()
    }

    pub(crate) fn settle(&self, port: Port) {
        self.port.store(Arc::new(port));
    }

    /// Closes the store and forgets the way to others, for good.
    pub(crate) fn leave_for_good(&self) {
        self.close_store();
        self.settle(Port::new(
            self.module(),
            self.environment.clone(),
            Vec::new(),
        ));
        self.resumes.store(None);
    }

    pub(crate) fn open_mailbox(&self, mailbox: Mailbox) {
        assert!(
            self.mailbox.set(mailbox).is_ok(),
            "a module has one mailbox"
        );
    }

    /// Tells those who wait for events how far the log goes.
    pub(crate) fn tell_head(&self, head: u64) {
        self.head.move_to(head);
    }

    pub(crate) fn live_on(&self, thread: Thread) {
        assert!(self.thread.set(thread).is_ok(), "a module has one thread");
    }

    /// Where the module's tasks run; nowhere when it has no store.
    pub(crate) fn thread(&self) -> Option<&Thread> {
        self.thread.get()
    }

    /// Runs a task on the module's own thread. False, and nothing, when that has ended.
    pub(crate) fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        self.thread().is_some_and(|thread| thread.spawn(make))
    }

    /// Counts a caller of a flow for as long as what it gets lives.
    pub(crate) fn conducting(self: &Arc<Self>) -> Conducting {
        Conducting::begin(self.clone())
    }

    /// Waits until nobody waits for a flow.
    pub(crate) async fn conducted(&self) {
        let mut conducting = self.conducting.subscribe();
        // The sender is in this very value.
        _ = conducting.wait_for(|count| *count == 0).await;
    }

    /// Refuses further messages, for a reason that callers are told. The first reason stays.
    pub(crate) fn stop(&self, reason: impl Into<String>) {
        let mut stopped = self.stopped.write().unwrap_or_else(PoisonError::into_inner);
        stopped.get_or_insert_with(|| reason.into());
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        self.stopped
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Nothing, or the fault that callers of a stopped module get.
    pub(crate) fn accepting(&self) -> Result<(), Fault> {
        let stopped = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        match stopped.as_ref() {
            None => Ok(()),
            Some(reason) => Err(faults::stopped(self.module(), reason)),
        }
    }

    fn close_store(&self) {
        if let Some(store) = &self.store {
            store.close();
        }
    }

    /// Counts a command in that is about to wait for its turn, unless too many do already for one
    /// of its priority. [`Home::left_line`] counts it out.
    pub(crate) fn join_line(&self, priority: Priority) -> Result<(), Fault> {
        let most = priority.share_of(MAILBOX_MESSAGES_MAX);
        if self.counters.waiting.fetch_add(1, Relaxed) < most {
            return Ok(());
        }
        self.left_line();
        Err(faults::overloaded(self.module()))
    }

    pub(crate) fn left_line(&self) {
        self.counters.waiting.fetch_sub(1, Relaxed);
    }

    /// Counts how a message ended, and passes it on.
    pub(crate) fn count<T, R>(
        &self,
        outcome: Result<T, modulith_contract::Stop<R>>,
    ) -> Result<T, modulith_contract::Stop<R>> {
        use modulith_contract::Stop;
        match &outcome {
            Ok(_) => {}
            Err(Stop::Refused(_)) => _ = self.counters.refusals.fetch_add(1, Relaxed),
            Err(Stop::Fault(_)) => _ = self.counters.faults.fetch_add(1, Relaxed),
        }
        outcome
    }
}

/// Counts a caller of a flow for as long as it lives.
pub(crate) struct Conducting(Arc<Home>);

impl Conducting {
    fn begin(home: Arc<Home>) -> Self {
        home.conducting.send_modify(|count| *count += 1);
        Self(home)
    }
}

impl Drop for Conducting {
    fn drop(&mut self) {
        self.0.conducting.send_modify(|count| *count -= 1);
    }
}
