//! The way of one call: to who is asked, and back.

use std::{future, sync::Arc};

use futures_util::future::{Either, select};
use modulith_kernel::{Call, Fault};
use tokio::{
    sync::{mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    Net,
    fate::{Fate, Way},
};
use crate::expectations::NOT_TWICE;

/// Where the outcome of a call goes; a duplicate's goes there too, and the first one counts.
type Outcomes = mpsc::UnboundedSender<Result<Vec<u8>, Fault>>;

/// Ends a task when dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Net {
    /// Carries a call, as far as its fate lets it come.
    pub(super) async fn carry(&self, from: usize, call: Call) -> Result<Vec<u8>, Fault> {
        if self.is_off(from) {
            future::pending::<()>().await;
        }
        let module = call.module().to_string();
        let deadline = call.deadline;
        let begun = self.send(from, call);
        let Some((mut outcomes, _cancel, cut)) = begun else {
            return Err(unreachable(&module, "no node hosts it"));
        };
        let cut = std::pin::pin!(cut.notified());
        let outcome = std::pin::pin!(timeout_at(deadline, outcomes.recv()));
        match select(outcome, cut).await {
            Either::Left((Ok(Some(outcome)), _)) => outcome,
            // Nothing will come any more, and nobody says so.
            Either::Left((Ok(None), _)) => {
                tokio::time::sleep_until(deadline).await;
                Err(Fault::Late)
            }
            Either::Left((Err(_), _)) => Err(Fault::Late),
            Either::Right(((), _)) => Err(unreachable(&module, "the connection was cut")),
        }
    }

    #[expect(clippy::type_complexity, reason = "taken apart where it is made")]
    fn send(
        &self,
        from: usize,
        call: Call,
    ) -> Option<(
        mpsc::UnboundedReceiver<Result<Vec<u8>, Fault>>,
        Option<AbortOnDrop>,
        Arc<tokio::sync::Notify>,
    )> {
        let mut state = self.state();
        let state = &mut *state;
        let (home, to) = state.homes.get_key_value(call.module())?;
        let (home, to) = (*home, *to);
        let may_duplicate = state.commands_once || !NOT_TWICE.contains(&&*call.message);
        let fate = Fate::draw(&state.rates, may_duplicate, &mut state.rng);
        state.tally.calls += 1;
        let faults = &mut state.tally.faults;
        faults.requests_duplicated += u64::from(fate.duplicate.is_some());
        let arrival = Instant::now() + fate.first.there;
        let latest = state.arrivals.entry(home).or_insert(arrival);
        faults.requests_overtaken += u64::from(arrival < *latest);
        *latest = arrival.max(*latest);
        if &*call.message == "payment.Charge" {
            state.seen.push((call.message.clone(), call.body.clone()));
        }
        self.shared.trace.bytes(&call.body);
        self.shared.trace.line(format_args!(
            "{from} asks {to} {} {:032x}",
            call.message, call.id
        ));
        let (sender, outcomes) = mpsc::unbounded_channel();
        if let Some(way) = fate.duplicate {
            let wire = self
                .clone()
                .wire(from, to, copy(&call), way, sender.clone());
            state.spawn_wire(wire);
        }
        let wire = self.clone().wire(from, to, call, fate.first, sender);
        let wire = state.spawn_wire(wire);
        let cancel = fate.is_cancelled.then(|| AbortOnDrop(wire));
        Some((outcomes, cancel, state.cut_of(from, to)))
    }

    async fn wire(self, from: usize, to: usize, mut call: Call, way: Way, outcomes: Outcomes) {
        let left = call.deadline.saturating_duration_since(Instant::now());
        let message = call.message.clone();
        let module = call.module().to_string();
        sleep(way.there).await;
        call.deadline = Instant::now() + left;
        let is_parted = self.count_parted(from, to);
        if is_parted || way.loses_request {
            self.state().tally.faults.requests_lost += u64::from(way.loses_request);
            self.shared
                .trace
                .line(format_args!("{to} never hears {message}"));
            if way.tells {
                _ = outcomes.send(Err(unreachable(&module, "the request was lost")));
            }
            return;
        }
        let Some((served, _cancel)) = self.serve(to, call) else {
            sleep(way.back).await;
            self.shared
                .trace
                .line(format_args!("{to} is down for {message}"));
            _ = outcomes.send(Err(unreachable(&module, "its node is down")));
            return;
        };
        let Ok(reply) = served.await else {
            self.shared
                .trace
                .line(format_args!("{to} went down over {message}"));
            if way.tells {
                _ = outcomes.send(Err(unreachable(&module, "its node went down")));
            }
            return;
        };
        sleep(way.back).await;
        if self.count_parted(from, to) || way.loses_reply {
            self.state().tally.faults.replies_lost += u64::from(way.loses_reply);
            self.shared
                .trace
                .line(format_args!("{from} never hears back of {message}"));
            if way.tells {
                _ = outcomes.send(Err(unreachable(&module, "the reply was lost")));
            }
            return;
        }
        self.shared.trace.bytes(&reply);
        self.shared
            .trace
            .line(format_args!("{from} hears from {to} of {message}"));
        _ = outcomes.send(Ok(reply));
    }

    /// Lets a node serve a call; none when it is down. The receiver fails when it goes down.
    fn serve(&self, to: usize, call: Call) -> Option<(oneshot::Receiver<Vec<u8>>, AbortOnDrop)> {
        let mut state = self.state();
        let peer = &mut state.peers[to];
        let node = peer.node.clone().filter(|_| !peer.disk.is_off())?;
        let disk = peer.disk.clone();
        let (done, served) = oneshot::channel();
        while peer.serving.try_join_next().is_some() {}
        let served_by = peer.serving.spawn_local(async move {
            let reply = node.serve(call).await;
            drop(node);
            if disk.is_off() {
                // Its machine has lost power, and says nothing any more.
                future::pending::<()>().await;
            }
            _ = done.send(reply);
        });
        Some((served, AbortOnDrop(served_by)))
    }

    /// Whether a node's machine has lost power, though its tasks do not know it yet.
    fn is_off(&self, node: usize) -> bool {
        let state = self.state();
        state.peers.get(node).is_some_and(|peer| peer.disk.is_off())
    }

    fn count_parted(&self, from: usize, to: usize) -> bool {
        let mut state = self.state();
        let are_parted = state.are_parted(from, to);
        state.tally.faults.calls_partitioned += u64::from(are_parted);
        are_parted
    }
}

fn copy(call: &Call) -> Call {
    Call {
        caller: call.caller.clone(),
        message: call.message.clone(),
        partition: call.partition,
        id: call.id,
        carried: call.carried.clone(),
        deadline: call.deadline,
        body: call.body.clone(),
    }
}

fn unreachable(module: &str, reason: &str) -> Fault {
    Fault::Unreachable {
        module: module.to_string(),
        reason: reason.to_string(),
    }
}
