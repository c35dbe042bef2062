//! One answer that is a stream, from what the policy says of it to its first item. What follows
//! that comes straight from the network.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{
    future::ready,
    stream::{BoxStream, once},
};
use modulith_kernel::Call;

use super::{
    Route,
    deliver::{Delivery, KEPT_BYTES_MAX, inject, injection, outgoing},
    faults::LiveFaults,
    neighbour::{Flowing, Manner, Outcome},
};

/// The items, or the fault by which there are none.
pub(super) async fn begin(
    route: Arc<Route>,
    faults: Arc<LiveFaults>,
    call: Call,
    limit: Duration,
) -> BoxStream<'static, Outcome> {
    let mut neighbour = &route.home;
    let mut limit = limit;
    if route.has_choices {
        let decision = route.policy.decide(call.carried.tag(), fastrand::u64(..));
        neighbour = decision.process.unwrap_or(neighbour);
        limit = route.policy.timeout.map_or(limit, |own| own.min(limit));
    }
    let deadline = Instant::now() + limit;
    let call = outgoing(call, deadline);
    if let Some(injection) = injection(&route, &faults)
        && let Err(fault) = inject(&route, neighbour, injection, deadline).await
    {
        return only(Err(fault));
    }
    let delivery = Delivery {
        route: &route,
        neighbour,
        deadline,
    };
    match delivery.stream(call).await {
        Ok(items) => Box::pin(items),
        Err(outcome) => only(outcome),
    }
}

/// Nothing but this.
pub(super) fn only(outcome: Outcome) -> BoxStream<'static, Outcome> {
    Box::pin(once(ready(outcome)))
}

impl Delivery<'_> {
    /// Sends it as often as it may be until the first item comes. Never after that: who takes the
    /// items would get some of them twice.
    async fn stream(self, call: modulith_quic::Call) -> Result<Flowing, Outcome> {
        let retries = match call.body.len() <= KEPT_BYTES_MAX {
            true => self.route.policy.retries,
            false => 0,
        };
        if !self.neighbour.is_known() {
            self.neighbour.found(self.deadline).await;
        }
        self.neighbour.budget.deposit();
        let mut kept = Some(call);
        let mut tried = None;
        let mut times = 0;
        loop {
            let is_last = times >= retries;
            let call = match is_last {
                true => kept.take(),
                false => kept.clone(),
            };
            let call = call.expect("it is given away with the last attempt alone");
            let manner = Manner {
                avoid: tried.as_ref(),
                is_last,
                is_timed: true,
                by_partition: self.route.has_store,
            };
            let last = match self.neighbour.stream(call, manner).await {
                Ok(items) => return Ok(items),
                Err(last) => last,
            };
            let Some(pause) = self.pause(&last, times).filter(|_| !is_last) else {
                return Err(last.outcome);
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.neighbour.counters.retries.add();
            times += 1;
            tried = last.target;
        }
    }
}
