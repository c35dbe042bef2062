//! How a node's modules stand, as plain data.

use std::sync::{PoisonError, atomic::Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use crate::{
    feed::{REPORT_FROM, Subscription},
    home::Home,
};

/// How one module stands. Counts are since its process started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// The module.
    pub module: String,
    /// Why it is stopped; none while it runs.
    pub stopped: Option<String>,
    /// Whether it has a store.
    pub stateful: bool,
    /// Commands begun.
    pub commands: u64,
    /// Queries asked.
    pub queries: u64,
    /// Requests the business refused.
    pub refusals: u64,
    /// Requests that ended in a fault.
    pub faults: u64,
    /// Handlers that panicked.
    pub panics: u64,
    /// Commits, each of one or more commands.
    pub commits: u64,
    /// Events in its log.
    pub events: u64,
    /// Whom it listens to, and how far.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// How one subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionStatus {
    /// The module listened to.
    pub publisher: String,
    /// The number of the last of its events dealt with.
    pub position: u64,
    /// What it is stuck on; none when it is not.
    pub stuck: Option<String>,
    /// How often that has been tried.
    pub attempts: u32,
}

pub(crate) fn of_module(
    home: &Home,
    subscriptions: &[std::sync::Arc<Subscription>],
) -> ModuleStatus {
    let counters = &home.counters;
    ModuleStatus {
        module: home.module().to_string(),
        stopped: home.stopped(),
        stateful: home.manifest.is_stateful(),
        commands: counters.commands.load(Relaxed),
        queries: counters.queries.load(Relaxed),
        refusals: counters.refusals.load(Relaxed),
        faults: counters.faults.load(Relaxed),
        panics: counters.panics.load(Relaxed),
        commits: counters.commits.load(Relaxed),
        events: home.head.number(),
        subscriptions: subscriptions
            .iter()
            .map(|one| of_subscription(one))
            .collect(),
    }
}

fn of_subscription(subscription: &Subscription) -> SubscriptionStatus {
    let stuck = subscription
        .stuck
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .filter(|(_, attempts)| *attempts >= REPORT_FROM);
    SubscriptionStatus {
        publisher: subscription.publisher.to_string(),
        position: subscription.position.load(Relaxed),
        attempts: stuck.as_ref().map_or(0, |(_, attempts)| *attempts),
        stuck: stuck.map(|(reason, _)| reason),
    }
}
