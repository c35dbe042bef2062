//! A subscription: following one publisher's log, an event at a time.
//!
//! What becomes of an event is one commit with the subscriber's new place: its effect, its
//! becoming a dead letter, or its being passed over. So the counts beside the place always add up.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{Either, join_all, select};
use modulith_contract::{Fault, Timestamp};
use tokio::{sync::oneshot, time::sleep};
use tracing::{error, info, warn};

use crate::{
    ListenFrom, Module, Poison, Record, Tx,
    dead::{self, Failure},
    declaration::Listened,
    faults,
    feed::{ReadEvents, Source},
    instance::Instance,
    store::{CURSORS, Cursor},
    work::Work,
};

/// The waits before an event, or its publisher, is tried again: doubled from the first up to the
/// second.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// From how many failed tries on a stuck subscription is worth telling of: a neighbour that is only
/// starting is not.
pub(crate) const REPORT_FROM: u32 = 4;

/// How a subscription stands.
pub(crate) struct Subscription {
    pub(crate) publisher: &'static str,
    /// How far the publisher's log has been dealt with.
    pub(crate) position: AtomicU64,
    /// How far the publisher's log goes, as it last said.
    pub(crate) head: AtomicU64,
    /// The fault an event or the publisher is stuck on, and how often it has been tried.
    pub(crate) stuck: Mutex<Option<(String, u32)>>,
}

/// Follows one publisher for as long as the module runs.
pub(crate) async fn follow<M: Module>(
    instance: Arc<Instance<M>>,
    subscription: Arc<Subscription>,
    listened: Arc<Vec<Listened<M>>>,
    source: Arc<dyn Source>,
) {
    let publisher = subscription.publisher;
    // Each once: what is both listened to and awaited is one event all the same, and is counted
    // as one.
    let names: BTreeSet<_> = listened
        .iter()
        .filter(|event| event.publisher == publisher)
        .map(|event| event.name.to_string())
        .collect();
    let mut follower = Follower {
        instance,
        subscription,
        listened,
        names: names.into_iter().collect(),
        source,
        failing: None,
        retry: RETRY_FIRST,
    };
    let home = follower.instance.home.clone();
    let mut leaving = home.leaving.subscribe();
    while home.stopped().is_none() {
        let stepped = {
            let step = pin!(follower.step());
            let left = pin!(leaving.wait_for(|leaving| *leaving));
            match select(step, left).await {
                Either::Left((stepped, _)) => stepped,
                Either::Right(_) => return,
            }
        };
        match stepped {
            Ok(()) => {
                follower.retry = RETRY_FIRST;
                *follower.stuck() = None;
            }
            Err(fault) => {
                follower.report(&fault);
                sleep(follower.retry).await;
                follower.retry = (follower.retry * 2).min(RETRY_MAX);
            }
        }
    }
}

struct Follower<M: Module> {
    instance: Arc<Instance<M>>,
    subscription: Arc<Subscription>,
    listened: Arc<Vec<Listened<M>>>,
    names: Vec<String>,
    source: Arc<dyn Source>,
    /// The event that fails now. Forgotten when the process ends: its tries begin again then.
    failing: Option<Failing>,
    retry: Duration,
}

struct Failing {
    number: u64,
    attempts: u32,
    first_failed: Timestamp,
}

impl<M: Module> Follower<M> {
    /// Reads what is new and hands it to the module, in order.
    async fn step(&mut self) -> Result<(), Fault> {
        let cursor = self.cursor().await?;
        let known = self
            .subscription
            .position
            .fetch_max(cursor.position, Relaxed);
        let after = known.max(cursor.position);
        let page = self.source.read(self.question(after, false)).await?;
        self.subscription.head.store(page.head, Relaxed);
        let mut previous = cursor.position;
        // Events wanted, and removed before they were handled: all that ever were, less those
        // dealt with, because the counts are of the same events.
        let missed = page.trimmed.saturating_sub(cursor.total());
        if page.first > after + 1 && missed > 0 {
            previous = page.first - 1;
            self.pass(cursor.position, previous, missed).await?;
        }
        let mut ends = Vec::with_capacity(page.events.len());
        for (number, record) in page.events {
            let (done, end) = oneshot::channel();
            let work = EventWork {
                instance: self.instance.clone(),
                listened: self.listened.clone(),
                publisher: self.subscription.publisher,
                turn: Turn::After(previous),
                number,
                record,
                handled: Err((Fault::Late, false)),
                done,
            };
            previous = number;
            let mailbox = self.instance.home.mailbox()?;
            mailbox.push_waiting(Box::new(work)).await?;
            ends.push(end);
        }
        // All of them, before the first failure is looked at: none may be waiting any more then.
        for end in join_all(ends).await {
            match end {
                Ok(Ok(_)) => {}
                Ok(Err(failed)) => return self.failed(*failed).await,
                Err(_) => return Err(faults::stopped(self.instance.home.module(), "it stopped")),
            }
        }
        self.subscription.position.store(page.read_to, Relaxed);
        Ok(())
    }

