//! A subscription: following the log of one publisher, or of one of its partitions, an event at a
//! time.
//!
//! What becomes of an event is one commit with the subscriber's new place: its effect, its
//! becoming a dead letter, or its being passed over. So the counts beside the place always add up.
//!
//! A divided subscriber follows once for each of its partitions, and each is sent only what is for
//! it. What is for the others is counted, so that the counts add up all the same, and written down
//! with the next event, or after [`OTHERS_HELD_MAX`], or when nothing more comes.

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
    ListenFrom, Module, Partition, Poison, Record, Tx,
    dead::{self, Failure},
    declaration::Listened,
    faults,
    feed::{ReadEvents, Source},
    home::Home,
    instance::Instance,
    store::{CURSORS, Cursor, OTHERS},
    work::Work,
};

/// The waits before an event, or its publisher, is tried again: doubled from the first up to the
/// second.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// From how many failed tries on a stuck subscription is worth telling of: a neighbour that is only
/// starting is not.
pub(crate) const REPORT_FROM: u32 = 4;

/// How many events for other partitions may be passed over in memory, to be counted again after a
/// restart.
const OTHERS_HELD_MAX: u64 = 1024;

/// How a subscription stands.
pub(crate) struct Subscription {
    pub(crate) publisher: &'static str,
    /// Which partition of the publisher is followed.
    pub(crate) partition: Partition,
    /// The publisher's name, with its partition where there are several.
    pub(crate) source: Arc<str>,
    /// How far the publisher's log has been dealt with.
    pub(crate) position: AtomicU64,
    /// How far the publisher's log goes, as it last said.
    pub(crate) head: AtomicU64,
    /// The fault an event or the publisher is stuck on, and how often it has been tried.
    pub(crate) stuck: Mutex<Option<(String, u32)>>,
}

impl Subscription {
    /// At the beginning of a log.
    pub(crate) fn to(publisher: &'static str, partition: Partition) -> Arc<Self> {
        Arc::new(Self {
            publisher,
            partition,
            source: partition.name(publisher).into(),
            position: 0.into(),
            head: 0.into(),
            stuck: Mutex::default(),
        })
    }
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
    let of_publisher = |event: &&Listened<M>| event.publisher == publisher;
    let of_publisher = || listened.iter().filter(of_publisher);
    let names: BTreeSet<_> = of_publisher().map(|event| event.name.to_string()).collect();
    let awaited = of_publisher().filter(|event| event.awaited);
    let awaited: BTreeSet<_> = awaited.map(|event| event.name.to_string()).collect();
    let mut follower = Follower {
        instance,
        subscription,
        names: names.into_iter().collect(),
        awaited: awaited.into_iter().collect(),
        listened,
        source,
        passed: Passed::default(),
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
    awaited: Vec<String>,
    source: Arc<dyn Source>,
    passed: Passed,
    /// The event that fails now. Forgotten when the process ends: its tries begin again then.
    failing: Option<Failing>,
    retry: Duration,
}

/// Events for other partitions that the stored place does not cover yet.
#[derive(Default)]
struct Passed {
    /// The stored place.
    from: u64,
    others: u64,
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
        if self.passed.from != cursor.position {
            // Some of what followed was handled, and the rest is read again.
            self.passed = Passed {
                from: cursor.position,
                others: 0,
            };
        }
        let mut others = self.passed.others;
        // What is only in memory is read again after a restart, so it must not be removed.
        let done = if others == 0 { after } else { cursor.position };
        let page = self.source.read(self.question(after, done, false)).await?;
        self.subscription.head.store(page.head, Relaxed);
        let mut previous = cursor.position;
        // Events wanted, and removed before they were handled: all that ever were, less those
        // dealt with, because the counts are of the same events.
        let dealt_with = cursor.total() + self.others_of(&cursor)? + others;
        let missed = page.trimmed.saturating_sub(dealt_with);
        if page.first > after + 1 && missed > 0 {
            previous = page.first - 1;
            self.pass(cursor.position, previous, missed, others).await?;
            others = 0;
        }
        let is_idle = page.read_to == after;
        let mut ends = Vec::with_capacity(page.events.len());
        for sent in page.events {
            let (done, end) = oneshot::channel();
            let work = EventWork {
                instance: self.instance.clone(),
                listened: self.listened.clone(),
                source: self.subscription.source.clone(),
                turn: Turn::After(previous),
                others: others + sent.others,
                own: sent.own,
                number: sent.number,
                record: sent.record,
                handled: Err((Fault::Late, false)),
                done,
            };
            previous = sent.number;
            others = 0;
            let mailbox = self.instance.home.mailbox()?;
            mailbox.push_waiting(Box::new(work)).await?;
            ends.push(end);
        }
        // All of them, before the first failure is looked at: none may be waiting any more then.
        for end in join_all(ends).await {
            match end {
                Ok(Ok(_)) => {}
                Ok(Err(failed)) => return self.failed(*failed).await,
                Err(_) => return Err(faults::stopped(self.instance.home.name(), "it stopped")),
            }
        }
        let others = others + page.others;
        let passed = if others >= OTHERS_HELD_MAX || is_idle && others > 0 {
            self.pass(previous, page.read_to, 0, others).await?;
            Passed {
                from: page.read_to,
                others: 0,
            }
        } else {
            Passed {
                from: previous,
                others,
            }
        };
        // Together, or what follows would be counted again.
        self.passed = passed;
        self.subscription.position.store(page.read_to, Relaxed);
        Ok(())
    }

