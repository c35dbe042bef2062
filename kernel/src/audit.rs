//! Whether a module's store adds up, and what an auditor of the whole application needs of it.
//!
//! A store alone can tell whether its log has gaps, its dead letters are as many as it counted,
//! and its flows and replies are complete. Whether subscribers have dealt with every event takes
//! two stores: the subscriber says how far it has come ([`Audit::subscriptions`]), and its
//! publisher then counts up to that number ([`Counted`]). A log only grows at its end, so the
//! count is exact however much later it is taken.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use modulith_contract::Fault;
use serde::{Deserialize, Serialize};

use crate::{
    Ledger, Partition, Snapshot, dead, expiry,
    flow::{self, FlowStand},
    follow::Subscription,
    home::Home,
    inbox::INBOX,
    node::Tools,
    retention,
    store::{CURSORS, EVENTS, OTHERS},
};

/// How many ids a check lists at most; the count is always right.
const LISTED_MAX: usize = 100;

/// Fills the ledger of a module.
pub(crate) type KeepLedger = fn(&Snapshot, &mut Ledger) -> Result<(), Fault>;

/// What the auditor is told of one module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// The module, with its partition where it is divided: `cart/2`.
    pub module: String,
    /// What its store could tell by itself.
    pub checks: Vec<Check>,
    /// How far its subscriptions have come.
    pub subscriptions: Vec<Followed>,
    /// What it says of the business.
    pub ledger: Ledger,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What: `log`, `letters`, `flows`, `replies` or `store`.
    pub name: String,
    /// How many rows it concerned.
    pub checked: u64,
    /// How many things are not as they must be.
    pub violations: u64,
    /// What those are; the first hundred.
    pub violated: Vec<Finding>,
    /// What is right, and waits for somebody; the first hundred.
    pub notes: Vec<Finding>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which event, flow, letter, subscription or key.
    pub about: String,
    /// What is the matter with it.
    pub what: String,
}

/// A subscription, as its subscriber's store has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Followed {
    /// Whom it follows, with the partition where there are several: `checkout/1`.
    pub publisher: String,
    /// Which partition of its module it is.
    pub partition: Partition,
    /// The names of the events it wants.
    pub names: Vec<String>,
    /// The number of the last event dealt with.
    pub position: u64,
    /// Events handled.
    pub applied: u64,
    /// Events that are dead letters.
    pub parked: u64,
    /// Events passed over.
    pub skipped: u64,
    /// Dead letters that were dropped.
    pub dropped: u64,
    /// Events that are for other partitions of its module.
    pub others: u64,
}

/// How many events of some names a log has had up to a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// How many, those that were removed meanwhile included.
    pub count: u64,
    /// How many of these were removed.
    pub removed: u64,
    /// How many of those that are kept are for the partition that was asked about.
    pub own: u64,
    /// How many of those names follow that are for it.
    pub pending: u64,
    /// The number of the last event.
    pub head: u64,
    /// Events behind the number were removed, so that `count` is too high: ask again with a newer
    /// number.
    pub passed: bool,
}

impl Followed {
    /// All the events it has dealt with, whichever way.
    pub fn total(&self) -> u64 {
        self.dealt_with() + self.others
    }

    /// Those that were for it.
    pub fn dealt_with(&self) -> u64 {
        self.applied + self.parked + self.skipped + self.dropped
    }
}

impl Check {
    /// Begins a check.
    pub fn of(name: &str) -> Self {
        Self {
            name: name.to_string(),
            ..Self::default()
        }
    }

    /// Adds something that is not as it must be.
    pub fn violate(&mut self, about: String, what: String) {
        self.violations += 1;
        if self.violated.len() < LISTED_MAX {
            self.violated.push(Finding { about, what });
        }
    }

    /// Adds something that is right, and waits for somebody.
    pub fn note(&mut self, about: String, what: String) {
        if self.notes.len() < LISTED_MAX {
            self.notes.push(Finding { about, what });
        }
    }
}

