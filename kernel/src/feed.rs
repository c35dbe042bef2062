//! Events from a publisher's log to a subscriber's store.
//!
//! The subscriber pulls: it asks for what follows its place in the log and, when there is
//! nothing, leaves the question open until there is. So a slow subscriber holds up nobody, a
//! publisher knows nobody, and an event needs no acknowledgement other than the subscriber's own
//! commit, which holds both its effect and the new place.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, Either, join_all, select};
use modulith_contract::{Fault, Fingerprint, Stop};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout_at},
};
use tracing::warn;

use crate::{
    Module, Record, Tx, codec,
    declaration::Listened,
    faults,
    home::Home,
    instance::Instance,
    network::{Call, Entry, Network, fault},
    store::{CURSORS, EVENTS},
    work::Work,
};

/// How many events one answer holds at most.
pub const FEED_EVENTS_MAX: usize = 256;

/// How many bytes of events one answer holds at most, unless a single event is larger.
pub const FEED_BYTES_MAX: usize = 1 << 20;

/// How long a question for events stays open when there are none.
const WAIT: Duration = Duration::from_secs(5);

/// How long a subscriber waits for the answer beyond [`WAIT`].
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The waits before an event, or its publisher, is tried again: doubled from the first up to the
/// second.
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// From how many failed tries on a stuck subscription is worth telling of: a neighbour that is only
/// starting is not.
pub(crate) const REPORT_FROM: u32 = 4;

/// The name, within each publishing module, of the request for its events.
const READ_EVENTS: &str = "modulith.ReadEvents";

/// Asks for the events of a module that follow a place in its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReadEvents {
    after: u64,
    names: Vec<String>,
}

/// Part of a log: the events wanted, and how far the log was read to find them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    events: Vec<(u64, Record)>,
    read_to: u64,
}

/// The request for a publisher's events, as `module.Message`.
pub(crate) fn feed_message(publisher: &str) -> String {
    format!("{publisher}.{READ_EVENTS}")
}

/// Raised by hand when the form of [`ReadEvents`] or [`Page`] changes.
pub(crate) fn feed_fingerprint() -> Fingerprint {
    Fingerprint::of("modulith.ReadEvents 1", &[])
}

/// Where a subscriber reads a publisher's events.
pub(crate) trait Source: Send + Sync {
    fn read(&self, after: u64, names: Vec<String>) -> BoxFuture<'_, Result<Page, Fault>>;
}

/// A publisher in this process.
pub(crate) struct LocalSource(pub(crate) Arc<Home>);

impl Source for LocalSource {
    fn read(&self, after: u64, names: Vec<String>) -> BoxFuture<'_, Result<Page, Fault>> {
        Box::pin(async move {
            // Nothing new before the wait is over: an empty page, and the subscriber asks again.
            _ = tokio::time::timeout(WAIT, self.0.head.beyond(after)).await;
            page(&self.0, after, &names)
        })
    }
}

fn page(home: &Home, after: u64, names: &[String]) -> Result<Page, Fault> {
    let mut page = Page {
        events: Vec::new(),
        read_to: after,
    };
    let rows = home
        .store()?
        .snapshot()?
        .range(&EVENTS, after + 1.., FEED_EVENTS_MAX)?;
    let mut bytes = 0;
    for (number, record) in rows {
        if names.contains(&record.name) {
            bytes += record.body.len();
            if bytes > FEED_BYTES_MAX && !page.events.is_empty() {
                break;
            }
            page.events.push((number, record));
        }
        page.read_to = number;
    }
    Ok(page)
}

/// A publisher in another process.
pub(crate) struct RemoteSource {
    pub(crate) subscriber: &'static str,
    pub(crate) publisher: &'static str,
    pub(crate) network: Arc<dyn Network>,
}

impl Source for RemoteSource {
    fn read(&self, after: u64, names: Vec<String>) -> BoxFuture<'_, Result<Page, Fault>> {
        Box::pin(async move {
            let malformed = |error: codec::CodecError| Fault::Malformed {
                message: feed_message(self.publisher),
                reason: error.to_string(),
            };
            let call = Call {
                caller: self.subscriber.into(),
                message: feed_message(self.publisher).into(),
                id: 0,
                deadline: Instant::now() + WAIT + ANSWER_GRACE,
                body: codec::encode(&ReadEvents { after, names }).map_err(malformed)?,
            };
            let reply = self.network.call(call).await?;
            codec::decode::<Result<Page, Stop<()>>>(&reply)
                .map_err(malformed)?
                .map_err(|stop| match stop {
                    Stop::Fault(fault) => fault,
                    Stop::Refused(()) => faults::stopped(self.publisher, "it refused its events"),
                })
        })
    }
}

/// Serves a module's events to other processes.
pub(crate) struct FeedEntry(pub(crate) Arc<Home>);