    /// How many events up to the stored place were for other partitions.
    fn others_of(&self, cursor: &Cursor) -> Result<u64, Fault> {
        let home = &self.instance.home;
        if !home.partition.is_divided() || cursor.position == 0 {
            return Ok(0);
        }
        let source = self.subscription.source.to_string();
        let others = home.store()?.snapshot()?.get(&OTHERS, &source)?;
        Ok(others.unwrap_or(0))
    }

    /// How far the subscription has come; where it begins when it is new.
    async fn cursor(&self) -> Result<Cursor, Fault> {
        let home = &self.instance.home;
        let source = self.subscription.source.to_string();
        let cursor = home.store()?.snapshot()?.get(&CURSORS, &source)?;
        match (cursor, home.options.listen_from) {
            (Some(cursor), _) => Ok(cursor),
            (None, ListenFrom::Start) => Ok(Cursor::default()),
            (None, ListenFrom::Now) => self.begin_now().await,
        }
    }

    /// Passes over everything published so far, and counts it.
    async fn begin_now(&self) -> Result<Cursor, Fault> {
        let mut page = self.source.read(self.question(0, 0, true)).await?;
        let now = page.head;
        let mut skipped = page.trimmed + page.passed;
        let mut others = page.others;
        while page.read_to < now {
            let before = page.read_to;
            let question = self.question(before, before, true);
            page = self.source.read(question).await?;
            skipped += page.passed;
            others += page.others;
            if page.read_to == before {
                // Its process is leaving. Begun anew with the one that follows.
                let publisher = self.subscription.publisher;
                return Err(faults::stopped(publisher, "it keeps its events to itself"));
            }
        }
        self.pass(0, page.read_to, skipped, others).await?;
        Ok(Cursor {
            position: page.read_to,
            skipped,
            ..Cursor::default()
        })
    }

    /// Moves the subscription on without handling anything.
    async fn pass(&self, from: u64, to: u64, skipped: u64, others: u64) -> Result<(), Fault> {
        let home = &self.instance.home;
        let source = self.subscription.source.clone();
        let passed = home.transact(move |tx| {
            let mut cursor = cursor_at(tx, &source, from)?;
            cursor.position = to;
            cursor.skipped += skipped;
            note_others(tx, &source, others)?;
            tx.put(&CURSORS, &source.to_string(), &cursor)
        });
        passed.await?;
        if skipped > 0 {
            info!(
                module = home.name(),
                publisher = &*self.subscription.source,
                skipped,
                position = to,
                "events passed over"
            );
        }
        Ok(())
    }

