//! How long a task waits for its turn on this worker.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::rt;

/// Measures a worker's line by standing in it.
///
/// A task that becomes ready runs after all that were ready before it. So one that does nothing is
/// sent to the end of the line whenever none is under way, and how long ago that was is how long
/// those who are served now have waited at least. Costs a task per round of the line, and no
/// timer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turn {
    sent: Rc<Cell<Option<Instant>>>,
}

impl Turn {
    /// How long whoever is served now has waited.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        if let Some(sent) = self.sent.get() {
            return now.saturating_duration_since(sent);
        }
        self.sent.set(Some(now));
        let sent = self.sent.clone();
        rt::spawn(async move { sent.set(None) });
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn whoever_stands_in_a_long_line_has_waited() {
        let turn = Turn::default();
        let start = Instant::now();
        assert_eq!(turn.waited(start), Duration::ZERO);
        let later = start + Duration::from_millis(70);
        assert_eq!(turn.waited(later), Duration::from_millis(70));
        // The line moves on.
        rt::task::yield_now().await;
        assert_eq!(turn.waited(later), Duration::ZERO);
    }
}