    /// How far the subscription has come; where it begins when it is new.
    async fn cursor(&self) -> Result<Cursor, Fault> {
        let home = &self.instance.home;
        let publisher = self.subscription.publisher.to_string();
        let cursor = home.store()?.snapshot()?.get(&CURSORS, &publisher)?;
        match (cursor, home.options.listen_from) {
            (Some(cursor), _) => Ok(cursor),
            (None, ListenFrom::Start) => Ok(Cursor::default()),
            (None, ListenFrom::Now) => self.begin_now().await,
        }
    }

    /// Passes over everything published so far, and counts it.
    async fn begin_now(&self) -> Result<Cursor, Fault> {
        let mut page = self.source.read(self.question(0, true)).await?;
        let now = page.head;
        let mut skipped = page.trimmed + page.passed;
        while page.read_to < now {
            let before = page.read_to;
            page = self.source.read(self.question(before, true)).await?;
            skipped += page.passed;
            if page.read_to == before {
                // Its process is leaving. Begun anew with the one that follows.
                let publisher = self.subscription.publisher;
                return Err(faults::stopped(publisher, "it keeps its events to itself"));
            }
        }
        self.pass(0, page.read_to, skipped).await?;
        Ok(Cursor {
            position: page.read_to,
            skipped,
            ..Cursor::default()
        })
    }

    /// Moves the subscription on without handling anything.
    async fn pass(&self, from: u64, to: u64, skipped: u64) -> Result<(), Fault> {
        let home = &self.instance.home;
        let publisher = self.subscription.publisher;
        let passed = home.transact(move |tx| {
            let publisher = publisher.to_string();
            let mut cursor = tx.get(&CURSORS, &publisher)?.unwrap_or_default();
            if cursor.position != from {
                return Err(faults::stopped(&publisher, "the subscription has moved on"));
            }
            cursor.position = to;
            cursor.skipped += skipped;
            tx.put(&CURSORS, &publisher, &cursor)
        });
        passed.await?;
        let module = home.module();
        info!(
            module,
            publisher,
            skipped,
            position = to,
            "events passed over"
        );
        Ok(())
    }

    fn question(&self, after: u64, pass: bool) -> ReadEvents {
        ReadEvents {
            after,
            names: self.names.clone(),
            pass,
        }
    }

    /// Counts a failed try of an event, and parks it when there were enough.
    async fn failed(&mut self, failed: Failed) -> Result<(), Fault> {
        let Turn::After(previous) = failed.turn else {
            return Err(failed.fault);
        };
        if !failed.of_handler {
            return Err(failed.fault);
        }
        let home = self.instance.home.clone();
        let failing = match self.failing.take() {
            Some(known) if known.number == failed.number => Failing {
                attempts: known.attempts.saturating_add(1),
                ..known
            },
            _ => {
                self.retry = RETRY_FIRST;
                Failing {
                    number: failed.number,
                    attempts: 1,
                    first_failed: home.environment().clock.now(),
                }
            }
        };
        let failure = Failure {
            fault: failed.fault.clone(),
            attempts: failing.attempts,
            first_failed: failing.first_failed,
        };
        self.failing = Some(failing);
        let options = &home.options;
        if options.poison == Poison::Halt || failure.attempts < options.event_attempts_max {
            return Err(failed.fault);
        }
        let (publisher, number) = (self.subscription.publisher, failed.number);
        let attempts = failure.attempts;
        let parked = home.transact(move |tx| {
            dead::park(tx, publisher, previous, number, failed.record, failure)
        });
        parked.await?;
        self.failing = None;
        error!(
            module = home.module(),
            publisher,
            number,
            attempts,
            fault = %failed.fault,
            "event parked among the dead letters"
        );
        Ok(())
    }

