//! What a query may use while it is answered, by a reply or by a stream.

use std::{sync::Arc, time::Duration};

use modulith_contract::{Fault, Outcome, Request, StreamQuery, Timestamp};

use tokio::time::Instant;

use crate::{Carried, Items, Snapshot, home::Home, port::Meta};

/// The world as one message sees it: the store, other modules, time and randomness.
#[derive(Clone)]
pub struct Context {
    home: Arc<Home>,
    meta: Meta,
    /// While a stream is made: what each of its items may take, for the whole has no deadline.
    item_limit: Option<Duration>,
}

impl Context {
    pub(crate) fn new(home: Arc<Home>, meta: Meta) -> Self {
        Self {
            home,
            meta,
            item_limit: None,
        }
    }

    pub(crate) fn of_stream(home: Arc<Home>, meta: Meta, item_limit: Duration) -> Self {
        Self {
            home,
            meta,
            item_limit: Some(item_limit),
        }
    }

    /// When what is asked now must be answered.
    fn deadline(&self) -> Instant {
        match self.item_limit {
            Some(limit) => Instant::now() + limit,
            None => self.meta.deadline,
        }
    }

    /// A view of everything the module has durably committed.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails; [`Fault::Denied`] when the module has no store,
    /// because it declares neither commands nor events.
    pub fn snapshot(&self) -> Result<Snapshot, Fault> {
        self.home.store()?.snapshot()
    }

    /// Asks another module, within what is left of this message's deadline; while a stream is
    /// made, within what each of its items may take.
    ///
    /// # Errors
    /// The other's refusal, or a fault.
    pub async fn ask<R: Request>(&self, request: R) -> Outcome<R> {
        self.home
            .port()
            .ask_until(request, self.deadline(), self.meta.carried.clone())
            .await
    }

    /// Asks another module, within `limit` or what is left of this message's deadline.
    ///
    /// # Errors
    /// The other's refusal, or a fault.
    pub async fn ask_within<R: Request>(&self, request: R, limit: Duration) -> Outcome<R> {
        let deadline = self.deadline().min(Instant::now() + limit);
        self.home
            .port()
            .ask_until(request, deadline, self.meta.carried.clone())
            .await
    }

    /// Asks another module for a stream of items, each of which may take what [`Context::ask`]
    /// may.
    pub fn stream<Q: StreamQuery>(&self, query: Q) -> Items<Q> {
        let limit = self.deadline().saturating_duration_since(Instant::now());
        let carried = self.meta.carried.clone();
        self.home.port().stream_each(query, limit, carried)
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
