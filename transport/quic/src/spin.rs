//! Looking for news for a while before going to sleep.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use tokio::task::yield_now;

/// How far the time shrinks when nothing comes.
const SHRINK_MAX: u32 = 16;

thread_local! {
    /// How often something was sent or received on this thread; wraps around.
    static ACTIVITY: Cell<u64> = const { Cell::new(0) };
    /// Who waits for the next time.
    static SLEEPER: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Notes that something was sent or received on this thread.
pub(crate) fn touch() {
    ACTIVITY.set(ACTIVITY.get().wrapping_add(1));
    if let Some(waker) = SLEEPER.with_borrow_mut(Option::take) {
        waker.wake();
    }
}

/// Keeps the current thread, and so its runtime, awake for this long after anything happens on
/// its connections. Never, if that is zero.
pub(crate) fn start(longest: Duration) {
    if !longest.is_zero() {
        tokio::spawn(keep_awake(longest));
    }
}

async fn keep_awake(longest: Duration) {
    let shortest = longest / SHRINK_MAX;
    let mut window = longest;
    let mut seen = ACTIVITY.get();
    loop {
        changed(seen).await;
        seen = ACTIVITY.get();
        let mut since = Instant::now();
        // As long as a task yields, its runtime asks the system for news without waiting.
        while since.elapsed() < window {
            yield_now().await;
            let now = ACTIVITY.get();
            if now != seen {
                seen = now;
                since = Instant::now();
                window = (window * 2).min(longest);
            }
        }
        window = (window / 2).max(shortest);
    }
}

/// Waits until something has happened since `seen`.
async fn changed(seen: u64) {
    poll_fn(|cx| {
        if ACTIVITY.get() != seen {
            return Poll::Ready(());
        }
        SLEEPER.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_is_kept_awake_only_after_something_happened() {
        start(Duration::from_millis(5));
        for _ in 0..3 {
            yield_now().await;
        }
        let waits = SLEEPER.with_borrow(Option::is_some);
        assert!(waits, "nothing has happened, so it sleeps");
        touch();
        let spins = SLEEPER.with_borrow(Option::is_none);
        assert!(spins, "something happened, so it looks for more");
        tokio::time::timeout(Duration::from_secs(10), async {
            while SLEEPER.with_borrow(Option::is_none) {
                yield_now().await;
            }
        })
        .await
        .expect("nothing more happens, so it goes back to sleep");
    }
}
