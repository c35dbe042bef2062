//! Callers who ask in a closed loop, and how long they waited.
//!
//! All callers of a contender are tasks of one single-threaded tokio runtime on a thread of their
//! own, as the connections of one worker of a web server are. So a caller costs every contender
//! the same, and each has the rest of the machine for itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::{
    runtime,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::error::Error;

/// The longest wait told apart; longer ones count as this.
const TOOK_MAX_US: u64 = 60_000_000;

/// Something that makes one kind of change durable.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// What one caller has of its own, such as a connection.
    type Caller: Send + 'static;

    /// Makes a caller; on the callers' runtime, before time is taken.
    fn caller(&self, number: u16) -> impl Future<Output = Result<Self::Caller, Error>> + Send;

    /// Makes one change, and returns when it is durable.
    fn once(caller: &mut Self::Caller) -> impl Future<Output = Result<(), Error>> + Send;

    /// What it has counted so far, if it counts.
    fn counts(&self) -> Option<Counts> {
        None
    }
}

/// What only we know about ourselves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) commands: u64,
    pub(crate) commits: u64,
    pub(crate) syncs: u64,
}

/// How many callers, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) callers: u16,
    /// How long they call before anything counts.
    pub(crate) warm_up: Duration,
    pub(crate) measured: Duration,
}

/// What the callers saw.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) elapsed: Duration,
    /// How many changes became durable within the window.
    pub(crate) changes: u64,
    /// In microseconds, to three digits: of each of them, and of each that was under way when the
    /// window closed. Without those, a stall that outlasts the window would leave no trace.
    pub(crate) took_us: Histogram<u64>,
    /// Counted within the window.
    pub(crate) counts: Option<Counts>,
}

/// Lets callers call on a thread of their own.
///
/// # Errors
/// The first change that failed.
pub(crate) async fn run<C: Contender>(contender: C, window: Window) -> Result<Figures, Error> {
    let (done, figures) = oneshot::channel();
    let callers = move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let figures = runtime
            .map_err(Error::io("start the callers' runtime"))
            .and_then(|runtime| runtime.block_on(drive(&contender, window)));
        // Nobody waits for it once the run was interrupted.
        _ = done.send(figures);
    };
    thread::Builder::new()
        .name("callers".to_owned())
        .spawn(callers)
        .map_err(Error::io("start the callers' thread"))?;
    figures.await.map_err(|_| Error::CallersLost)?
}

async fn drive<C: Contender>(contender: &C, window: Window) -> Result<Figures, Error> {
    let mut callers = Vec::with_capacity(window.callers.into());
    for number in 0..window.callers {
        callers.push(contender.caller(number).await?);
    }
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let took_us = Histogram::new_with_bounds(1, TOOK_MAX_US, 3).expect("the bounds are valid");
    let took_us = Arc::new(Mutex::new(took_us));
    let calling: Vec<_> = callers
        .into_iter()
        .map(|caller| tokio::spawn(call::<C>(caller, begin, end, took_us.clone())))
        .collect();

    sleep_until(begin).await;
    let (began, before) = (Instant::now(), contender.counts());
    sleep_until(end).await;
    let (elapsed, after) = (began.elapsed(), contender.counts());
    for caller in calling {
        caller.await.map_err(|_| Error::CallersLost)??;
    }
    let took_us = took_us.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Figures {
        elapsed,
        // Each caller ends with the one change that was under way.
        changes: took_us.len() - u64::from(window.callers),
        took_us: took_us.clone(),
        counts: before.zip(after).map(|(before, after)| Counts {
            commands: after.commands - before.commands,
            commits: after.commits - before.commits,
            syncs: after.syncs - before.syncs,
        }),
    })
}

/// Changes one thing after the other, until one ends after the window; notes what each took that
/// does not end before it.
async fn call<C: Contender>(
    mut caller: C::Caller,
    begin: Instant,
    end: Instant,
    took_us: Arc<Mutex<Histogram<u64>>>,
) -> Result<(), Error> {
    loop {
        let asked = Instant::now();
        C::once(&mut caller).await?;
        let answered = Instant::now();
        if answered < begin {
            continue;
        }
        let us = u64::try_from((answered - asked).as_micros()).unwrap_or(u64::MAX);
        // Never contended: all callers are on this thread.
        let mut took_us = took_us.lock().unwrap_or_else(PoisonError::into_inner);
        took_us.saturating_record(us);
        if answered >= end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes its time for a change; its second caller may fail.
    #[derive(Clone)]
    struct Slow {
        took: Duration,
        fails: bool,
    }

    impl Contender for Slow {
        type Caller = (Duration, bool);

        async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
            Ok((self.took, self.fails && number == 1))
        }

        async fn once((took, fails): &mut Self::Caller) -> Result<(), Error> {
            tokio::time::sleep(*took).await;
            if *fails {
                return Err(Error::Redis("no".to_owned()));
            }
            Ok(())
        }
    }

    fn run_slow(took_ms: u64, fails: bool) -> Result<Figures, Error> {
        let window = Window {
            callers: 2,
            warm_up: Duration::from_millis(20),
            measured: Duration::from_millis(100),
        };
        let took = Duration::from_millis(took_ms);
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(Slow { took, fails }, window))
    }

    #[test]
    fn what_ends_within_the_window_is_counted_with_its_whole_time() {
        let figures = run_slow(5, false).unwrap();
        assert!((1..=40).contains(&figures.changes), "{}", figures.changes);
        assert!(figures.took_us.min() >= 4_900);
        assert!(figures.elapsed >= Duration::from_millis(99));
    }

    #[test]
    fn a_stall_longer_than_the_window_shows_in_the_times() {
        let figures = run_slow(300, false).unwrap();
        assert_eq!(figures.changes, 0);
        assert!(figures.took_us.max() >= 299_000);
    }

    #[test]
    fn a_change_that_fails_ends_the_run_with_its_error() {
        assert!(matches!(run_slow(5, true), Err(Error::Redis(_))));
    }
}
