//! Callers who ask in a closed loop, and how long they waited.
//!
//! All callers of a contender are tasks of one single-threaded tokio runtime on a thread of their
//! own, as the connections of one worker of a web server are. So a caller costs every contender
//! the same, and each has the rest of the machine for itself.
//!
//! What takes less than looking at the clock is timed in *chunks*, many calls between two looks;
//! percentiles are then of the means of chunks.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::{
    runtime,
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::error::Error;
use crate::usage::Processes;

/// The longest wait told apart; longer ones count as this.
const TOOK_MAX_NS: u64 = 60_000_000_000;

/// Something that can be asked to do the same thing again and again.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// What one caller has of its own, such as a connection.
    type Caller: Send + 'static;

    /// Whether the callers are to live in an actix system, where actors can be started.
    const ON_ACTIX: bool = false;

    /// Makes a caller; on the callers' runtime, before time is taken.
    fn caller(&self, number: u16) -> impl Future<Output = Result<Self::Caller, Error>> + Send;

    /// Does it once, and returns when it is done: answered, or durable.
    fn once(caller: &mut Self::Caller) -> impl Future<Output = Result<(), Error>> + Send;

    /// What it has counted so far, if it counts.
    fn counts(&self) -> Option<Counts> {
        None
    }

    /// Whose processor time and memory it takes.
    fn processes(&self) -> Processes {
        Processes::default()
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
    /// How many calls a caller makes between two looks at the clock, at least 1.
    pub(crate) chunk: u32,
}

/// What the callers saw.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) elapsed: Duration,
    /// How many calls ended within the window.
    pub(crate) calls: u64,
    /// In nanoseconds, to three digits: of each of them, and of each that was under way when the
    /// window closed. Without those, a stall that outlasts the window would leave no trace.
    pub(crate) took_ns: Histogram<u64>,
    /// The processor time of everybody involved.
    pub(crate) cpu: Option<Duration>,
    /// The memory of the server, or of this process if there is none.
    pub(crate) peak_bytes: Option<u64>,
    /// Counted within the window.
    pub(crate) counts: Option<Counts>,
}

impl Figures {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }
}

/// Lets callers call on a thread of their own.
///
/// # Errors
/// The first call that failed.
pub(crate) async fn run<C: Contender>(contender: C, window: Window) -> Result<Figures, Error> {
    let (done, figures) = oneshot::channel();
    let callers = move || {
        // Nobody waits for it once the run was interrupted.
        _ = done.send(drive_on_runtime(&contender, window));
    };
    thread::Builder::new()
        .name("callers".to_owned())
        .spawn(callers)
        .map_err(Error::io("start the callers' thread"))?;
    figures.await.map_err(|_| Error::CallersLost)?
}

fn drive_on_runtime<C: Contender>(contender: &C, window: Window) -> Result<Figures, Error> {
    if C::ON_ACTIX {
        return actix_rt::System::new().block_on(drive(contender, window));
    }
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .map_err(Error::io("start the callers' runtime"))?
        .block_on(drive(contender, window))
}

async fn drive<C: Contender>(contender: &C, window: Window) -> Result<Figures, Error> {
    let mut callers = Vec::with_capacity(window.callers.into());
    for number in 0..window.callers {
        callers.push(contender.caller(number).await?);
    }
    let processes = contender.processes();
    let begin = Instant::now() + window.warm_up;
    let end = begin + window.measured;
    let took_ns = Histogram::new_with_bounds(1, TOOK_MAX_NS, 3).expect("the bounds are valid");
    let tally = Arc::new(Tally {
        took_ns: Mutex::new(took_ns),
        begin,
        end,
        chunk: window.chunk.max(1),
    });
    let calling = callers.into_iter().map(|caller| {
        let called = call::<C>(caller, tally.clone());
        if C::ON_ACTIX {
            tokio::task::spawn_local(called)
        } else {
            tokio::spawn(called)
        }
    });
    let calling: Vec<_> = calling.collect();

    sleep_until(begin).await;
    processes.forget_peak();
    let before = Sample::take(contender, &processes);
    sleep_until(end).await;
    let after = Sample::take(contender, &processes);
    let peak_bytes = processes.peak_bytes();
    for caller in calling {
        caller.await.map_err(|_| Error::CallersLost)??;
    }
    let took_ns = tally
        .took_ns
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let used = before.cpu.zip(after.cpu);
    Ok(Figures {
        elapsed: window.measured,
        // Each caller ends with the one chunk that was under way.
        calls: (took_ns.len() - u64::from(window.callers)) * u64::from(tally.chunk),
        took_ns,
        cpu: used.map(|(before, after)| after.saturating_sub(before)),
        peak_bytes,
        counts: before
            .counts
            .zip(after.counts)
            .map(|(before, after)| Counts {
                commands: after.commands - before.commands,
                commits: after.commits - before.commits,
                syncs: after.syncs - before.syncs,
            }),
    })
}

/// What is read at both ends of the window.
struct Sample {
    counts: Option<Counts>,
    cpu: Option<Duration>,
}

impl Sample {
    fn take(contender: &impl Contender, processes: &Processes) -> Self {
        Self {
            counts: contender.counts(),
            cpu: processes.cpu(),
        }
    }
}

/// What all callers write into.
struct Tally {
    took_ns: Mutex<Histogram<u64>>,
    begin: Instant,
    end: Instant,
    chunk: u32,
}

impl Tally {
    /// Notes a chunk, unless it ended too early. True when it ended after the window.
    fn note(&self, asked: Instant, answered: Instant) -> bool {
        if answered < self.begin {
            return false;
        }
        let each = (answered - asked) / self.chunk;
        let each = u64::try_from(each.as_nanos()).unwrap_or(u64::MAX);
        // Never contended: all callers are on this thread.
        let mut took_ns = self.took_ns.lock().unwrap_or_else(PoisonError::into_inner);
        took_ns.saturating_record(each);
        answered >= self.end
    }
}

/// Calls one time after the other, until one ends after the window.
async fn call<C: Contender>(mut caller: C::Caller, tally: Arc<Tally>) -> Result<(), Error> {
    loop {
        let asked = Instant::now();
        for _ in 0..tally.chunk {
            C::once(&mut caller).await?;
        }
        if tally.note(asked, Instant::now()) {
            return Ok(());
        }
        if tally.chunk > 1 {
            // What is ready at once would keep the thread from everybody else.
            tokio::task::yield_now().await;
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
            chunk: 1,
        };
        let took = Duration::from_millis(took_ms);
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(Slow { took, fails }, window))
    }

    #[test]
    fn what_ends_within_the_window_is_counted_with_its_whole_time() {
        let figures = run_slow(5, false).unwrap();
        assert!((1..=40).contains(&figures.calls), "{}", figures.calls);
        assert!(figures.took_ns.min() >= 4_900_000);
        assert!(figures.elapsed >= Duration::from_millis(99));
    }

    #[test]
    fn a_stall_longer_than_the_window_shows_in_the_times() {
        let figures = run_slow(300, false).unwrap();
        assert_eq!(figures.calls, 0);
        assert!(figures.took_ns.max() >= 299_000_000);
    }

    #[test]
    fn a_change_that_fails_ends_the_run_with_its_error() {
        assert!(matches!(run_slow(5, true), Err(Error::Redis(_))));
    }
}
