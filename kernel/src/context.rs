//! What a query may use while it is answered.

use std::{sync::Arc, time::Duration};

use modulith_contract::{Fault, Outcome, Request, Timestamp};

use crate::{Carried, Snapshot, home::Home, port::Meta};

/// The world as one message sees it: the store, other modules, time and randomness.
#[derive(Clone)]
pub struct Context {
    home: Arc<Home>,
    meta: Meta,
}

impl Context {
    pub(crate) fn new(home: Arc<Home>, meta: Meta) -> Self {
        Self { home, meta }
    }

    /// A view of everything the module has durably committed.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails; [`Fault::Denied`] when the module has no store,
    /// because it declares neither commands nor events.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.home.store()?.snapshot()
    }

    /// Asks another module, within what is left of this message's deadline.
    ///
    /// # Errors
    /// The other's refusal, or a fault.
    pub async fn ask<R: Request>(&self, request: R) -> Outcome<R> {
        self.home
            .port()
            .ask_until(request, self.meta.deadline, self.meta.carried.clone())
            .await
    }

    /// Asks another module, within `limit` or what is left of this message's deadline.
    ///
    /// # Errors
    /// The other's refusal, or a fault.
    pub async fn ask_within<R: Request>(&self, request: R, limit: Duration) -> Outcome<R> {
        let deadline = self.meta.deadline.min(tokio::time::Instant::now() + limit);
        self.home
            .port()
            .ask_until(request, deadline, self.meta.carried.clone())
            .await
    }

    /// What the message carries along.
    pub fn carried(&self) -> &Carried {
        &self.meta.carried
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        self.home.environment().clock.now()
    }

    /// 128 random bits, fit for an id nobody can guess.
    pub fn random_u128(&self) -> u128 {
        self.home.environment().random_u128()
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
