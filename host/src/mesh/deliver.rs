//! One call, from what the policy says of it to its outcome.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use modulith_kernel::{Call, Fault};
use modulith_mesh::{Injection, backoff};

use super::{
    Route, copy,
    faults::LiveFaults,
    neighbour::{Attempt, Manner, Neighbour, Outcome, Tried},
    unreachable,
};

/// The longest body that is kept to be sent again or elsewhere, in bytes.
///
/// 256 KiB, as much as gRPC buffers for the retries of a call by default. What is longer is sent
/// once: keeping it would cost a copy of it for every call, and failures are rare.
pub(super) const KEPT_BYTES_MAX: usize = 256 << 10;

/// Sends a request to whoever answers it, as often as it may.
pub(super) async fn deliver(route: Arc<Route>, faults: Arc<LiveFaults>, call: Call) -> Outcome {
    let mut neighbour = &route.home;
    let mut deadline = call.deadline.into_std();
    let mut copied_to = None;
    if route.has_choices {
        let decision = route.policy.decide(call.carried.tag(), fastrand::u64(..));
        neighbour = decision.process.unwrap_or(neighbour);
        copied_to = decision.mirror;
        if let Some(timeout) = route.policy.timeout {
            deadline = deadline.min(Instant::now() + timeout);
        }
    }
    let call = outgoing(call, deadline);
    if let Some(mirror) = copied_to {
        copy::send(mirror, &call);
    }
    if let Some(injection) = injection(&route, &faults) {
        inject(&route, neighbour, injection, deadline).await?;
    }
    Delivery {
        route: &route,
        neighbour,
        deadline,
    }
    .run(call)
    .await
}

pub(super) fn outgoing(call: Call, deadline: Instant) -> modulith_quic::Call {
    modulith_quic::Call {
        caller: call.caller,
        message: call.message,
        message_id: call.id,
        partition: call.partition,
        priority: call.carried.priority as u8,
        baggage: call.carried.tag().unwrap_or_default().as_bytes().to_vec(),
        deadline,
        body: call.body,
    }
}

/// The faults that are put into calls of a message, ordered or configured.
pub(super) fn injection(route: &Route, faults: &LiveFaults) -> Option<Injection> {
    if route.is_feed {
        return None;
    }
    let live = faults.of(route.module, &route.message);
    let injection = live.unwrap_or(route.policy.injection);
    (!injection.is_none()).then_some(injection)
}

/// Holds a call back or fails it, if it is its turn.
pub(super) async fn inject(
    route: &Route,
    neighbour: &Neighbour,
    injection: Injection,
    deadline: Instant,
) -> Result<(), Fault> {
    let (delay, is_aborted) = injection.decide(fastrand::u64(..));
    if !delay.is_zero() || is_aborted {
        neighbour.counters.faults_injected.add();
    }
    if !delay.is_zero() {
        let until = Instant::now() + delay;
        tokio::time::sleep_until(until.min(deadline).into()).await;
        if until >= deadline {
            return Err(Fault::Late);
        }
    }
    match is_aborted {
        true => Err(unreachable(route.module, "a fault injected on purpose")),
        false => Ok(()),
    }
}

/// A request that may take several attempts.
pub(super) struct Delivery<'a> {
    pub(super) route: &'a Route,
    pub(super) neighbour: &'a Arc<Neighbour>,
    pub(super) deadline: Instant,
}

impl Delivery<'_> {
    async fn run(self, call: modulith_quic::Call) -> Outcome {
        let policy = &self.route.policy;
        let may_repeat = !self.route.is_feed && call.body.len() <= KEPT_BYTES_MAX;
        let retries = if may_repeat { policy.retries } else { 0 };
        let hedge_after = policy.hedge_after.filter(|_| may_repeat);
        if !self.neighbour.is_known() {
            self.neighbour.found(self.deadline).await;
        }
        self.neighbour.budget.deposit();
        let mut kept = Some(call);
        let mut tried = None;
        let mut times = 0;
        let mut in_doubt = None;
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
                is_timed: !self.route.is_feed,
                by_partition: self.route.has_store,
            };
            let last = match hedge_after {
                // Few calls are hedged; the others need not carry the room for it.
                Some(after) => Box::pin(self.hedged(call, manner, after)).await,
                None => self.neighbour.send(call, manner).await,
            };
            let Some(pause) = self.pause(&last, times).filter(|_| !is_last) else {
                // That this sending took no effect says nothing of an earlier one.
                let hides_doubt = last.again.is_some_and(|again| again.says_no_effect);
                return match in_doubt {
                    Some(earlier) if hides_doubt => earlier,
                    _ => last.outcome,
                };
            };
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            self.neighbour.counters.retries.add();
            times += 1;
            tried = last.target;
            if !last.again.is_some_and(|again| again.says_no_effect) {
                in_doubt = Some(last.outcome);
            }
        }
    }

    /// How long to wait before the next attempt; none when there is to be none.
    pub(super) fn pause(&self, last: &Tried, times: u8) -> Option<Duration> {
        let again = last.again.filter(|again| again.is_worth_it)?;
        let now = Instant::now();
        let has_others = !self.route.has_store && self.neighbour.has_others();
        // The first attempt that fails says little of other instances.
        let pause = match has_others && times == 0 {
            true => Duration::ZERO,
            false => {
                let pause = backoff(times.into(), fastrand::u64(..));
                if has_others {
                    pause
                } else {
                    pause.max(again.not_before)
                }
            }
        };
        if now + pause >= self.deadline {
            return None;
        }
        // Who came while the instance left has not failed, and is not rationed.
        let left = last.target.as_ref().is_some_and(|target| target.is_gone());
        if !left && !self.neighbour.budget.withdraw(now) {
            self.neighbour.counters.retries_refused.add();
            return None;
        }
        Some(pause)
    }

    /// Asks a second instance as well if the first takes long; the first answer wins.
    async fn hedged(
        &self,
        call: modulith_quic::Call,
        manner: Manner<'_>,
        after: Duration,
    ) -> Tried {
        let second_call = call.clone();
        let first = match self.neighbour.start(call, manner) {
            Ok(first) => first,
            Err(nobody) => return nobody,
        };
        let first_target = first.target.clone();
        let first = Box::pin(first.finish());
        let timer = Box::pin(tokio::time::sleep(after));
        let first = match select(first, timer).await {
            Either::Left((tried, _)) => return tried,
            Either::Right(((), first)) => first,
        };
        let manner = Manner {
            avoid: Some(&first_target),
            ..manner
        };
        let second = match self.second(second_call, manner) {
            Some(second) => Box::pin(second.finish()),
            None => return first.await,
        };
        match select(first, second).await {
            Either::Left((tried, other)) => better(tried, other).await,
            Either::Right((tried, other)) => better(tried, other).await,
        }
    }

    fn second(&self, call: modulith_quic::Call, manner: Manner<'_>) -> Option<Attempt> {
        let neighbour = self.neighbour;
        if !neighbour.has_others() {
            return None;
        }
        if !neighbour.budget.withdraw(Instant::now()) {
            neighbour.counters.retries_refused.add();
            return None;
        }
        neighbour.counters.hedges.add();
        neighbour.start(call, manner).ok()
    }
}

/// What ended first, unless that is a fault for which the other is worth waiting for.
async fn better(first: Tried, other: impl Future<Output = Tried>) -> Tried {
    match first.again {
        Some(again) if again.is_worth_it => other.await,
        _ => first,
    }
}
