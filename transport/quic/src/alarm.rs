//! One timer for the earliest of many deadlines.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::{Sleep, sleep_until};

/// Set when an earlier deadline comes along, left alone when the earliest goes away: then it goes
/// off once in vain. So a deadline that is met costs one comparison, and no timer of its own.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    at: Option<Instant>,
    is_set: bool,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    /// Makes sure that the alarm goes off at `deadline` or before.
    pub(crate) fn note(&mut self, deadline: Instant) {
        if self.at.is_none_or(|at| deadline < at) {
            self.at = Some(deadline);
            self.is_set = false;
        }
    }

    /// Ready when the alarm goes off. Then every deadline that was not met has to be noted again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(sleep_until(at.into())));
        if !self.is_set {
            sleep.as_mut().reset(at.into());
            self.is_set = true;
        }
        let gone_off = sleep.as_mut().poll(cx);
        if gone_off.is_ready() {
            self.at = None;
        }
        gone_off
    }
}