    fn question(&self, after: u64, done: u64, pass: bool) -> ReadEvents {
        ReadEvents {
            partition: self.instance.home.partition,
            after,
            done,
            names: self.names.clone(),
            awaited: self.awaited.clone(),
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
        let (source, number) = (self.subscription.source.clone(), failed.number);
        let attempts = failure.attempts;
        let parked = home.transact(move |tx| {
            note_others(tx, &source, failed.others)?;
            dead::park(tx, &source, previous, number, failed.record, failure)
        });
        parked.await?;
        self.failing = None;
        error!(
            module = home.name(),
            publisher = &*self.subscription.source,
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
                module = self.instance.home.name(),
                publisher = &*self.subscription.source,
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

/// The cursor, which must be at this place.
pub(crate) fn cursor_at(tx: &Tx<'_>, source: &str, at: u64) -> Result<Cursor, Fault> {
    let cursor = tx.get(&CURSORS, &source.to_string())?.unwrap_or_default();
    if cursor.position == at {
        return Ok(cursor);
    }
    // The event before this one failed; both are tried again, in order.
    Err(faults::stopped(source, "an earlier event waits"))
}

/// Counts events that are for other partitions.
fn note_others(tx: &mut Tx<'_>, source: &str, others: u64) -> Result<(), Fault> {
    if others == 0 {
        return Ok(());
    }
    let source = source.to_string();
    let before = tx.get(&OTHERS, &source)?.unwrap_or(0);
    tx.put(&OTHERS, &source, &(before + others))
}

/// One event on its way into a subscriber's store.
pub(crate) struct EventWork<M: Module> {
    pub(crate) instance: Arc<Instance<M>>,
    pub(crate) listened: Arc<Vec<Listened<M>>>,
    /// Whose event it is, with its partition where there are several.
    pub(crate) source: Arc<str>,
    pub(crate) turn: Turn,
    /// How many events before it are for other partitions.
    pub(crate) others: u64,
    /// Whether it is for this partition, rather than only awaited by its flows.
    pub(crate) own: bool,
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
    others: u64,
    record: Record,
}

impl<M: Module> EventWork<M> {
    fn handle(&self, tx: &mut Tx<'_>) -> Result<bool, (Fault, bool)> {
        let around = |fault| (fault, false);
        match self.turn {
            Turn::After(previous) => {
                let mut cursor = cursor_at(tx, &self.source, previous).map_err(around)?;
                self.apply(tx)?;
                cursor.position = self.number;
                if self.own {
                    cursor.applied += 1;
                }
                let others = self.others + u64::from(!self.own);
                note_others(tx, &self.source, others).map_err(around)?;
                let source = self.source.to_string();
                tx.put(&CURSORS, &source, &cursor).map_err(around)?;
                Ok(true)
            }
            Turn::Again => {
                let there = dead::take(tx, &self.source, self.number, true).map_err(around)?;
                if there {
                    self.apply(tx)?;
                }
                Ok(there)
            }
        }
    }

    fn apply(&self, tx: &mut Tx<'_>) -> Result<(), (Fault, bool)> {
        let home = &self.instance.home;
        let named = |event: &&Listened<M>| {
            event.is(&self.source, &self.record.name) && (self.own || event.awaited)
        };
        // One for the module itself, one for its flows.
        for event in self.listened.iter().filter(named) {
            (event.apply)(&self.instance.current(), &self.record.body, tx).map_err(|fault| {
                let of_handler = !is_of_module(&fault, home);
                (fault, of_handler)
            })?;
        }
        Ok(())
    }
}

/// Whether a fault is of the module's own store or mailbox, which is no fault of the event.
fn is_of_module(fault: &Fault, own: &Home) -> bool {
    match fault {
        Fault::Store { module, .. }
        | Fault::Overloaded { module, .. }
        | Fault::Stopped { module, .. } => module == own.module() || module == own.name(),
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
            others,
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
                others,
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
