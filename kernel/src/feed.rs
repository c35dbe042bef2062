//! Events from a publisher's log to whoever listens; `follow` has what becomes of them there.
//!
//! The subscriber pulls: it asks for what follows its place in the log and, when there is
//! nothing, leaves the question open until there is. So a slow subscriber holds up nobody, a
//! publisher knows nobody, and an event needs no acknowledgement other than the subscriber's own
//! commit, which holds both its effect and the new place. It asks for the next page only when the
//! last is committed, so a page is also all that ever waits for it on the way.

use std::{ops::ControlFlow, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, Either, select};
use modulith_contract::{Fault, Fingerprint, Stop};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};

use crate::{
    Carried, Partition, Record, codec, faults,
    home::Home,
    network::{Call, Entry, Network, fault},
    retention,
    store::EVENTS,
};

/// How many events one answer holds at most.
pub const FEED_EVENTS_MAX: usize = 256;

/// How many bytes of events one answer holds at most, unless a single event is larger.
pub const FEED_BYTES_MAX: usize = 1 << 20;

/// How many events are counted for one answer when they are passed over.
const PASS_EVENTS_MAX: usize = 4096;

/// How many events are read for one answer, those that nobody wants included.
const READ_EVENTS_MAX: usize = 1024;

/// How long a question for events stays open when there are none.
const WAIT: Duration = Duration::from_secs(5);

/// How long a subscriber waits for the answer beyond [`WAIT`].
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The name, within each publishing module, of the request for its events.
const READ_EVENTS: &str = "modulith.ReadEvents";

/// Asks for the events of a module that follow a place in its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReadEvents {
    /// Which partition of the subscriber asks.
    pub(crate) partition: Partition,
    pub(crate) after: u64,
    /// It has dealt, durably, with everything up to this number.
    pub(crate) done: u64,
    pub(crate) names: Vec<String>,
    /// Those of them that it also wants when they are for its other partitions.
    pub(crate) awaited: Vec<String>,
    /// Not the events, only how many they are; at once, also when there are none.
    pub(crate) pass: bool,
}

/// Part of a log: the events wanted, and how far the log was read to find them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) events: Vec<Sent>,
    /// How many events followed the last of those that are for other partitions of the subscriber.
    pub(crate) others: u64,
    pub(crate) read_to: u64,
    /// How far the log goes.
    pub(crate) head: u64,
    /// The number of the oldest event kept.
    pub(crate) first: u64,
    /// When `first` is beyond the place asked for: how many events wanted were ever removed.
    pub(crate) trimmed: u64,
    /// How many events wanted were counted instead of sent.
    pub(crate) passed: u64,
}

/// One event on its way to a partition of a subscriber.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) record: Record,
    /// Whether it is for this partition, rather than only awaited by its flows.
    pub(crate) own: bool,
    /// How many events before it, since the one sent before, are for other partitions.
    pub(crate) others: u64,
}

/// The request for a publisher's events, as `module.Message`.
///
/// A question that is left open on purpose while there is nothing new, and that its asker repeats
/// by itself: how long it takes says nothing.
pub fn feed_message(publisher: &str) -> String {
    format!("{publisher}.{READ_EVENTS}")
}

/// Raised by hand when the form of [`ReadEvents`] or [`Page`] changes.
pub(crate) fn feed_fingerprint() -> Fingerprint {
    Fingerprint::of("modulith.ReadEvents 3", &[])
}

/// Where a subscriber reads a publisher's events.
pub(crate) trait Source: Send + Sync {
    fn read(&self, wanted: ReadEvents) -> BoxFuture<'_, Result<Page, Fault>>;
}

/// A publisher, or one of its partitions, in this process.
pub(crate) struct LocalSource {
    /// Who asks, with its partition where there are several.
    pub(crate) subscriber: String,
    pub(crate) publisher: Arc<Home>,
}

