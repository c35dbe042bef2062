//! Where a hosted module lives: everything about it that does not depend on its type.

use std::{
    sync::{
        Arc, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use modulith_contract::{Fault, Never, Stop};
use tokio::{sync::watch, time::Instant};

use crate::{
    Environment, Manifest, Options, Port, Tx, faults, head::Head, mailbox::Mailbox, port::Meta,
    retention::Retention, store::Store, thread::Thread,
};

/// How many commands a module may conduct at once.
///
/// Each waits for other modules most of the time; a thousand at a few milliseconds each are more
/// than the modules they ask can serve.
pub const CONDUCTED_COMMANDS_MAX: usize = 1024;

/// How long a change of the kernel's own may wait for its turn; a full mailbox takes far less.
const TRANSACT_TIMEOUT: Duration = Duration::from_secs(60);

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
    port: OnceLock<Port>,
    /// How many commands are being conducted.
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
        Arc::new(Self {
            manifest,
            options,
            published,
            environment,
            store,
            mailbox: OnceLock::new(),
            thread: OnceLock::new(),
            port: OnceLock::new(),
            conducting: watch::Sender::new(0),
            stopped: RwLock::new(None),
            head: Head::at(head),
            leaving: watch::Sender::new(false),
            retention: Retention::default(),
            counters: Counters::default(),
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
        let meta = Meta {
            id: 0,
            deadline: Instant::now() + TRANSACT_TIMEOUT,
        };
        let change = |tx: &mut Tx<'_>| change(tx).map_err(Stop::<Never>::from);
        let mailbox = self.mailbox()?;
        mailbox
            .transact(meta, change)
            .await
            .map_err(Stop::into_fault)
    }

    pub(crate) fn port(&self) -> &Port {
        self.port
            .get()
            .expect("a node gives every module its port before it serves anything")
    }

    pub(crate) fn settle(&self, port: Port) {
        assert!(
            self.port.set(port).is_ok(),
            "a node gives a module its port once"
        );
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

    /// Conducts a command on the module's own thread, so that it outlives whoever asked.
    ///
    /// # Errors
    /// [`Fault::Overloaded`] when too many are being conducted, [`Fault::Stopped`] when that
    /// thread has ended.
    pub(crate) fn conduct(
        self: &Arc<Self>,
        conduct: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Fault> {
        let module = self.module();
        if *self.conducting.borrow() >= CONDUCTED_COMMANDS_MAX {
            return Err(faults::overloaded(module));
        }
        let counted = Conducting::begin(self.clone());
        let thread = self
            .thread()
            .expect("a module that conducts commands has a store");
        let begun = thread.spawn(move || async move {
            conduct.await;
            drop(counted);
        });
        if begun {
            Ok(())
        } else {
            Err(faults::stopped(module, "its process is shutting down"))
        }
    }

    /// Waits until no command is being conducted.
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

    pub(crate) fn close_store(&self) {
        if let Some(store) = &self.store {
            store.close();
        }
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

/// Counts a command as conducted for as long as it lives.
struct Conducting(Arc<Home>);

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
