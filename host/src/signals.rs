//! Being asked to stop: by SIGINT or SIGTERM, or by a launcher that closes our standard input.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears the signals that ask a process to stop.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over; from now on they do not end the process by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits until standard input is closed: the launcher has gone, or wants us to.
pub(crate) async fn input_closed() {
    // A thread of its own, because a blocked read of standard input cannot be called off, and
    // must not hold up the end of the runtime.
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        // A read error means the same as the end: nobody is there.
        _ = io::copy(&mut input, &mut io::sink());
        _ = closed.send(());
    });
    _ = wait.await;
}
