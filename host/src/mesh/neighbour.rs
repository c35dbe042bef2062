//! A process as its callers see it: its instances, and what is known of each.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt};
use modulith_kernel::{Fault, fault_in};
use modulith_mesh::{
    Again, Budget, BudgetOptions, Change, Ejection, Group, Replica, Verdict, again,
};
use modulith_quic::{Call, CallFuture, Destination, Endpoint, ItemStream};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::placement::Placement;

use super::{
    counters::{Counters, InstanceStatus, TrafficStatus},
    unreachable,
};

/// A call that was late after less than this says nothing of who was called: it was given too
/// little time.
const LATE_COUNTS_AFTER: Duration = Duration::from_millis(250);

/// How long a call waits at most for the first instance of a process to be found. As long as a
/// connection to it may take.
const FIRST_FOUND_WITHIN: Duration = Duration::from_secs(2);

pub(super) type Outcome = Result<Vec<u8>, Fault>;

/// One instance of a process, as whatever found it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    /// What the endpoint's names know it by.
    pub(crate) name: Arc<str>,
    /// Its number, from 0, where it has one.
    pub(crate) replica: Option<u16>,
    /// How many there are to be; decides who has which partition.
    pub(crate) replicas: u16,
}

impl Instance {
    /// One that its number tells from the others.
    pub(crate) fn numbered(process: &str, replica: u16, replicas: u16) -> Self {
        Self {
            name: Placement { replica, replicas }.name(process).into(),
            replica: Some(replica),
            replicas,
        }
    }
}

/// A process that is called.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) process: Arc<str>,
    /// Whether its instances differ: each has its own partitions.
    has_store: bool,
    group: Arc<Group>,
    targets: ArcSwap<Vec<Arc<Target>>>,
    /// Held while the targets are changed; never on the way of a call.
    changing: Mutex<()>,
    /// Whether any target was ever known: what every call looks at, and what waits for it.
    is_known: AtomicBool,
    found: watch::Sender<bool>,
    pub(super) budget: Budget,
    pub(super) counters: Counters,
    /// Copies under way.
    pub(super) copies: AtomicUsize,
}

/// One instance that calls go to.
#[derive(Debug)]
pub(super) struct Target {
    instance: Instance,
    patient: Destination,
    impatient: Destination,
    load: Replica,
    is_gone: AtomicBool,
}

/// A target, and among how many it was chosen, and when, if there was a choice.
struct Chosen {
    target: Arc<Target>,
    choice: Option<Choice>,
}

#[derive(Clone, Copy)]
struct Choice {
    of: usize,
    at: Instant,
}

/// What one attempt came to.
pub(super) struct Tried {
    pub(super) outcome: Outcome,
    /// What its fault says, if it ended in one.
    pub(super) again: Option<Again>,
    /// Who was asked; none if there is nobody.
    pub(super) target: Option<Arc<Target>>,
}

/// What is said of an attempt.
#[derive(Clone, Copy)]
pub(super) struct Manner<'a> {
    /// Whom not to ask again if there is another.
    pub(super) avoid: Option<&'a Arc<Target>>,
    /// Whether there will be no other attempt, so that this one may wait for a restart.
    pub(super) is_last: bool,
    /// Whether how long it takes says anything.
    pub(super) is_timed: bool,
    /// Whether the module asked has a store, so that its partition says who is asked.
    pub(super) by_partition: bool,
}

