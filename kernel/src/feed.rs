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
    Carried, Record, codec, faults,
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

/// How long a question for events stays open when there are none.
const WAIT: Duration = Duration::from_secs(5);

/// How long a subscriber waits for the answer beyond [`WAIT`].
const ANSWER_GRACE: Duration = Duration::from_secs(2);

/// The name, within each publishing module, of the request for its events.
const READ_EVENTS: &str = "modulith.ReadEvents";

/// Asks for the events of a module that follow a place in its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReadEvents {
    /// Whoever asks has dealt, durably, with everything up to this number.
    pub(crate) after: u64,
    pub(crate) names: Vec<String>,
    /// Not the events, only how many they are; at once, also when there are none.
    pub(crate) pass: bool,
}

/// Part of a log: the events wanted, and how far the log was read to find them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Page {
    pub(crate) events: Vec<(u64, Record)>,
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

/// The request for a publisher's events, as `module.Message`.
///
/// A question that is left open on purpose while there is nothing new, and that its asker repeats
/// by itself: how long it takes says nothing.
pub fn feed_message(publisher: &str) -> String {
    format!("{publisher}.{READ_EVENTS}")
}

/// Raised by hand when the form of [`ReadEvents`] or [`Page`] changes.
pub(crate) fn feed_fingerprint() -> Fingerprint {
    Fingerprint::of("modulith.ReadEvents 2", &[])
}

/// Where a subscriber reads a publisher's events.
pub(crate) trait Source: Send + Sync {
    fn read(&self, wanted: ReadEvents) -> BoxFuture<'_, Result<Page, Fault>>;
}

/// A publisher in this process.
pub(crate) struct LocalSource {
    pub(crate) subscriber: Arc<str>,
    pub(crate) publisher: Arc<Home>,
}

impl Source for LocalSource {
    fn read(&self, wanted: ReadEvents) -> BoxFuture<'_, Result<Page, Fault>> {
        Box::pin(async move {
            let home = &self.publisher;
            let now = home.environment().clock.now();
            home.retention.note(&self.subscriber, wanted.after, now);
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
        FEED_EVENTS_MAX
    };
    let (mut rows, mut bytes) = (0, 0);
    snapshot.walk(&EVENTS, from.., |number, record, encoded| {
        let is_wanted = wanted.names.contains(&record.name);
        if is_wanted && wanted.pass {
            page.passed += 1;
        } else if is_wanted {
            // As large as its row, give or take the length of its number.
            bytes += encoded;
            if bytes > FEED_BYTES_MAX && !page.events.is_empty() {
                return ControlFlow::Break(());
            }
            page.events.push((number, record));
        }
        page.read_to = number;
        rows += 1;
        if rows == rows_max {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(page)
}

/// A publisher in another process.
pub(crate) struct RemoteSource {
    pub(crate) subscriber: &'static str,
    pub(crate) publisher: &'static str,
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
                partition: 0,
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
                subscriber: call.caller,
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
