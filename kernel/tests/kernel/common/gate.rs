//! A gate in which a handler stands until the test opens it: order without sleeps.

use std::sync::{Condvar, Mutex, PoisonError};

#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    /// How many more may pass although it is closed.
    passes: usize,
    inside: usize,
}

impl Gate {
    /// Whoever comes next stops in it.
    pub(crate) fn close(&self) {
        self.change(|state| state.closed = true);
    }

    /// Lets everyone through.
    pub(crate) fn open(&self) {
        self.change(|state| state.closed = false);
    }

    /// Lets the one who stands in it through, and stays closed.
    pub(crate) fn let_one_through(&self) {
        self.wait_until_entered();
        self.change(|state| {
            state.passes = 1;
            state.inside = 0;
        });
    }

    /// Goes through, or waits until that is possible.
    pub(crate) fn pass(&self) {
        self.change(|state| state.inside = 1);
        self.wait_until(|state| !state.closed || state.passes > 0);
        self.change(|state| {
            if state.passes > 0 {
                state.passes -= 1;
            } else {
                state.inside = 0;
            }
        });
    }

    /// Waits until someone stands in it.
    pub(crate) fn wait_until_entered(&self) {
        self.wait_until(|state| state.inside > 0);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait_until(&self, reached: impl Fn(&State) -> bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_while(state, |state| !reached(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
