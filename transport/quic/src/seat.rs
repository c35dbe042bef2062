//! Threads that have connections of their own.
//!
//! A call between threads costs two wake-ups, some 60 µs where both were idle: more than
//! everything else about it. So connections live where calls are made: on the endpoint's own
//! network threads, and on each thread that attached itself.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::runtime::Handle;

use crate::dial::Dialler;

/// A thread from which processes are called.
#[derive(Clone)]
pub(crate) struct Seat {
    pub(crate) runtime: Handle,
    pub(crate) dialler: Arc<Dialler>,
}

/// How many threads may have connections of their own, the endpoint's included. Default 64: as
/// many workers as the largest machines have cores. Those beyond use the endpoint's own.
pub(crate) const SEATS_MAX: usize = 64;

thread_local! {
    /// The seats of this thread, by endpoint. A process has one endpoint, a test some.
    static SEATS: RefCell<Vec<(u64, usize)>> = const { RefCell::new(Vec::new()) };
}

/// Gives the current thread a seat at an endpoint.
pub(crate) fn take(endpoint: u64, seat: usize) {
    SEATS.with_borrow_mut(|seats| {
        seats.retain(|(id, _)| *id != endpoint);
        seats.push((endpoint, seat));
    });
}

/// The seat of the current thread at an endpoint with this many threads of its own: one of those,
/// in turn, if it took none.
pub(crate) fn current(endpoint: u64, threads: usize) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let find = |seats: &Vec<(u64, usize)>| {
        let found = seats.iter().find(|(id, _)| *id == endpoint);
        found.map(|(_, seat)| *seat)
    };
    // A thread that is ending has no locals any more, and may use any seat.
    let found = SEATS.try_with(|seats| find(&seats.borrow())).ok().flatten();
    found.unwrap_or_else(|| {
        let seat = NEXT.fetch_add(1, Ordering::Relaxed) % threads.max(1);
        _ = SEATS.try_with(|seats| seats.borrow_mut().push((endpoint, seat)));
        seat
    })
}

/// Whether the current thread has a seat of its own already, or uses one, at an endpoint.
pub(crate) fn has(endpoint: u64) -> Option<usize> {
    SEATS.with_borrow(|seats| {
        let found = seats.iter().find(|(id, _)| *id == endpoint);
        found.map(|(_, seat)| *seat)
    })
}