/// Looks at everything a module's store has. Blocks; `deep` also holds up the module's commands,
/// and verifies every checksum of the database.
pub(crate) fn audit(home: &Home, tools: &Tools, deep: bool) -> Result<Audit, Fault> {
    let store = home.store()?;
    let snapshot = store.snapshot()?;
    let subscriptions = followed(home, &tools.subscriptions, &snapshot)?;
    let mut checks = vec![
        log(home, &snapshot)?,
        letters(home, &snapshot, &subscriptions)?,
        flows(home, &snapshot)?,
        replies(home, &snapshot)?,
    ];
    let mut ledger = Ledger::default();
    (tools.ledger)(&snapshot, &mut ledger)?;
    drop(snapshot);
    if deep {
        let mut check = Check::of("store");
        check.checked = 1;
        let of_store = format!("store of {}", home.name());
        match store.is_whole() {
            Ok(true) => {}
            Ok(false) => check.violate(of_store, "its file did not match its checksums".into()),
            Err(fault) => check.violate(of_store, fault.to_string()),
        }
        checks.push(check);
    }
    Ok(Audit {
        module: home.name().to_string(),
        checks,
        subscriptions,
        ledger,
    })
}

/// How many events of these names there are up to a number, and how many are for a partition of
/// whoever listens.
pub(crate) fn count(
    home: &Home,
    names: &[String],
    up_to: u64,
    partition: Partition,
) -> Result<Counted, Fault> {
    let snapshot = home.store()?.snapshot()?;
    let head = snapshot.last(&EVENTS)?.map_or(0, |(number, _)| number);
    let removed = retention::trimmed_by_name(&snapshot)?;
    let removed = removed.iter().filter(|(name, _)| names.contains(name));
    let mut counted = Counted {
        head,
        ..Counted::default()
    };
    for (_, removed) in removed {
        counted.count += removed.count;
        counted.removed += removed.count;
        counted.passed |= removed.up_to > up_to;
    }
    snapshot.walk(&EVENTS, .., |number, record, _| {
        if names.contains(&record.name) {
            let own = !partition.is_divided()
                || home.partition_of(&record, partition.count()) == partition.index();
            if number <= up_to {
                counted.count += 1;
                counted.own += u64::from(own);
            } else {
                counted.pending += u64::from(own);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(counted)
}

fn followed(
    home: &Home,
    subscriptions: &[Arc<Subscription>],
    snapshot: &Snapshot,
) -> Result<Vec<Followed>, Fault> {
    let mut names = BTreeMap::<_, BTreeSet<_>>::new();
    for event in &home.manifest.listens {
        let of_publisher = names.entry(event.message.module).or_default();
        of_publisher.insert(event.message.name.to_string());
    }
    let one = |subscription: &Arc<Subscription>| {
        let source = subscription.source.to_string();
        let cursor = snapshot.get(&CURSORS, &source)?.unwrap_or_default();
        let names = names.get(subscription.publisher);
        Ok(Followed {
            names: names.into_iter().flatten().cloned().collect(),
            partition: home.partition,
            position: cursor.position,
            applied: cursor.applied,
            parked: cursor.parked,
            skipped: cursor.skipped,
            dropped: cursor.dropped,
            others: snapshot.get(&OTHERS, &source)?.unwrap_or(0),
            publisher: source,
        })
    };
    subscriptions.iter().map(one).collect()
}

/// The log has no gaps, and as many events were removed as are missing at its beginning.
fn log(home: &Home, snapshot: &Snapshot) -> Result<Check, Fault> {
    let mut check = Check::of("log");
    let module = home.name();
    let first = snapshot.first_key(&EVENTS)?.unwrap_or(1);
    let mut next = first;
    snapshot.keys(&EVENTS, |number| {
        check.checked += 1;
        for missing in next..number {
            let about = format!("event {module}/{missing}");
            check.violate(about, "missing from the log".to_string());
        }
        next = number + 1;
    })?;
    let removed = retention::trimmed_by_name(snapshot)?;
    let removed: u64 = removed.values().map(|removed| removed.count).sum();
    if removed != first - 1 {
        let what = format!("begins with event {first}, and {removed} were removed before it");
        check.violate(format!("log of {module}"), what);
    }
    Ok(check)
}

/// There are as many dead letters as were counted, each of an event that was dealt with.
fn letters(home: &Home, snapshot: &Snapshot, subscriptions: &[Followed]) -> Result<Check, Fault> {
    let mut check = Check::of("letters");
    let module = home.name();
    let mut found = BTreeMap::<String, Vec<u64>>::new();
    for (publisher, number) in dead::keys(snapshot)? {
        check.checked += 1;
        let about = format!("letter {publisher}/{number} of {module}");
        check.note(about, "parked; retry it or drop it".to_string());
        found.entry(publisher).or_default().push(number);
    }
    for one in subscriptions {
        let publisher = &one.publisher;
        let numbers = found.remove(publisher).unwrap_or_default();
        if numbers.len() as u64 != one.parked {
            let what = format!("{} counted, {} there", one.parked, numbers.len());
            check.violate(format!("letters of {publisher} in {module}"), what);
        }
        for ahead in numbers.iter().filter(|number| **number > one.position) {
            let what = format!("parked, and the subscription is at {} only", one.position);
            check.violate(format!("letter {publisher}/{ahead} of {module}"), what);
        }
    }
    Ok(check)
}

/// Every flow goes on, is parked or has ended; nothing is left of any other.
fn flows(home: &Home, snapshot: &Snapshot) -> Result<Check, Fault> {
    let mut check = Check::of("flows");
    let module = home.name();
    let about = |id: u128| format!("flow {id:032x} of {module}");
    let mut violate = |id, what: &str| check.violate(about(id), what.to_string());
    let mut known = HashSet::new();
    let mut parked = Vec::new();
    let mut going = Vec::new();
    for (id, line) in flow::unended(snapshot)? {
        known.insert(id);
        match line.stand {
            FlowStand::Parked(reason) => parked.push((id, reason)),
            _ => going.push(id),
        }
    }
    // At rest nothing runs, and all of it will.
    if home.resumes.load().is_some() {
        let running = home.flows.lock();
        for id in going.iter().filter(|id| !running.contains_key(id)) {
            violate(*id, "has not ended, and does not run");
        }
    }
    let live = known.clone();
    let expiring = expiry::ids(snapshot, expiry::Kind::Flow)?;
    let expiring: HashSet<_> = expiring.into_iter().collect();
    for id in flow::ended_ids(snapshot)? {
        if !expiring.contains(&id) {
            violate(id, "has ended, and never expires");
        }
        if !known.insert(id) {
            violate(id, "has ended, and goes on");
        }
    }
    for id in expiring.iter().filter(|id| !known.contains(id)) {
        violate(*id, "expires, and is not there");
    }
    for id in flow::ids_of_steps(snapshot)? {
        if !known.contains(&id) {
            violate(id, "has steps, and is not there");
        }
    }
    for id in flow::ids_of_waits(snapshot)? {
        if !live.contains(&id) {
            violate(id, "waits for an event, and is not there or has ended");
        }
    }
    check.checked = known.len() as u64;
    for (id, reason) in parked {
        check.note(about(id), format!("parked: {reason}"));
    }
    Ok(check)
}

/// Every kept reply expires, and whatever expires is there.
fn replies(home: &Home, snapshot: &Snapshot) -> Result<Check, Fault> {
    let mut check = Check::of("replies");
    let module = home.name();
    let about = |id: u128| format!("command {id:032x} of {module}");
    let expiring = expiry::ids(snapshot, expiry::Kind::Reply)?;
    let mut expiring: HashSet<_> = expiring.into_iter().collect();
    snapshot.keys(&INBOX, |id| {
        check.checked += 1;
        if !expiring.remove(&id) {
            check.violate(about(id), "its reply never expires".to_string());
        }
    })?;
    for id in expiring {
        let what = "its reply is missing: sent again, it takes effect twice";
        check.violate(about(id), what.to_string());
    }
    Ok(check)
}
