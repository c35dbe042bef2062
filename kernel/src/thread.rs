//! Where a module's tasks run: on a thread of its own, or all on the current one.
//!
//! A module with a store syncs it, and a sync blocks; so in production each has a thread. A
//! simulation runs every module on one thread, so that nothing but its seed decides what happens
//! next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use actix::{Arbiter, ArbiterHandle};
use tokio::task::JoinSet;

/// The thread of a module with a store.
pub(crate) enum Thread {
    /// Its own: an arbiter, taken out when it ends.
    Own(ArbiterHandle, Mutex<Option<Arbiter>>),
    /// The current one, shared with whoever else runs on it: the tasks, taken out when they end.
    Current(Mutex<Option<JoinSet<()>>>),
}

impl Thread {
    /// Starts a thread.
    pub(crate) fn own() -> Self {
        let arbiter = Arbiter::new();
        Self::Own(arbiter.handle(), Mutex::new(Some(arbiter)))
    }

    /// Stays on the current thread, which must be inside a `LocalSet` or an actix system.
    pub(crate) fn current() -> Self {
        Self::Current(Mutex::new(Some(JoinSet::new())))
    }

    /// Runs a task until it or the thread ends. False, and nothing, when that has ended already.
    pub(crate) fn spawn<F>(&self, make: impl FnOnce() -> F + Send + 'static) -> bool
    where
        F: Future<Output = ()> + 'static,
    {
        match self {
            Self::Own(arbiter, _) => arbiter.spawn_fn(move || _ = actix::spawn(make())),
            Self::Current(tasks) => {
                let mut tasks = lock(tasks);
                let Some(tasks) = tasks.as_mut() else {
                    return false;
                };
                // Tasks that are over would pile up otherwise.
                while tasks.try_join_next().is_some() {}
                tasks.spawn_local(make());
                true
            }
        }
    }

    /// Ends every task where it stands. A thread of its own is waited for; tasks on the current
    /// one make no further step, and are dropped when their turn comes.
    pub(crate) fn end(&self) {
        match self {
            Self::Own(_, arbiter) => {
                if let Some(arbiter) = lock(arbiter).take() {
                    arbiter.stop();
                    // A panic that ended an arbiter was reported when it happened.
                    _ = arbiter.join();
                }
            }
            Self::Current(tasks) => drop(lock(tasks).take()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
