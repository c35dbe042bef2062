//! How a node's modules stand, as plain data.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};

use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    MessageName, Trimmed, flow,
    follow::{REPORT_FROM, Subscription},
    home::Home,
    retention::{Reader, trimmed_by_name},
    store::{CURSORS, Cursor, EVENTS},
};

/// How one module stands. Counts are since its process started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleStatus {
    /// The module, with its partition where it is divided: `cart/2`. There is a status for each.
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
    /// Events it has ever published.
    pub events: u64,
    /// Flows that run now, those that take back what they did included.
    pub flows_running: u64,
    /// Flows that wait for an operator.
    pub flows_parked: u64,
    /// Its log, and who reads it; none when it publishes nothing.
    pub log: Option<LogStatus>,
    /// Whom it listens to, and how far.
    pub subscriptions: Vec<SubscriptionStatus>,
}

/// How a module's event log stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// The number of the oldest event kept; none when there was never one.
    pub oldest: Option<u64>,
    /// The number of the last event.
    pub head: u64,
    /// Bytes of all events kept, at the last check: every ten seconds.
    pub bytes: u64,
    /// What was removed, by the event's name.
    pub trimmed: BTreeMap<String, Trimmed>,
    /// Everybody in the application who listens, hosted here or not.
    pub subscribers: Vec<SubscriberStatus>,
    /// The subscriber for whom events are kept beyond their time; none while there is none.
    pub held_by: Option<String>,
    /// Names of events that nobody listens to.
    pub unheard: Vec<String>,
}

/// How far a subscriber has come, as its publisher knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriberStatus {
    /// The module that listens, with its partition where it is divided.
    pub module: String,
    /// The number of the last event it has dealt with; none when it has never asked.
    pub position: Option<u64>,
    /// How many events, of any name, it has yet to deal with.
    pub lag: u64,
    /// When it last asked.
    pub asked_at: Option<Timestamp>,
}

/// How one subscription stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionStatus {
    /// The module listened to, with its partition where it is divided.
    pub publisher: String,
    /// The number of the last of its events dealt with.
    pub position: u64,
    /// How many events, of any name, followed that when the publisher last said.
    pub lag: u64,
    /// Events handled. This and the next three counts are since the subscription began.
    pub applied: u64,
    /// Events that are dead letters now.
    pub dead: u64,
    /// Events passed over: from before the subscription began, or trimmed before that.
    pub skipped: u64,
    /// Dead letters that were dropped.
    pub dropped: u64,
    /// What it is stuck on; none when it is not.
    pub stuck: Option<String>,
    /// How often that has been tried.
    pub attempts: u32,
}

pub(crate) fn of_module(
    home: &Home,
    subscriptions: &[Arc<Subscription>],
    unheard: &[MessageName],
) -> ModuleStatus {
    let counters = &home.counters;
    ModuleStatus {
        module: home.name().to_string(),
        stopped: home.stopped(),
        stateful: home.manifest.is_stateful(),
        commands: counters.commands.load(Relaxed),
        queries: counters.queries.load(Relaxed),
        refusals: counters.refusals.load(Relaxed),
        faults: counters.faults.load(Relaxed),
        panics: counters.panics.load(Relaxed),
        commits: counters.commits.load(Relaxed),
        events: home.head.number(),
        flows_running: home.flows.lock().len() as u64,
        flows_parked: flows_parked(home).unwrap_or_default(),
        log: (!home.manifest.publishes.is_empty()).then(|| of_log(home, unheard)),
        subscriptions: subscriptions
            .iter()
            .map(|one| of_subscription(home, one))
            .collect(),
    }
}

fn of_log(home: &Home, unheard: &[MessageName]) -> LogStatus {
    let head = home.head.number();
    let subscribers = home.retention.subscribers().into_iter();
    let of_subscriber = |(module, reader): (Arc<str>, Option<Reader>)| {
        let position = reader.map(|reader| reader.position);
        SubscriberStatus {
            module: module.to_string(),
            position,
            lag: head.saturating_sub(position.unwrap_or(0)),
            asked_at: reader.map(|reader| reader.asked_at),
        }
    };
    let stored = || {
        let snapshot = home.store()?.snapshot()?;
        let oldest = snapshot.first_key(&EVENTS)?;
        Ok::<_, Fault>((oldest, trimmed_by_name(&snapshot)?))
    };
    // A store that cannot be read is told of by whoever needs it.
    let (oldest, trimmed) = stored().unwrap_or_default();
    let unheard = unheard.iter().filter(|event| event.module == home.module());
    LogStatus {
        oldest,
        head,
        trimmed,
        bytes: home.retention.bytes(),
        subscribers: subscribers.map(of_subscriber).collect(),
        held_by: home.retention.held_by().map(|by| by.to_string()),
        unheard: unheard.map(|event| event.name.to_string()).collect(),
    }
}

/// A store that cannot be read is told of by whoever needs it.
fn flows_parked(home: &Home) -> Result<u64, Fault> {
    if !home.manifest.is_stateful() {
        return Ok(0);
    }
    flow::parked_count(&home.store()?.snapshot()?)
}

fn cursor(home: &Home, source: &str) -> Result<Option<Cursor>, Fault> {
    let snapshot = home.store()?.snapshot()?;
    snapshot.get(&CURSORS, &source.to_string())
}

fn of_subscription(home: &Home, subscription: &Subscription) -> SubscriptionStatus {
    // A store that cannot be read is told of by whoever needs it.
    let cursor = cursor(home, &subscription.source).unwrap_or_default();
    let cursor = cursor.unwrap_or_default();
    let position = subscription.position.load(Relaxed);
    let stuck = subscription
        .stuck
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
        .filter(|(_, attempts)| *attempts >= REPORT_FROM);
    SubscriptionStatus {
        publisher: subscription.source.to_string(),
        position,
        lag: subscription.head.load(Relaxed).saturating_sub(position),
        applied: cursor.applied,
        dead: cursor.parked,
        skipped: cursor.skipped,
        dropped: cursor.dropped,
        attempts: stuck.as_ref().map_or(0, |(_, attempts)| *attempts),
        stuck: stuck.map(|(reason, _)| reason),
    }
}