impl Entry for FeedEntry {
    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Vec<u8>> {
        Box::pin(async move {
            let wanted: ReadEvents = match codec::decode(&call.body) {
                Ok(wanted) => wanted,
                Err(error) => {
                    let message = feed_message(self.0.module());
                    return fault(Fault::Malformed {
                        message,
                        reason: error.to_string(),
                    });
                }
            };
            let source = LocalSource(self.0.clone());
            let after = wanted.after;
            let read = pin!(timeout_at(call.deadline, source.read(after, wanted.names)));
            let mut leaving = self.0.leaving.subscribe();
            let left = pin!(leaving.wait_for(|leaving| *leaving));
            let read = match select(read, left).await {
                Either::Left((read, _)) => read,
                Either::Right(_) => Ok(Ok(Page {
                    events: Vec::new(),
                    read_to: after,
                })),
            };
            match read.unwrap_or(Err(Fault::Late)) {
                Ok(page) => codec::encode(&Ok::<_, Stop<()>>(page))
                    .expect("a page of events is bounded below the codec's limit"),
                Err(reason) => fault(reason),
            }
        })
    }
}

/// How a subscription stands.
pub(crate) struct Subscription {
    pub(crate) publisher: &'static str,
    /// How far the publisher's log has been dealt with.
    pub(crate) position: AtomicU64,
    /// The fault an event or the publisher is stuck on, and how often it has been tried.
    pub(crate) stuck: Mutex<Option<(String, u32)>>,
}

/// Follows one publisher for as long as the module runs.
pub(crate) async fn follow<M: Module>(
    instance: Arc<Instance<M>>,
    subscription: Arc<Subscription>,
    listened: Vec<Listened<M>>,
    source: Arc<dyn Source>,
) {
    let follower = Follower {
        instance,
        subscription,
        listened: Arc::new(listened),
        source,
    };
    let mut retry = RETRY_FIRST;
    let mut leaving = follower.instance.home.leaving.subscribe();
    while follower.instance.home.stopped().is_none() {
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
                retry = RETRY_FIRST;
                *follower.stuck() = None;
            }
            Err(fault) => {
                follower.report(&fault);
                sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

struct Follower<M: Module> {
    instance: Arc<Instance<M>>,
    subscription: Arc<Subscription>,
    listened: Arc<Vec<Listened<M>>>,
    source: Arc<dyn Source>,
}

impl<M: Module> Follower<M> {
    /// Reads what is new and hands it to the module, in order.
    async fn step(&self) -> Result<(), Fault> {
        let publisher = self.subscription.publisher;
        let home = &self.instance.home;
        let handled = home
            .store()?
            .snapshot()?
            .get(&CURSORS, &publisher.to_string())?
            .unwrap_or(0);
        let known = self.subscription.position.fetch_max(handled, Relaxed);
        let after = known.max(handled);
        let names = self
            .listened
            .iter()
            .map(|event| event.name.to_string())
            .collect();
        let page = self.source.read(after, names).await?;
        let mut previous = handled;
        let mut ends = Vec::with_capacity(page.events.len());
        for (number, record) in page.events {
            let (done, end) = oneshot::channel();
            let work = EventWork {
                instance: self.instance.clone(),
                listened: self.listened.clone(),
                publisher,
                previous,
                number,
                record,
                handled: Err(Fault::Late),
                done,
            };
            previous = number;
            home.mailbox()?.push_waiting(Box::new(work)).await?;
            ends.push(end);
        }
        for end in join_all(ends).await {
            end.unwrap_or_else(|_| Err(faults::stopped(home.module(), "it stopped")))?;
        }
        self.subscription.position.store(page.read_to, Relaxed);
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
struct EventWork<M: Module> {
    instance: Arc<Instance<M>>,
    listened: Arc<Vec<Listened<M>>>,
    publisher: &'static str,
    /// The number of the event that must have been handled before.
    previous: u64,
    number: u64,
    record: Record,
    handled: Result<(), Fault>,
    done: oneshot::Sender<Result<(), Fault>>,
}

impl<M: Module> EventWork<M> {
    fn handle(&self, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let publisher = self.publisher.to_string();
        let cursor = tx.get(&CURSORS, &publisher)?.unwrap_or(0);
        if cursor != self.previous {
            // The event before this one failed; both are tried again, in order.
            return Err(faults::stopped(self.publisher, "an earlier event waits"));
        }
        let event = self
            .listened
            .iter()
            .find(|event| event.name == self.record.name);
        if let Some(event) = event {
            (event.apply)(&self.instance.current(), &self.record.body, tx)?;
        }
        tx.put(&CURSORS, &publisher, &self.number)
    }
}

impl<M: Module> Work for EventWork<M> {
    fn cause(&self) -> u128 {
        self.record.cause
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        self.handled = self.handle(tx);
        self.handled.is_ok()
    }

    fn settle(self: Box<Self>, end: Result<(), Fault>) {
        _ = self.done.send(end.and(self.handled));
    }

    fn counts(&self) -> bool {
        false
    }
}
