//! Replaces connections before the certificates they were made with are over.
//!
//! The next connection is made while the last still serves: if it cannot be had, nothing is lost
//! but time, and there is another try. New calls then go to the new one, and what is in flight
//! finishes on the old one.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::AbortHandle,
    time::sleep,
};
use tracing::{debug, warn};

use crate::{dial::Dialler, dialled::Dialled};

/// How long after a change a connection is replaced, so that the peer has seen it too; up to twice
/// as long, so that processes do not all do it at once.
const CHANGE_PAUSE: Duration = Duration::from_millis(500);
/// How soon a peer that has yet to follow a change is asked again.
const OUTDATED_PAUSE: Duration = Duration::from_secs(2);
/// How soon after a failed attempt the next one follows.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// When a connection is to be replaced.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    /// After this long.
    pub(crate) after: Duration,
    /// When the trust has changed since the connection began to be made.
    pub(crate) changes: watch::Receiver<u64>,
    /// Soon: the peer showed a certificate of an authority that does not issue any more.
    pub(crate) is_outdated: bool,
}

/// The connection that is to replace another, once it is time.
///
/// A task of its own waits for that and makes it: whoever uses the connection until then is woken
/// for each packet, and looks at one flag.
#[derive(Debug)]
pub(crate) struct Successor {
    made: oneshot::Receiver<Dialled>,
    task: AbortHandle,
}

impl Successor {
    pub(crate) fn start(
        dialler: Arc<Dialler>,
        to: (Arc<str>, Arc<str>),
        renewal: Renewal,
        random: fastrand::Rng,
    ) -> Self {
        let (tell, made) = oneshot::channel();
        let task = tokio::spawn(async move {
            let dialled = successor(dialler, to, renewal, random).await;
            if let Err(unwanted) = tell.send(dialled) {
                unwanted.close();
            }
        });
        let task = task.abort_handle();
        Self { made, task }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Dialled> {
        if self.made.is_terminated() {
            // The task panicked, which was reported: the old connection stays until its end.
            return Poll::Pending;
        }
        match Pin::new(&mut self.made).poll(cx) {
            Poll::Ready(Ok(dialled)) => Poll::Ready(dialled),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.task.abort();
        self.made.close();
        if let Ok(unwanted) = self.made.try_recv() {
            unwanted.close();
        }
    }
}

/// Waits until a connection is to be replaced, then makes the one that replaces it.
async fn successor(
    dialler: Arc<Dialler>,
    (process, instance): (Arc<str>, Arc<str>),
    mut renewal: Renewal,
    mut random: fastrand::Rng,
) -> Dialled {
    let jitter = random.f64();
    let after = if renewal.is_outdated {
        OUTDATED_PAUSE.min(renewal.after)
    } else {
        renewal.after
    };
    tokio::select! {
        () = sleep(after.mul_f64(1.0 - jitter / 10.0)) => {}
        // The trust lives as long as its endpoint.
        _ = renewal.changes.changed() => sleep(CHANGE_PAUSE.mul_f64(1.0 + jitter)).await,
    }
    loop {
        match dialler.dial(&process, &instance).await {
            Ok(dialled) => {
                debug!(%process, "connection renewed");
                return dialled;
            }
            Err(reason) => {
                warn!(%process, reason, "connection cannot be renewed yet; the old one stays");
                sleep(RETRY_PAUSE.mul_f64(1.0 - jitter / 2.0)).await;
            }
        }
    }
}
