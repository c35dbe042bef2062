//! Asking a divided module: of the partition that the key of a request belongs to, or of all.

use std::{sync::Arc, time::Duration};

use futures_util::{
    future::{BoxFuture, join_all},
    stream::BoxStream,
};
use modulith_contract::{FanOut, FanOutRule, Fault, Message, Outcome, Request, Stop, StreamQuery};
use tokio::time::Instant;

use crate::{
    MessageName, Partition, partition,
    port::{Asker, AskerFor, Meta, Route},
    stream::{Next, StreamAsker, StreamAskerFor, only},
};

/// One route of those to all partitions, in their order. Of one it is that one, so that modules
/// that are not divided pay nothing for those that are.
pub(crate) fn join<R: Request>(parts: Vec<Route>) -> Route {
    if let [only] = parts.as_slice() {
        return only.clone();
    }
    let parts: Vec<_> = parts.iter().map(Route::shared::<R>).collect();
    match R::fan_out() {
        Some(fan_out) => Route::to::<R>(Arc::new(Everywhere { parts, fan_out })),
        None => Route::to::<R>(Arc::new(ByKey { parts })),
    }
}

/// As [`join`], of routes to streams. Those go by key alone: nothing says in which order the items
/// of several partitions would come.
pub(crate) fn join_streams<Q: StreamQuery>(parts: Vec<Route>) -> Route {
    if let [only] = parts.as_slice() {
        return only.clone();
    }
    let parts = parts.iter().map(Route::shared_stream::<Q>).collect();
    Route::to_stream::<Q>(Arc::new(StreamByKey { parts }))
}

/// Leads each request to the partition of its key.
struct ByKey<R: Request> {
    parts: Vec<AskerFor<R>>,
}

impl<R: Request> Asker<R> for ByKey<R> {
    fn ask(&self, request: R, meta: Meta) -> BoxFuture<'_, Outcome<R>> {
        let count = u16::try_from(self.parts.len()).expect("partitions are few");
        match partition::of_message(&request, count) {
            Some(partition) => self.parts[usize::from(partition)].ask(request, meta),
            None => Box::pin(async { Err(keyless::<R>().into()) }),
        }
    }
}

/// Leads each stream query to the partition of its key.
struct StreamByKey<Q: StreamQuery> {
    parts: Vec<StreamAskerFor<Q>>,
}

impl<Q: StreamQuery> StreamAsker<Q> for StreamByKey<Q> {
    fn stream(&self, query: Q, meta: Meta, limit: Duration) -> BoxStream<'static, Next<Q>> {
        let count = u16::try_from(self.parts.len()).expect("partitions are few");
        match partition::of_message(&query, count) {
            Some(partition) => self.parts[usize::from(partition)].stream(query, meta, limit),
            None => only::<Q>(Err(keyless::<Q>().into())),
        }
    }
}

/// Only for a request that got past the check at the start, which there is none of.
fn keyless<M: Message>() -> Fault {
    let message = MessageName::of::<M>().to_string();
    let reason = "it has no key, and its module is divided".to_string();
    Fault::Malformed { message, reason }
}

/// Asks every partition at once, within the deadline of who asks, and gathers what they reply.
///
/// Where some may be missing, they have nine tenths of the time: what the others reply has to be
/// gathered, and brought back, before who asks stops waiting.
struct Everywhere<R: Request> {
    parts: Vec<AskerFor<R>>,
    fan_out: FanOut<R>,
}

impl<R: Request> Asker<R> for Everywhere<R> {
    fn ask(&self, request: R, meta: Meta) -> BoxFuture<'_, Outcome<R>> {
        let mut meta = meta;
        if self.fan_out.rule == FanOutRule::Some {
            let left = meta.deadline.saturating_duration_since(Instant::now());
            meta.deadline -= left / 10;
        }
        let one = |part: &AskerFor<R>| {
            let (part, request) = (part.clone(), (self.fan_out.copy)(&request));
            let meta = meta.clone();
            async move { part.ask(request, meta).await }
        };
        let asked: Vec<_> = self.parts.iter().map(one).collect();
        Box::pin(async move { gather(&self.fan_out, join_all(asked).await) })
    }
}

/// One outcome of those of all partitions.
///
/// A refusal says that this partition has nothing to add; it is the outcome when none has. But
/// while one is missing it may have: then that is the outcome.
fn gather<R: Request>(fan_out: &FanOut<R>, outcomes: Vec<Outcome<R>>) -> Outcome<R> {
    let mut replies = Vec::with_capacity(outcomes.len());
    let (mut fault, mut refusal, mut missing) = (None, None, 0);
    for outcome in outcomes {
        match outcome {
            Ok(reply) => replies.push(reply),
            Err(Stop::Refused(reason)) => _ = refusal.get_or_insert(reason),
            Err(Stop::Fault(reason)) => {
                missing += 1;
                fault.get_or_insert(reason);
            }
        }
    }
    let fails = replies.is_empty() || fan_out.rule == FanOutRule::All;
    match (fault, refusal) {
        (Some(fault), _) if fails => Err(fault.into()),
        (_, Some(refusal)) if replies.is_empty() => Err(Stop::Refused(refusal)),
        _ => Ok((fan_out.gather)(replies, missing)),
    }
}

/// Stands for a partition that this process does not host and has no way to.
pub(crate) struct Absent {
    pub(crate) partition: Partition,
}

impl Absent {
    fn fault<M: Message>(&self) -> Fault {
        Fault::Unreachable {
            module: M::MODULE.to_string(),
            reason: format!("this process does not host {}", self.partition),
        }
    }
}

impl<R: Request> Asker<R> for Absent {
    fn ask(&self, _: R, _: Meta) -> BoxFuture<'_, Outcome<R>> {
        let fault = self.fault::<R>();
        Box::pin(async move { Err(fault.into()) })
    }
}

impl<Q: StreamQuery> StreamAsker<Q> for Absent {
    fn stream(&self, _: Q, _: Meta, _: Duration) -> BoxStream<'static, Next<Q>> {
        only::<Q>(Err(self.fault::<Q>().into()))
    }
}