impl Neighbour {
    pub(super) fn new(process: &str, has_store: bool) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            process: process.into(),
            has_store,
            group: Group::new(Ejection::default(), now),
            targets: ArcSwap::default(),
            changing: Mutex::new(()),
            is_known: AtomicBool::new(false),
            found: watch::Sender::new(false),
            budget: Budget::new(BudgetOptions::default(), now),
            counters: Counters::default(),
            copies: AtomicUsize::new(0),
        })
    }

    pub(super) fn has_store(&self) -> bool {
        self.has_store
    }

    pub(super) fn know(&self, endpoint: &Endpoint, instances: &[Instance]) {
        if instances.is_empty() {
            return;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.targets.load_full();
        let target = |instance: &Instance| {
            let mut known = before.iter();
            let known = known.find(|target| target.instance == *instance);
            known.cloned().unwrap_or_else(|| {
                let patient = endpoint.destination(&self.process, &instance.name);
                Arc::new(Target {
                    instance: instance.clone(),
                    impatient: patient.impatient(),
                    patient,
                    load: self.group.replica(Instant::now()),
                    is_gone: AtomicBool::new(false),
                })
            })
        };
        let mut after: Vec<_> = instances.iter().map(target).collect();
        if self.has_store {
            // Their partitions are nowhere else: whoever asks waits for them to come, or come back.
            let replicas = instances[0].replicas;
            let is_away = |number: &u16| {
                let mut listed = instances.iter();
                !listed.any(|instance| instance.replica == Some(*number))
            };
            let away = (0..replicas).filter(is_away);
            let away = away.map(|number| Instance::numbered(&self.process, number, replicas));
            after.extend(away.map(|instance| target(&instance)));
        }
        let is_kept = |target: &Arc<Target>| after.iter().any(|kept| Arc::ptr_eq(kept, target));
        let gone: Vec<_> = before.iter().filter(|it| !is_kept(it)).cloned().collect();
        self.targets.store(Arc::new(after));
        self.is_known.store(true, Ordering::Release);
        self.found.send_replace(true);
        for target in gone {
            info!(process = %self.process, instance = %target.instance.name, "instance left");
            target.is_gone.store(true, Ordering::Release);
            target.patient.close();
        }
    }

    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Acquire)
    }

    /// Waits until the first of its instances is found: when everything starts at once, whoever
    /// asks first may be ahead of DNS.
    pub(super) async fn found(&self, deadline: Instant) {
        let until = deadline.min(Instant::now() + FIRST_FOUND_WITHIN);
        let mut found = self.found.subscribe();
        let found = found.wait_for(|found| *found);
        // What becomes of those who waited in vain is told by the attempt that follows.
        _ = tokio::time::timeout_at(until.into(), found).await;
    }

    /// Whether a second attempt can go to another instance than the first.
    pub(super) fn has_others(&self) -> bool {
        self.targets.load().len() > 1
    }

    fn choose(&self, partition: u16, manner: Manner<'_>) -> Option<Chosen> {
        let targets = self.targets.load();
        let mut choice = None;
        let target = match &targets[..] {
            [] => return None,
            [only] if !manner.by_partition || only.instance.replicas <= 1 => only,
            several if manner.by_partition => several.iter().find(|target| {
                let Instance {
                    replica, replicas, ..
                } = target.instance;
                replica == Some(partition % replicas.max(1))
            })?,
            several => {
                let avoid = manner.avoid.and_then(|avoid| {
                    let mut targets = several.iter();
                    targets.position(|target| Arc::ptr_eq(target, avoid))
                });
                let now = Instant::now();
                choice = Some(Choice {
                    of: several.len(),
                    at: now,
                });
                let random = fastrand::u64(..);
                let picked = self.group.pick(several, load_of, now, random, avoid)?;
                &several[picked]
            }
        };
        Some(Chosen {
            target: target.clone(),
            choice,
        })
    }

    fn nobody(&self, call: &Call) -> Tried {
        let module = call
            .message
            .split_once('.')
            .map_or("", |(module, _)| module);
        let process = &self.process;
        let reason = match self.is_known() {
            false => format!("no instance of process {process} is known"),
            true => format!(
                "no instance of process {process} has partition {}",
                call.partition
            ),
        };
        Tried {
            outcome: Err(unreachable(module, reason)),
            again: None,
            target: None,
        }
    }

    /// Sends a request to one instance.
    pub(super) async fn send(self: &Arc<Self>, call: Call, manner: Manner<'_>) -> Tried {
        match self.start(call, manner) {
            Ok(attempt) => attempt.finish().await,
            Err(nobody) => nobody,
        }
    }

    /// Begins an attempt.
    pub(super) fn start(
        self: &Arc<Self>,
        call: Call,
        manner: Manner<'_>,
    ) -> Result<Attempt, Tried> {
        let (reply, watch, target) = self.begin(call, manner, Destination::call)?;
        Ok(Attempt {
            reply,
            watch,
            target,
        })
    }

    /// Sends a request that is answered by a stream to one instance, and waits for the first of
    /// the items until its deadline.
    pub(super) async fn stream(
        self: &Arc<Self>,
        call: Call,
        manner: Manner<'_>,
    ) -> Result<Flowing, Tried> {
        let deadline = call.deadline;
        let (mut items, watch, target) = self.begin(call, manner, Destination::stream)?;
        let first = tokio::time::timeout_at(deadline.into(), items.next()).await;
        match first.unwrap_or(Some(Err(Fault::Late))) {
            Some(first) => match judged(&first) {
                Some(again) => Err(tried(first, Some(again), watch, target)),
                None => Ok(Flowing::new(Some(first), items, watch)),
            },
            None => Ok(Flowing::new(None, items, watch)),
        }
    }

    fn begin<T>(
        self: &Arc<Self>,
        call: Call,
        manner: Manner<'_>,
        send: impl FnOnce(&Destination, Call) -> T,
    ) -> Result<(T, Option<Watch>, Arc<Target>), Tried> {
        let Some(Chosen { target, choice }) = self.choose(call.partition, manner) else {
            return Err(self.nobody(&call));
        };
        let destination = match choice.is_some() && !manner.is_last {
            true => &target.impatient,
            false => &target.patient,
        };
        let sent = send(destination, call);
        let watch = choice.map(|choice| Watch::new(self, &target, choice, manner.is_timed));
        Ok((sent, watch, target))
    }

    pub(super) fn status(&self) -> TrafficStatus {
        let Counters {
            retries,
            retries_refused,
            hedges,
            ejections,
            mirrored,
            faults_injected,
        } = &self.counters;
        let targets = self.targets.load();
        let instance = |target: &Arc<Target>| InstanceStatus {
            instance: target.instance.name.to_string(),
            is_ejected: target.load.is_ejected(),
            in_flight: target.load.in_flight(),
        };
        TrafficStatus {
            to: self.process.to_string(),
            instances: targets.iter().map(instance).collect(),
            retries: retries.read(),
            retries_refused: retries_refused.read(),
            hedges: hedges.read(),
            ejections: ejections.read(),
            mirrored: mirrored.read(),
            faults_injected: faults_injected.read(),
        }
    }
}

