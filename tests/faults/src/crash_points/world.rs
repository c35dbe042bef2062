//! A node with the three modules, all on one thread in virtual time.

use std::{path::PathBuf, sync::Arc, time::Duration};

use modulith_kernel::{
    Clock, Environment, FlowStand, Node, NodeBuilder, NodeError, Options, SeededRandomness,
    Timestamp,
};
use tokio::{
    runtime::Builder,
    task::LocalSet,
    time::{Instant, sleep},
};

use super::{
    conductor::Conductor, counter::Counter, ledger::Ledger, recorder::Recorder, sabotage::Sabotage,
};

/// 2026-11-23 12:00:00 UTC, where every run begins.
const NOON: u64 = 1_795_435_200_000;

/// How often it is looked whether a node has settled.
const GLANCE: Duration = Duration::from_millis(20);

/// How long a node may take to settle, in virtual time: longer than the longest pause of a flow
/// or a subscription, and one question for events left open.
const SETTLED_MAX: Duration = Duration::from_secs(180);

/// More flows than a run has.
const FLOWS_MAX: usize = 10_000;

/// Runs something in virtual time on the current thread.
pub(super) fn in_virtual_time<T>(what: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without files and sockets needs nothing of the system");
    LocalSet::new().block_on(&runtime, what)
}

struct VirtualClock {
    began: Instant,
    at_ms: u64,
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Timestamp(NOON.saturating_add(self.at_ms).saturating_add(since))
    }
}

/// Starts a node on a storage, so many milliseconds after noon.
pub(super) fn start(
    storage: &Recorder,
    at_ms: u64,
    seed: u64,
    sabotage: Sabotage,
) -> Result<Arc<Node>, NodeError> {
    let mut node = NodeBuilder::new(Environment {
        clock: Arc::new(VirtualClock {
            began: Instant::now(),
            at_ms,
        }),
        randomness: Arc::new(SeededRandomness::new(seed)),
        storage: Arc::new(storage.clone()),
        data: PathBuf::new(),
    });
    let options = Options {
        replies_kept_hours: 1,
        // So little that events are trimmed whenever that is looked at.
        events_bytes_max: 1024,
        event_attempts_max: 2,
        ..Options::default()
    };
    node.one_thread()
        .host_with::<Ledger>((), options.clone())
        .host_with::<Counter>((), options.clone())
        .host_with::<Conductor>(sabotage.skips_undo(), options);
    node.start()
}

/// Waits until no flow runs and every event has been dealt with. False when that takes too long.
pub(super) async fn settle(node: &Node) -> bool {
    let began = Instant::now();
    while !is_settled(node) {
        if began.elapsed() > SETTLED_MAX {
            return false;
        }
        sleep(GLANCE).await;
    }
    true
}

fn is_settled(node: &Node) -> bool {
    let flows = node.flows("conductor", FLOWS_MAX).ok().flatten();
    let goes_on = |stand: &FlowStand| matches!(stand, FlowStand::Running | FlowStand::Undoing(_));
    if flows.is_none_or(|flows| flows.iter().any(|flow| goes_on(&flow.stand))) {
        return false;
    }
    let status = node.status();
    let head = status
        .iter()
        .find(|module| module.module == "ledger")
        .map_or(0, |ledger| ledger.events);
    let mut subscriptions = status.iter().flat_map(|module| &module.subscriptions);
    subscriptions.all(|subscription| subscription.position >= head)
}