impl Source for LocalSource {
    fn read(&self, wanted: ReadEvents) -> BoxFuture<'_, Result<Page, Fault>> {
        Box::pin(async move {
            let home = &self.publisher;
            let now = home.environment().clock.now();
            home.retention.note(&self.subscriber, wanted.done, now);
            if !wanted.pass {
                // Nothing new before the wait is over: an empty page, and the subscriber asks
                // again.
                _ = tokio::time::timeout(WAIT, home.head.beyond(wanted.after)).await;
            }
            page(home, &wanted)
        })
    }
}

fn page(home: &Home, wanted: &ReadEvents) -> Result<Page, Fault> {
    let head = home.head.number();
    let snapshot = home.store()?.snapshot()?;
    let from = wanted.after.saturating_add(1);
    let first = snapshot.first_key(&EVENTS)?.unwrap_or(from);
    let mut page = Page {
        read_to: wanted.after.max(first - 1),
        head,
        first,
        ..Page::default()
    };
    if first > from {
        page.trimmed = retention::trimmed(&snapshot, &wanted.names)?;
    }
    let rows_max = if wanted.pass {
        PASS_EVENTS_MAX
    } else {
        READ_EVENTS_MAX
    };
    let partition = wanted.partition;
    let is_own = |record: &Record| {
        !partition.is_divided() || home.partition_of(record, partition.count()) == partition.index()
    };
    let (mut rows, mut bytes) = (0, 0);
    snapshot.walk(&EVENTS, from.., |number, record, encoded| {
        if wanted.names.contains(&record.name) {
            let own = is_own(&record);
            let wants = own || wanted.awaited.contains(&record.name);
            match (wanted.pass, wants) {
                (true, _) if own => page.passed += 1,
                (true, _) | (_, false) => page.others += 1,
                (false, true) => {
                    // As large as its row, give or take the length of its number.
                    bytes += encoded;
                    if bytes > FEED_BYTES_MAX && !page.events.is_empty() {
                        return ControlFlow::Break(());
                    }
                    page.events.push(Sent {
                        number,
                        record,
                        own,
                        others: std::mem::take(&mut page.others),
                    });
                }
            }
        }
        page.read_to = number;
        rows += 1;
        if rows == rows_max || page.events.len() == FEED_EVENTS_MAX {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// A publisher, or one of its partitions, in another process.
pub(crate) struct RemoteSource {
    pub(crate) subscriber: &'static str,
    pub(crate) publisher: &'static str,
    pub(crate) partition: u16,
    pub(crate) network: Arc<dyn Network>,
}

impl Source for RemoteSource {
    fn read(&self, wanted: ReadEvents) -> BoxFuture<'_, Result<Page, Fault>> {
        Box::pin(async move {
            let malformed = |error: codec::CodecError| Fault::Malformed {
                message: feed_message(self.publisher),
                reason: error.to_string(),
            };
            let call = Call {
                partition: self.partition,
                carried: Carried::default(),
                caller: self.subscriber.into(),
                message: feed_message(self.publisher).into(),
                id: 0,
                deadline: Instant::now() + WAIT + ANSWER_GRACE,
                body: codec::encode(&wanted).map_err(malformed)?,
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
            let source = LocalSource {
                subscriber: wanted.partition.name(&call.caller),
                publisher: self.0.clone(),
            };
            let nothing = Page {
                read_to: wanted.after,
                head: source.publisher.head.number(),
                ..Page::default()
            };
            let read = pin!(timeout_at(call.deadline, source.read(wanted)));
            let mut leaving = self.0.leaving.subscribe();
            let left = pin!(leaving.wait_for(|leaving| *leaving));
            let read = match select(read, left).await {
                Either::Left((read, _)) => read,
                Either::Right(_) => Ok(Ok(nothing)),
            };
            match read.unwrap_or(Err(Fault::Late)) {
                Ok(page) => codec::encode(&Ok::<_, Stop<()>>(page))
                    .expect("a page of events is bounded below the codec's limit"),
                Err(reason) => fault(reason),
            }
        })
    }
}