fn load_of(target: &Arc<Target>) -> &Replica {
    &target.load
}

impl Target {
    /// Whether it left, so that a call may have come too late to it.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }
}

/// A request on its way to one instance. Dropping it cancels the request.
pub(super) struct Attempt {
    reply: CallFuture,
    /// None where there is no choice for which anything should be learnt.
    watch: Option<Watch>,
    pub(super) target: Arc<Target>,
}

impl Attempt {
    pub(super) async fn finish(self) -> Tried {
        let outcome = self.reply.await;
        let again = judged(&outcome);
        tried(outcome, again, self.watch, self.target)
    }
}

/// What an outcome says, if it is a fault: of the way, or of the module asked.
fn judged(outcome: &Outcome) -> Option<Again> {
    match outcome {
        Err(fault) => Some(again(fault)),
        Ok(reply) => fault_in(reply).map(|fault| again(&fault)),
    }
}

/// An attempt that is over, and learnt from.
fn tried(
    outcome: Outcome,
    again: Option<Again>,
    watch: Option<Watch>,
    target: Arc<Target>,
) -> Tried {
    if let Some(watch) = watch {
        let is_late = matches!(outcome, Err(Fault::Late));
        watch.end(again.map_or(Verdict::Well, |again| again.verdict), is_late);
    }
    Tried {
        outcome,
        again,
        target: Some(target),
    }
}

/// The items of an answer that has begun well. Counted as in flight until it is dropped.
pub(super) struct Flowing {
    /// It came already, unless there is none.
    first: Option<Outcome>,
    items: ItemStream,
    _watch: Option<Watch>,
}

impl Flowing {
    fn new(first: Option<Outcome>, items: ItemStream, mut watch: Option<Watch>) -> Self {
        if let Some(watch) = &mut watch {
            watch.begun();
        }
        Self {
            first,
            items,
            _watch: watch,
        }
    }
}

impl Stream for Flowing {
    type Item = Outcome;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Outcome>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => self.items.poll_next_unpin(cx),
        }
    }
}

/// Learns from an attempt, however it ends.
struct Watch {
    neighbour: Arc<Neighbour>,
    target: Arc<Target>,
    choice: Choice,
    is_timed: bool,
    is_over: bool,
}

impl Watch {
    fn new(
        neighbour: &Arc<Neighbour>,
        target: &Arc<Target>,
        choice: Choice,
        is_timed: bool,
    ) -> Self {
        target.load.begin();
        Self {
            neighbour: neighbour.clone(),
            target: target.clone(),
            choice,
            is_timed,
            is_over: false,
        }
    }

    fn end(mut self, verdict: Verdict, is_late: bool) {
        let verdict = match is_late && self.choice.at.elapsed() < LATE_COUNTS_AFTER {
            true => Verdict::Unknown,
            false => verdict,
        };
        self.learn(verdict);
    }

    /// Learns from the first item of a stream as from a reply. How long the rest takes says
    /// nothing: there may be much of it, and whoever takes it may be slow.
    fn begun(&mut self) {
        if self.is_timed {
            // The same call goes on, so that it is counted once more.
            self.target.load.begin();
            self.learn(Verdict::Well);
        }
        self.is_timed = false;
        self.is_over = false;
    }

    fn learn(&mut self, verdict: Verdict) {
        self.is_over = true;
        let load = &self.target.load;
        if !self.is_timed {
            load.end_untimed();
            return;
        }
        let now = Instant::now();
        let process = &self.neighbour.process;
        let instance = &self.target.instance.name;
        let Choice { of, at } = self.choice;
        match load.end(now, now - at, verdict, of) {
            Change::None => {}
            Change::Restored => info!(%process, %instance, "instance answers again"),
            Change::Ejected(pause) => {
                self.neighbour.counters.ejections.add();
                let pause_ms = pause.as_millis();
                warn!(%process, %instance, pause_ms, "instance fails and is left alone");
            }
        }
    }
}

impl Drop for Watch {
    /// Whoever asked has stopped waiting.
    fn drop(&mut self) {
        if !self.is_over {
            self.learn(Verdict::Unknown);
        }
    }
}
