//! The processes an endpoint calls, and the threads it calls them from.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use modulith_contract::Fault;
use quinn::VarInt;
use tokio::{runtime::Handle, sync::mpsc::unbounded_channel};

use crate::{
    Call, Destination, PeerStatus, Timing,
    close::Code,
    line::Line,
    link::Link,
    queue::Queue,
    registry::Registry,
    seat::{self, SEATS_MAX, Seat},
    spin,
};

/// Everything shared by an endpoint and its destinations.
pub(crate) struct Lines {
    /// Tells endpoints of one process apart.
    id: u64,
    /// By process and instance. `None` once the endpoint is closing: no new ones then.
    destinations: RwLock<Option<HashMap<(String, String), Destination>>>,
    /// Modules of this process, with their indices in its hello.
    callers: Vec<(String, u16)>,
    /// The threads that have connections: the endpoint's own first.
    seats: Mutex<Vec<Seat>>,
    threads: usize,
    is_detached: AtomicBool,
    pub(crate) registry: Arc<Registry>,
    body_bytes_max: u32,
    calls_waiting_max: usize,
    timing: Timing,
    spin: Duration,
    incarnation: u64,
}

impl Lines {
    pub(crate) fn new(options: &crate::Options, seats: Vec<Seat>, registry: Arc<Registry>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            destinations: RwLock::new(Some(HashMap::new())),
            callers: options.modules.iter().cloned().zip(0..).collect(),
            threads: seats.len(),
            seats: Mutex::new(seats),
            is_detached: AtomicBool::new(false),
            registry,
            body_bytes_max: options.limits.body_bytes_max,
            calls_waiting_max: options.calls_waiting_max,
            timing: options.timing.clone(),
            spin: options.spin,
            incarnation: options.incarnation,
        }
    }

    fn seats(&self) -> MutexGuard<'_, Vec<Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the current thread connections of its own.
    pub(crate) fn attach(&self) -> io::Result<()> {
        if seat::has(self.id).is_some_and(|seat| seat >= self.threads) {
            return Ok(());
        }
        let runtime = Handle::current();
        let mut seats = self.seats();
        if seats.len() == SEATS_MAX {
            return Ok(());
        }
        let dialler = Arc::new(seats[0].dialler.on_this_thread()?);
        seats.push(Seat { runtime, dialler });
        seat::take(self.id, seats.len() - 1);
        spin::start(self.spin);
        Ok(())
    }

    /// Checks a call, and finds the index of the module that asks.
    pub(crate) fn caller(&self, call: &Call) -> Result<u16, Fault> {
        let (bytes, bytes_max) = (call.body.len() as u64, self.body_bytes_max.into());
        if bytes > bytes_max {
            return Err(Fault::TooLarge { bytes, bytes_max });
        }
        // A process hosts a handful of modules, so a scan beats hashing.
        let found = self.callers.iter().find(|(name, _)| **name == *call.caller);
        found.map(|(_, index)| *index).ok_or_else(|| Fault::Denied {
            caller: call.caller.to_string(),
            message: call.message.to_string(),
        })
    }

    /// A destination, the same for the same names until it is closed.
    pub(crate) fn destination(self: &Arc<Self>, process: &str, instance: &str) -> Destination {
        let names = (process.to_owned(), instance.to_owned());
        let known = self.destinations.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.as_ref().and_then(|known| known.get(&names)) {
            return found.clone();
        }
        drop(known);
        let new = || Destination::new(process, instance, Arc::downgrade(self));
        let known = self.destinations.write();
        match &mut *known.unwrap_or_else(PoisonError::into_inner) {
            Some(known) => known.entry(names).or_insert_with(new).clone(),
            None => new(),
        }
    }

    /// Opens the line from the current thread to a destination. `None` when the endpoint or the
    /// destination is closing.
    pub(crate) fn open<'a>(&self, to: &'a Destination, seat: usize) -> Option<&'a Arc<Line>> {
        // Held meanwhile, so that whoever closes sees the line.
        let known = self.destinations.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let names = (to.process().to_string(), to.instance().to_string());
        known.as_ref()?.get(&names)?;
        to.line(seat, || self.start_link(to, seat))
    }

    /// Lets a destination be made anew.
    pub(crate) fn forget(&self, to: &Destination) {
        let names = (to.process().to_string(), to.instance().to_string());
        let known = self.destinations.write();
        if let Some(known) = &mut *known.unwrap_or_else(PoisonError::into_inner) {
            known.remove(&names);
        }
    }

    fn start_link(&self, to: &Destination, seat: usize) -> Arc<Line> {
        let Seat { runtime, dialler } = self.seats()[seat].clone();
        let (orders, receiver) = unbounded_channel();
        let seed = to.instance().bytes().fold(self.incarnation, |seed, byte| {
            seed.rotate_left(8) ^ u64::from(byte)
        });
        let line = Line::new(
            Arc::clone(to.process()),
            Arc::clone(to.instance()),
            orders,
            self.calls_waiting_max,
        );
        let line = Arc::new(line);
        let link = Link {
            dialler,
            registry: Arc::clone(&self.registry),
            is_attached: seat >= self.threads,
            queue: Queue::new(Arc::clone(&line), receiver),
            timing: self.timing.clone(),
            random: fastrand::Rng::with_seed(seed.wrapping_add(seat as u64)),
            failures: 0,
            changes: None,
        };
        let guard = self.registry.count_link(seat >= self.threads);
        runtime.spawn(async move {
            link.run().await;
            drop(guard);
        });
        line
    }

    pub(crate) fn status(&self) -> Vec<PeerStatus> {
        let known = self.destinations.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        let all = known.iter().flat_map(HashMap::values);
        all.flat_map(Destination::status).collect()
    }

    /// The seat whose connections the current thread uses.
    pub(crate) fn seat(&self) -> usize {
        let seat = seat::current(self.id, self.threads);
        if seat >= self.threads && self.is_detached.load(Ordering::Acquire) {
            return seat % self.threads;
        }
        seat
    }

    /// Finishes what attached threads have in flight, and closes their connections. What they call
    /// from now on goes through the endpoint's own.
    pub(crate) fn detach(&self) {
        self.is_detached.store(true, Ordering::Release);
        let known = self.destinations.read();
        let known = known.unwrap_or_else(PoisonError::into_inner);
        for destination in known.iter().flat_map(HashMap::values) {
            destination.drain_from(self.threads);
        }
    }

    /// Closes what attached threads have still open; their sockets are not the network thread's.
    pub(crate) fn stop(&self) {
        let code = VarInt::from_u32(Code::Stopping as u32);
        for seat in self.seats().iter().skip(self.threads) {
            seat.dialler.socket.close(code, b"");
        }
    }

    /// Lets no new calls in; those that are in finish.
    pub(crate) fn close(&self) {
        let known = self.destinations.write();
        let known = known.unwrap_or_else(PoisonError::into_inner).take();
        for destination in known.iter().flat_map(HashMap::values) {
            destination.drain();
        }
    }
}
