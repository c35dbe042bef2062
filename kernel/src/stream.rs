//! Answers that are sequences: how a module makes one, how another takes it.
//!
//! In one process the items are moved from maker to taker, who pulls them: no task, no queue and
//! no encoding is between the two. Between processes each is encoded, and the network carries the
//! taker's pace back to the maker.

use std::{
    fmt, future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock, atomic::Ordering::Relaxed},
    task::{Context as Poller, Poll},
    time::Duration,
};

use futures_util::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, once},
};
use modulith_contract::{Fault, Stop, StreamQuery};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    Call, Context, MessageName, Module, Network, Partition,
    codec::{self, CodecError},
    faults,
    home::Home,
    instance::Instance,
    network::{Entry, fault, read},
    port::{Meta, panicked},
};

/// The next item of an answer to `Q`, or why there are no more.
pub(crate) type Next<Q> = Result<<Q as StreamQuery>::Item, Stop<<Q as StreamQuery>::Refusal>>;

/// Answers a query by a sequence of items, made as they are taken.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer `{Q}` by a stream",
    label = "no `impl AnswerStream<{Q}> for {Self}`",
    note = "implement `AnswerStream` for what is declared with `streams`"
)]
pub trait AnswerStream<Q: StreamQuery>: Module {
    /// Makes the items, from a snapshot of the store, from memory, or by asking other modules.
    ///
    /// A refusal or a fault ends the sequence. What the stream needs it must own: it outlives the
    /// call, and may outlive the module's value. It is dropped when nobody takes the items any
    /// more. It runs where it is polled, which may be a network thread: what takes long between
    /// two items belongs elsewhere, and a snapshot keeps old pages of the store until it is
    /// dropped, so a sequence that may take hours should take a fresh one now and then.
    fn stream(
        &self,
        query: Q,
        context: &Context,
    ) -> impl Stream<Item = Result<Q::Item, Stop<Q::Refusal>>> + Send + 'static;
}

/// The items of an answer, in the order in which they were made. Dropping it ends their making.
///
/// After an error nothing follows, and an end without one is the end of the whole sequence. An
/// item that does not come within the limit while it is waited for is [`Fault::Late`]; how long
/// the sequence is, and how long its taker takes, does not matter. Poll it inside a tokio runtime.
#[must_use = "nothing is made unless it is taken"]
pub struct Items<Q: StreamQuery> {
    /// None once it is over.
    source: Option<BoxStream<'static, Next<Q>>>,
    limit: Duration,
    /// Made when an item is first waited for.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl<Q: StreamQuery> Items<Q> {
    pub(crate) fn new(source: BoxStream<'static, Next<Q>>, limit: Duration) -> Self {
        Self {
            source: Some(source),
            limit,
            timer: None,
            is_waiting: false,
        }
    }

    pub(crate) fn fault(fault: Fault) -> Self {
        Self::new(only::<Q>(Err(fault.into())), Duration::MAX)
    }

    /// Waits for the next item; none at the end.
    pub async fn next(&mut self) -> Option<Result<Q::Item, Stop<Q::Refusal>>> {
        StreamExt::next(self).await
    }

    /// Whether the next item has been waited for too long.
    fn is_late(&mut self, cx: &mut Poller<'_>) -> bool {
        if !self.is_waiting {
            self.is_waiting = true;
            // Beyond what a clock can say, there is no limit.
            let Some(deadline) = Instant::now().checked_add(self.limit) else {
                self.timer = None;
                return false;
            };
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(deadline),
                None => self.timer = Some(Box::pin(sleep_until(deadline))),
            }
        }
        let timer = self.timer.as_mut();
        timer.is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }
}

impl<Q: StreamQuery> Stream for Items<Q> {
    type Item = Next<Q>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Poller<'_>) -> Poll<Option<Self::Item>> {
        let Some(source) = &mut self.source else {
            return Poll::Ready(None);
        };
        let next = match source.as_mut().poll_next(cx) {
            Poll::Ready(next) => next,
            Poll::Pending if self.is_late(cx) => Some(Err(Fault::Late.into())),
            Poll::Pending => return Poll::Pending,
        };
        self.is_waiting = false;
        if !matches!(next, Some(Ok(_))) {
            self.source = None;
        }
        Poll::Ready(next)
    }
}

impl<Q: StreamQuery> fmt::Debug for Items<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items")
            .field("query", &Q::NAME)
            .field("is_over", &self.source.is_none())
            .finish_non_exhaustive()
    }
}

/// Takes a stream query to its module and brings the items back.
pub(crate) trait StreamAsker<Q: StreamQuery>: Send + Sync {
    /// The deadline in `meta` is that of the first item; `limit` is that of each.
    fn stream(&self, query: Q, meta: Meta, limit: Duration) -> BoxStream<'static, Next<Q>>;
}

pub(crate) type StreamAskerFor<Q> = Arc<dyn StreamAsker<Q>>;

/// Answers in place: whoever polls the items makes them.
pub(crate) struct AnswerStreamAsker<M: Module>(Arc<Instance<M>>);

