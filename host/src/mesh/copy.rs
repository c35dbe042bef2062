//! Copies of queries for a process under trial. Nobody waits for them, and their replies are
//! dropped.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use modulith_kernel::Priority;
use modulith_quic::Call;
use tokio::runtime::Handle;

use super::neighbour::{Manner, Neighbour};

/// How many copies may be under way to one process; beyond, none are made.
///
/// 64: a trial needs a steady stream and not all of it, and a process that hangs must not fill
/// the memory of those that work.
const COPIES_MAX: usize = 64;

/// Sends a copy to a process, if there is room for it.
pub(super) fn send(mirror: &Arc<Neighbour>, call: &Call) {
    // Inside whatever runtime asks; without one there is nobody to carry it.
    let Ok(runtime) = Handle::try_current() else {
        return;
    };
    let permit = Permit::take(mirror);
    let Some(permit) = permit else { return };
    let call = Call {
        priority: Priority::Low as u8,
        ..call.clone()
    };
    mirror.counters.mirrored.add();
    runtime.spawn(async move {
        let manner = Manner {
            avoid: None,
            is_last: false,
            is_timed: true,
            by_partition: false,
        };
        _ = permit.0.send(call, manner).await;
    });
}

/// Room for one copy.
struct Permit(Arc<Neighbour>);

impl Permit {
    fn take(mirror: &Arc<Neighbour>) -> Option<Self> {
        let permit = Self(mirror.clone());
        // Dropped right away when there is no room.
        (mirror.copies.fetch_add(1, Relaxed) < COPIES_MAX).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.copies.fetch_sub(1, Relaxed);
    }
}