    fn report(&self, fault: &Fault) {
        let mut stuck = self.stuck();
        let attempts = stuck.as_ref().map_or(0, |(_, attempts)| *attempts) + 1;
        // A neighbour that is only starting is no news, and one that is down is told of at ever
        // longer intervals.
        if attempts >= REPORT_FROM && attempts.is_power_of_two() {
            warn!(
                module = self.instance.home.module(),
                publisher = self.subscription.publisher,
                attempts,
                %fault,
                "events wait"
            );
        }
        *stuck = Some((fault.to_string(), attempts));
    }

    fn stuck(&self) -> std::sync::MutexGuard<'_, Option<(String, u32)>> {
        self.subscription
            .stuck
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One event on its way into a subscriber's store.
pub(crate) struct EventWork<M: Module> {
    pub(crate) instance: Arc<Instance<M>>,
    pub(crate) listened: Arc<Vec<Listened<M>>>,
    pub(crate) publisher: &'static str,
    pub(crate) turn: Turn,
    pub(crate) number: u64,
    pub(crate) record: Record,
    /// False when there was no such letter; an error with whether it is the handler's.
    pub(crate) handled: Result<bool, (Fault, bool)>,
    pub(crate) done: oneshot::Sender<Result<bool, Box<Failed>>>,
}

/// When an event is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// In order, after the event of this number.
    After(u64),
    /// Out of order: it is a dead letter.
    Again,
}

/// An event that was not handled.
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    /// Whether the handler failed, rather than what it runs on.
    pub(crate) of_handler: bool,
    turn: Turn,
    number: u64,
    record: Record,
}

impl<M: Module> EventWork<M> {
    fn handle(&self, tx: &mut Tx<'_>) -> Result<bool, (Fault, bool)> {
        let around = |fault| (fault, false);
        match self.turn {
            Turn::After(previous) => {
                let publisher = self.publisher.to_string();
                let cursor = tx.get(&CURSORS, &publisher).map_err(around)?;
                let mut cursor = cursor.unwrap_or_default();
                if cursor.position != previous {
                    // The event before this one failed; both are tried again, in order.
                    let waits = faults::stopped(self.publisher, "an earlier event waits");
                    return Err(around(waits));
                }
                self.apply(tx)?;
                cursor.position = self.number;
                cursor.applied += 1;
                tx.put(&CURSORS, &publisher, &cursor).map_err(around)?;
                Ok(true)
            }
            Turn::Again => {
                let there = dead::take(tx, self.publisher, self.number, true).map_err(around)?;
                if there {
                    self.apply(tx)?;
                }
                Ok(there)
            }
        }
    }

    fn apply(&self, tx: &mut Tx<'_>) -> Result<(), (Fault, bool)> {
        let named = |event: &&Listened<M>| event.is(self.publisher, &self.record.name);
        // One for the module itself, one for its flows.
        for event in self.listened.iter().filter(named) {
            (event.apply)(&self.instance.current(), &self.record.body, tx).map_err(|fault| {
                let of_handler = !is_of_module(&fault, self.instance.home.module());
                (fault, of_handler)
            })?;
        }
        Ok(())
    }
}

/// Whether a fault is of the module's own store or mailbox, which is no fault of the event.
fn is_of_module(fault: &Fault, own: &str) -> bool {
    match fault {
        Fault::Store { module, .. }
        | Fault::Overloaded { module, .. }
        | Fault::Stopped { module, .. } => module == own,
        _ => false,
    }
}

impl<M: Module> Work for EventWork<M> {
    fn cause(&self) -> u128 {
        self.record.cause
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        self.handled = self.handle(tx);
        self.handled == Ok(true)
    }

    fn settle(self: Box<Self>, end: Result<(), Fault>) {
        let Self {
            turn,
            number,
            record,
            handled,
            done,
            ..
        } = *self;
        let handled = match end {
            Ok(()) => handled,
            Err(fault) => {
                let of_handler = matches!(fault, Fault::Panicked { .. });
                Err((fault, of_handler))
            }
        };
        let failed = |(fault, of_handler)| {
            Box::new(Failed {
                fault,
                of_handler,
                turn,
                number,
                record,
            })
        };
        // Whoever waited may be gone: the process is stopping.
        _ = done.send(handled.map_err(failed));
    }

    fn counts(&self) -> bool {
        false
    }
}
