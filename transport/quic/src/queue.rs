//! Calls that wait to be sent to one process.

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use modulith_contract::Fault;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    alarm::Alarm,
    line::{Line, Order, Pending, module_of, unreachable},
    slot::Slot,
};

/// How many orders are taken from the channel at once.
const BATCH: usize = 256;

/// The receiving end of a [`Line`].
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) line: Arc<Line>,
    orders: UnboundedReceiver<Order>,
    batch: Vec<Order>,
    waiting: VecDeque<Waiting>,
    /// Calls that were sent and whose callers are gone.
    pub(crate) cancelled: Vec<Arc<Slot>>,
    pub(crate) is_draining: bool,
    /// Whether the replica is gone for good, so that nothing can be sent to it any more.
    is_gone: bool,
    /// Calls that arrive before this may outlast failed attempts to connect.
    patient_until: Option<Instant>,
    alarm: Alarm,
}

#[derive(Debug)]
struct Waiting {
    call: Pending,
    is_patient: bool,
}

impl Queue {
    pub(crate) fn new(line: Arc<Line>, orders: UnboundedReceiver<Order>) -> Self {
        Self {
            line,
            orders,
            batch: Vec::with_capacity(BATCH),
            waiting: VecDeque::new(),
            cancelled: Vec::new(),
            is_draining: false,
            is_gone: false,
            patient_until: None,
            alarm: Alarm::default(),
        }
    }

    /// Takes what callers ordered.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(count) = self.orders.poll_recv_many(cx, &mut self.batch, BATCH) {
            if count == 0 {
                // Nobody can order anything any more.
                self.is_draining = true;
                break;
            }
            let patient_until = self.patient_until;
            for order in self.batch.drain(..) {
                match order {
                    Order::Call(call) => {
                        let is_patient = call.waits_for_restart
                            && patient_until.is_some_and(|until| Instant::now() < until);
                        self.alarm.note(call.deadline);
                        self.waiting.push_back(Waiting { call, is_patient });
                    }
                    Order::Cancel(slot) => self.cancelled.push(slot),
                    Order::Drain => self.is_draining = true,
                    Order::Leave => {
                        self.is_draining = true;
                        self.is_gone = true;
                    }
                }
            }
        }
    }

    /// Keeps the deadlines of calls that cannot be sent for the time being.
    pub(crate) fn poll_deadlines(&mut self, cx: &mut Context<'_>) {
        while self.alarm.poll(cx).is_ready() {
            let now = Instant::now();
            self.fail_if(|waiting| waiting.call.deadline <= now, |_| Fault::Late);
            for waiting in &self.waiting {
                self.alarm.note(waiting.call.deadline);
            }
        }
    }

    /// Lets everything that waits now or arrives before `until` outlast failed attempts.
    pub(crate) fn be_patient(&mut self, until: Instant) {
        self.patient_until = Some(until);
        for waiting in &mut self.waiting {
            waiting.is_patient = waiting.call.waits_for_restart;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next call that somebody still waits for.
    pub(crate) fn pop(&mut self) -> Option<Pending> {
        loop {
            let Waiting { call, .. } = self.waiting.pop_front()?;
            self.line.left_queue();
            if !call.slot.is_abandoned() {
                return Some(call);
            }
        }
    }

    /// While there is no connection: fails everything if there will be none any more, so that it
    /// can be asked elsewhere at once. True if so.
    pub(crate) fn fail_if_gone(&mut self) -> bool {
        if self.is_gone {
            let gone =
                |call: &Pending| unreachable(module_of(&call.message), "its process is gone");
            self.fail_if(|_| true, gone);
        }
        self.is_gone
    }

    /// Fails the calls that a failed attempt to connect is news for.
    pub(crate) fn fail_impatient(&mut self, reason: &str) {
        self.fail_if(
            |waiting| !waiting.is_patient,
            |call| unreachable(module_of(&call.message), reason),
        );
    }

    fn fail_if(
        &mut self,
        mut fails: impl FnMut(&Waiting) -> bool,
        fault: impl Fn(&Pending) -> Fault,
    ) {
        let line = &self.line;
        self.waiting.retain(|waiting| {
            let leaves = fails(waiting) || waiting.call.slot.is_abandoned();
            if leaves {
                line.left_queue();
                waiting.call.slot.complete(Err(fault(&waiting.call)));
            }
            !leaves
        });
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // Closed first: what is sent from now on is refused there, what came before is found here.
        self.orders.close();
        while let Ok(order) = self.orders.try_recv() {
            if let Order::Call(call) = order {
                let is_patient = false;
                self.waiting.push_back(Waiting { call, is_patient });
            }
        }
        self.fail_if(
            |_| true,
            |call| unreachable(module_of(&call.message), "this process is shutting down"),
        );
    }
}
