//! How far an order has come, step by step, for whoever gave it.

use serde::{Deserialize, Serialize};
use tokio::{
    sync::watch,
    time::{Duration, timeout},
};

/// How long a question for further steps stays open.
const FOLLOW_MAX: Duration = Duration::from_secs(2);

/// What became of an order so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The number of the order; 0 before the first.
    pub(crate) order: u64,
    /// What was done, in sentences.
    pub(crate) steps: Vec<String>,
    /// None while it goes on; then whether it was carried out, or why not.
    pub(crate) outcome: Option<Result<(), String>>,
}

/// The steps of the last order. A copy tells of the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Steps {
    progress: watch::Sender<Progress>,
}

impl Steps {
    /// Begins anew, for the next order. Its number; none while another goes on.
    pub(super) fn begin(&self) -> Option<u64> {
        let mut begun = None;
        self.progress.send_if_modified(|progress| {
            if progress.order > 0 && progress.outcome.is_none() {
                return false;
            }
            *progress = Progress {
                order: progress.order + 1,
                ..Progress::default()
            };
            begun = Some(progress.order);
            true
        });
        begun
    }

    /// Tells of a step. There are a few for each instance.
    pub(super) fn say(&self, step: String) {
        tracing::info!("{step}");
        self.progress
            .send_modify(|progress| progress.steps.push(step));
    }

    /// Ends the order.
    pub(super) fn end(&self, outcome: Result<(), String>) {
        self.progress
            .send_modify(|progress| progress.outcome = Some(outcome));
    }

    /// What became of an order, once there is more than `after` steps or its end, but after two
    /// seconds at the latest.
    pub(super) async fn follow(&self, order: u64, after: usize) -> Progress {
        let mut progress = self.progress.subscribe();
        let is_news = |progress: &Progress| {
            progress.order != order || progress.steps.len() > after || progress.outcome.is_some()
        };
        // At the end of the time, what there is.
        _ = timeout(FOLLOW_MAX, progress.wait_for(is_news)).await;
        progress.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_order_goes_on_at_a_time_and_is_told_step_by_step() {
        let steps = Steps::default();
        assert_eq!(steps.begin(), Some(1));
        assert_eq!(steps.begin(), None, "the first goes on");
        steps.say("one".to_string());
        assert_eq!(steps.follow(1, 0).await.steps, ["one"]);
        steps.end(Err("no".to_string()));
        assert_eq!(
            steps.follow(1, 1).await.outcome,
            Some(Err("no".to_string()))
        );
        assert_eq!(steps.begin(), Some(2));
        assert_eq!(steps.follow(1, 1).await.order, 2, "the first is forgotten");
    }
}
