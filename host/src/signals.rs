//! Being asked to stop: by SIGINT or SIGTERM, or by a launcher that closes our standard input.

use std::{
    io::{self, BufRead, Read},
    time::Duration,
};

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

/// Begins the line by which a launcher asks a process to hand over; how long clients may take to
/// leave follows, in milliseconds.
const HAND_OVER: &str = "hand over ";

/// The longest line that is understood, in bytes.
const LINE_BYTES_MAX: u64 = 64;

/// What a launcher writes to ask a process to stop, leaving its clients that much time to go to
/// those that take its place.
pub(crate) fn hand_over(within: Duration) -> String {
    format!("{HAND_OVER}{}\n", within.as_millis())
}

/// Waits until standard input is closed, because the launcher has gone or wants us to, or until it
/// asks us to hand over. How long clients may take to leave; zero unless others take our place.
pub(crate) async fn input_closed() -> Duration {
    // A thread of its own, because a blocked read of standard input cannot be called off, and
    // must not hold up the end of the runtime.
    let (closed, wait) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // A read error means the same as the end: nobody is there.
        _ = io::stdin().lock().take(LINE_BYTES_MAX).read_line(&mut line);
        _ = closed.send(time_to_leave(&line));
    });
    wait.await.unwrap_or_default()
}

fn time_to_leave(line: &str) -> Duration {
    let milliseconds = line
        .strip_prefix(HAND_OVER)
        .and_then(|rest| rest.trim_end().parse().ok());
    milliseconds.map_or(Duration::ZERO, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_leave_is_what_the_launcher_says_and_none_when_it_says_nothing() {
        let time = Duration::from_millis(1500);
        assert_eq!(time_to_leave(&hand_over(time)), time);
        for other in ["", "\n", "hand over soon\n", "stop\n"] {
            assert_eq!(time_to_leave(other), Duration::ZERO, "{other:?}");
        }
    }
}