impl<M: Module> AnswerStreamAsker<M> {
    pub(crate) fn new(instance: Arc<Instance<M>>) -> Self {
        Self(instance)
    }
}

impl<M: AnswerStream<Q>, Q: StreamQuery> StreamAsker<Q> for AnswerStreamAsker<M> {
    fn stream(&self, query: Q, meta: Meta, limit: Duration) -> BoxStream<'static, Next<Q>> {
        let home = self.0.home.clone();
        home.counters.queries.fetch_add(1, Relaxed);
        if let Err(fault) = home.accepting() {
            return only::<Q>(home.count(Err(fault.into())));
        }
        let module = self.0.held();
        let context = Context::of_stream(home.clone(), meta, limit);
        let made = catch_unwind(AssertUnwindSafe(|| module.stream(query, &context)));
        match made {
            Ok(items) => watched::<Q>(home, items),
            Err(_) => only::<Q>(home.count(Err(panicked(&home).into()))),
        }
    }
}

/// The items of a module as long as it runs; a panic in their making becomes a fault.
fn watched<Q: StreamQuery>(
    home: Arc<Home>,
    items: impl Stream<Item = Next<Q>> + Send + 'static,
) -> BoxStream<'static, Next<Q>> {
    let items = AssertUnwindSafe(items).catch_unwind();
    let items = items.map(move |made| {
        let next = match made {
            Ok(next) => home.accepting().map_err(Stop::from).and(next),
            Err(_) => Err(panicked(&home).into()),
        };
        home.count(next)
    });
    Box::pin(items)
}

/// Nothing but this.
pub(crate) fn only<Q: StreamQuery>(next: Next<Q>) -> BoxStream<'static, Next<Q>> {
    Box::pin(once(future::ready(next)))
}

/// Asks a module, or one of its partitions, in another process.
pub(crate) struct RemoteStreamAsker {
    caller: Arc<str>,
    partition: u16,
    network: Arc<dyn Network>,
    message: OnceLock<Arc<str>>,
}

impl RemoteStreamAsker {
    pub(crate) fn new(caller: &'static str, partition: u16, network: Arc<dyn Network>) -> Self {
        Self {
            caller: caller.into(),
            partition,
            network,
            message: OnceLock::new(),
        }
    }
}

impl<Q: StreamQuery> StreamAsker<Q> for RemoteStreamAsker {
    fn stream(&self, query: Q, meta: Meta, _: Duration) -> BoxStream<'static, Next<Q>> {
        let body = match codec::encode(&query) {
            Ok(body) => body,
            Err(error) => return only::<Q>(Err(faults::unencodable::<Q>(&error).into())),
        };
        let message = self
            .message
            .get_or_init(|| MessageName::of::<Q>().to_string().into());
        let items = self.network.stream(Call {
            caller: self.caller.clone(),
            message: message.clone(),
            partition: self.partition,
            id: meta.id,
            carried: meta.carried,
            deadline: meta.deadline,
            body,
        });
        let decode = |item: Result<Vec<u8>, Fault>| {
            codec::decode::<Next<Q>>(&item?).map_err(|error| faults::malformed::<Q>(&error))?
        };
        Box::pin(items.map(decode))
    }
}

/// Serves encoded stream queries of one name.
pub(crate) struct StreamEntryFor<Q: StreamQuery> {
    pub(crate) asker: StreamAskerFor<Q>,
    pub(crate) partition: Partition,
}

impl<Q: StreamQuery> Entry for StreamEntryFor<Q> {
    fn serve(self: Arc<Self>, _: Call) -> BoxFuture<'static, Vec<u8>> {
        let wrong = CodecError::Malformed("it is answered by a stream of items".to_owned());
        Box::pin(future::ready(fault(faults::malformed::<Q>(&wrong))))
    }

    fn stream(self: Arc<Self>, call: Call) -> BoxStream<'static, Vec<u8>> {
        let query = match read::<Q>(&call.body, self.partition) {
            Ok(query) => query,
            Err(fault) => return only_fault(fault),
        };
        // What the first item has left is what each may take.
        let limit = call.deadline.saturating_duration_since(Instant::now());
        let meta = Meta {
            id: call.id,
            deadline: call.deadline,
            carried: call.carried,
            repeatable: false,
        };
        // The limit is the asker's to keep; here it would only be counted twice.
        let items = Items::<Q>::new(self.asker.stream(query, meta, limit), Duration::MAX);
        let encoded = items.scan(false, |is_over, next| {
            let encoded = (!*is_over).then(|| {
                codec::encode(&next).unwrap_or_else(|error| {
                    *is_over = true;
                    fault(faults::unencodable::<Q>(&error))
                })
            });
            future::ready(encoded)
        });
        Box::pin(encoded)
    }
}

/// A fault as the only encoded item.
pub(crate) fn only_fault(it: Fault) -> BoxStream<'static, Vec<u8>> {
    Box::pin(once(future::ready(fault(it))))
}
