//! A request to another process, and the future of its reply.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use modulith_contract::Fault;

use crate::{
    line::{Line, Order},
    slot::Slot,
};

/// A request to a module in another process.
#[derive(Debug, Clone)]
pub struct Call {
    /// The module that asks; one of the endpoint's own.
    pub caller: Arc<str>,
    /// What is asked, as `module.Message`.
    pub message: Arc<str>,
    /// The same for every repetition of the request.
    pub message_id: u128,
    /// Which partition of the module is asked, from 0; 0 where it is not divided.
    pub partition: u16,
    /// How much it matters when not everything can be served: 0 most.
    pub priority: u8,
    /// What is carried along for whoever handles it, opaque here; at most 255 bytes, the rest is
    /// cut off.
    pub baggage: Vec<u8>,
    /// When to stop waiting: for the reply, or for a stream of items to begin.
    pub deadline: Instant,
    /// The encoded message.
    pub body: Vec<u8>,
}

/// The reply to come. Dropping it cancels the call.
///
/// Needs no particular runtime: the network thread wakes whoever polls it, and keeps its deadline.
#[must_use = "a call that nobody waits for is cancelled"]
pub struct CallFuture {
    state: State,
}

enum State {
    /// Refused before it was sent.
    Refused(Fault),
    Waiting {
        slot: Arc<Slot>,
        line: Arc<Line>,
    },
    Over,
}

impl CallFuture {
    pub(crate) fn refused(fault: Fault) -> Self {
        Self {
            state: State::Refused(fault),
        }
    }

    pub(crate) fn waiting(slot: Arc<Slot>, line: Arc<Line>) -> Self {
        Self {
            state: State::Waiting { slot, line },
        }
    }
}

impl Future for CallFuture {
    type Output = Result<Vec<u8>, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let State::Waiting { slot, .. } = &self.state {
            let outcome = std::task::ready!(slot.poll(cx));
            self.state = State::Over;
            return Poll::Ready(outcome);
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Refused(fault) => Poll::Ready(Err(fault)),
            State::Waiting { .. } | State::Over => Poll::Pending,
        }
    }
}

impl Drop for CallFuture {
    fn drop(&mut self) {
        if let State::Waiting { slot, line } = &self.state
            && slot.abandon()
        {
            line.order(Order::Cancel(Arc::clone(slot)));
        }
    }
}

impl fmt::Debug for CallFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFuture").finish_non_exhaustive()
    }
}
