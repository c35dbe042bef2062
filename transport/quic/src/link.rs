//! Keeps one process connected for as long as somebody calls it.

use std::{
    future::{Future, pending, poll_fn},
    pin::pin,
    sync::{Arc, atomic::Ordering},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{sync::watch, time::sleep};
use tracing::{info, warn};

use crate::{
    Timing, close,
    dial::Dialler,
    dialled::{Dialled, Ended},
    line::LinkState,
    queue::Queue,
    registry::Registry,
    renewal::Successor,
};

/// A call that arrives this shortly before the next attempt waits for it; earlier, it fails with
/// the reason of the last. So a process that is down for long costs its callers no time.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Dials when there is something to send, and again when the connection breaks.
pub(crate) struct Link {
    pub(crate) dialler: Arc<Dialler>,
    pub(crate) registry: Arc<Registry>,
    /// Whether it is on a thread that attached itself.
    pub(crate) is_attached: bool,
    pub(crate) queue: Queue,
    pub(crate) timing: Timing,
    pub(crate) random: fastrand::Rng,
    /// Failed attempts in a row.
    pub(crate) failures: u32,
    /// Moves when addresses may have changed since the last attempt.
    pub(crate) changes: Option<watch::Receiver<u64>>,
}

impl Link {
    /// Runs until it is drained.
    pub(crate) async fn run(mut self) {
        while self.is_wanted().await {
            match self.dial().await {
                Ok(dialled) => {
                    if self.connected(dialled).await.is_none() {
                        return;
                    }
                }
                Err(reason) => self.failed(reason).await,
            }
        }
    }

    /// Waits for a call. False when there will be none.
    async fn is_wanted(&mut self) -> bool {
        poll_fn(|cx| {
            self.queue.poll(cx);
            self.queue.cancelled.clear();
            self.queue.fail_if_gone();
            if !self.queue.is_empty() {
                return Poll::Ready(true);
            }
            if self.queue.is_draining {
                Poll::Ready(false)
            } else {
                Poll::Pending
            }
        })
        .await
    }

    async fn dial(&mut self) -> Result<Dialled, String> {
        let line = Arc::clone(&self.queue.line);
        let dialler = Arc::clone(&self.dialler);
        // From before the addresses are read, so that no change of theirs is missed.
        self.changes = dialler.names.changes();
        let mut dial = pin!(dialler.dial(&line.process, &line.instance));
        poll_fn(|cx| {
            self.queue.poll(cx);
            self.queue.poll_deadlines(cx);
            if self.queue.fail_if_gone() {
                return Poll::Ready(Err("its process is gone".to_owned()));
            }
            dial.as_mut().poll(cx)
        })
        .await
    }

    /// Uses a connection, and those that take its place, until one ends. `None` when no other will
    /// be needed.
    async fn connected(&mut self, mut dialled: Dialled) -> Option<()> {
        let line = Arc::clone(&self.queue.line);
        let since = Instant::now();
        let address = close::address(&dialled.connection);
        info!(process = %line.instance, %address, "connected to process");
        line.set_link(LinkState::Up(dialled.connection.clone()));
        let ended = loop {
            match self.until_replaced(&mut dialled).await {
                Ok(next) => {
                    line.set_link(LinkState::Up(next.connection.clone()));
                    self.finish(std::mem::replace(&mut dialled, next));
                }
                Err(ended) => break ended,
            }
        };
        let address = close::address(&dialled.connection);
        line.in_flight.store(0, Ordering::Relaxed);
        let reason = match ended {
            Ended::Drained => {
                dialled.close();
                line.set_link(LinkState::Down(None));
                return None;
            }
            Ended::GoingAway => {
                self.finish(dialled);
                "it is shutting down".to_owned()
            }
            Ended::Lost(reason) => {
                dialled.fail(&reason);
                reason
            }
        };
        warn!(process = %line.instance, %address, reason, "connection to process ended");
        line.set_link(LinkState::Down(Some(reason.clone())));
        self.queue
            .be_patient(Instant::now() + self.timing.restart_grace);
        if since.elapsed() >= self.timing.backoff_max {
            self.failures = 0;
        } else {
            // A process that accepts connections only to break them is not worth a busy loop.
            self.pause(&reason).await;
        }
        Some(())
    }

    /// Uses a connection until there is one to take its place, or it ends.
    async fn until_replaced(&mut self, dialled: &mut Dialled) -> Result<Dialled, Ended> {
        let line = &self.queue.line;
        let mut next = Successor::start(
            Arc::clone(&self.dialler),
            (Arc::clone(&line.process), Arc::clone(&line.instance)),
            dialled.renewal.clone(),
            self.random.fork(),
        );
        poll_fn(|cx| match dialled.poll(cx, &mut self.queue) {
            Poll::Ready(ended) => Poll::Ready(Err(ended)),
            Poll::Pending => next.poll(cx).map(Ok),
        })
        .await
    }

    /// Lets what is in flight on a connection finish. Draining waits for that too.
    fn finish(&self, dialled: Dialled) {
        let guard = self.registry.count_link(self.is_attached);
        tokio::spawn(async move {
            dialled.finish().await;
            drop(guard);
        });
    }

    async fn failed(&mut self, reason: String) {
        let line = &self.queue.line;
        if self.failures == 0 {
            warn!(process = %line.instance, reason, "cannot connect to process");
        }
        line.set_link(LinkState::Down(Some(reason.clone())));
        if self.dialler.names.is_expected(&line.process) {
            self.queue
                .be_patient(Instant::now() + self.timing.restart_grace);
        }
        self.queue.fail_impatient(&reason);
        self.pause(&reason).await;
    }

    /// Waits before the next attempt, longer each time, or until there is news of addresses.
    async fn pause(&mut self, reason: &str) {
        let pause = self.next_pause();
        let until = Instant::now() + pause;
        let mut sleep = pin!(sleep(pause));
        let mut changed = pin!(changed(self.changes.take()));
        poll_fn(|cx| {
            self.queue.poll(cx);
            self.queue.cancelled.clear();
            self.queue.poll_deadlines(cx);
            self.queue.fail_if_gone();
            if until.saturating_duration_since(Instant::now()) > SHORT_PAUSE {
                self.queue.fail_impatient(reason);
            }
            if self.queue.is_draining && self.queue.is_empty() {
                return Poll::Ready(());
            }
            if changed.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            sleep.as_mut().poll(cx)
        })
        .await;
    }

    /// Doubles with each failure. The jitter keeps processes that lost the same peer apart.
    fn next_pause(&mut self) -> Duration {
        let factor = 1 << self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let pause = self
            .timing
            .backoff_min
            .saturating_mul(factor)
            .min(self.timing.backoff_max);
        pause.mul_f64(0.5 + self.random.f64() / 2.0)
    }
}

/// Waits until addresses may have changed; for ever when nobody would tell.
async fn changed(changes: Option<watch::Receiver<u64>>) {
    let is_told = match changes {
        Some(mut changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !is_told {
        pending::<()>().await;
    }
}
