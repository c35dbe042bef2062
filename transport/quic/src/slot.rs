//! Where the reply of one call is put by the network thread and taken by the caller.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use modulith_contract::Fault;

pub(crate) type Outcome = Result<Vec<u8>, Fault>;

/// A one-shot channel that also knows which request it belongs to, so that a caller who loses
/// interest needs no table to be found in.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// The id of the request on its connection; 0 until it was sent.
    request: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Waiting(Option<Waker>),
    Done(Outcome),
    /// The outcome was taken, or the caller is gone.
    Over,
}

impl Default for State {
    fn default() -> Self {
        Self::Waiting(None)
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the caller the outcome, unless there is one or the caller is gone.
    pub(crate) fn complete(&self, outcome: Outcome) {
        let mut state = self.lock();
        let State::Waiting(waker) = &mut *state else {
            return;
        };
        let waker = waker.take();
        *state = State::Done(outcome);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) -> Poll<Outcome> {
        let mut state = self.lock();
        match &mut *state {
            State::Waiting(Some(waker)) => waker.clone_from(cx.waker()),
            State::Waiting(waker @ None) => *waker = Some(cx.waker().clone()),
            State::Done(_) | State::Over => {
                if let State::Done(outcome) = std::mem::replace(&mut *state, State::Over) {
                    return Poll::Ready(outcome);
                }
            }
        }
        Poll::Pending
    }

    /// Notes that the caller is gone. True if it was still waiting.
    pub(crate) fn abandon(&self) -> bool {
        matches!(
            std::mem::replace(&mut *self.lock(), State::Over),
            State::Waiting(_)
        )
    }

    /// Whether nobody waits for the outcome any more.
    pub(crate) fn is_abandoned(&self) -> bool {
        matches!(*self.lock(), State::Over)
    }

    pub(crate) fn request(&self) -> u64 {
        self.request.load(Ordering::Relaxed)
    }

    /// Notes under which id the request was sent. Only the network thread reads it back.
    pub(crate) fn set_request(&self, id: u64) {
        self.request.store(id, Ordering::Relaxed);
    }
}
