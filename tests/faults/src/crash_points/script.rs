//! The run whose every point is a crash: what is asked in it, what was answered, and when.

use std::{cell::RefCell, sync::Arc, time::Duration};

use futures_util::future::join_all;
use modulith_kernel::{Node, Outcome, Port, Request, Stop};
use tokio::time::sleep;

use super::{
    conductor::{Course, Transfer},
    counter::POISON,
    ledger::Post,
    recorder::{Files, Recorder, Step},
    sabotage::Sabotage,
    world,
};

/// What was recorded.
pub(super) struct Run {
    pub(super) steps: Vec<Step>,
    pub(super) deeds: Vec<Deed>,
}

/// A command of the run.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    pub(super) what: Order,
    /// Under which it is known when it comes again.
    pub(super) key: Option<String>,
    /// How many steps were done when it was sent.
    pub(super) sent_at: usize,
    /// What it was told, and how many steps were done by then.
    pub(super) told: Option<(usize, String)>,
    /// When its reply may have begun to be forgotten.
    pub(super) forgotten_at: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Order {
    Post(Post),
    Transfer(Transfer),
}

impl Order {
    /// Asks for it. Gives the reply or the refusal as text; none after a fault.
    pub(super) async fn ask(&self, port: &Port, key: Option<&str>) -> Result<String, String> {
        let port = key.map_or_else(|| port.clone(), |key| port.idempotent(key));
        match self {
            Self::Post(post) => told::<Post>(ask(&port, post.clone()).await),
            Self::Transfer(transfer) => told::<Transfer>(ask(&port, transfer.clone()).await),
        }
    }
}

/// Longer than any flow of the run.
const PATIENCE: Duration = Duration::from_secs(120);

async fn ask<R: Request>(port: &Port, request: R) -> Outcome<R> {
    port.ask_within(request, PATIENCE).await
}

fn told<R: Request>(outcome: Outcome<R>) -> Result<String, String>
where
    R::Reply: std::fmt::Debug,
{
    match outcome {
        Ok(reply) => Ok(format!("{reply:?}")),
        Err(Stop::Refused(refusal)) => Ok(format!("refused: {refusal}")),
        Err(Stop::Fault(fault)) => Err(fault.to_string()),
    }
}

/// Records the run.
pub(super) fn record(size: Size, sabotage: Sabotage) -> Run {
    world::in_virtual_time(async {
        let storage = Recorder::recording(Files::new(), sabotage);
        let node = world::start(&storage, 0, 1, sabotage).expect("an empty storage can be used");
        let driver = Driver {
            node: node.clone(),
            storage: storage.clone(),
            deeds: RefCell::default(),
        };
        driver.drive(size).await;
        node.stop().await;
        Run {
            steps: storage.take(),
            deeds: driver.deeds.into_inner(),
        }
    })
}

/// How much happens in a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    /// How often the usual course of events is taken.
    pub(super) rounds: u64,
}

struct Driver {
    node: Arc<Node>,
    storage: Recorder,
    deeds: RefCell<Vec<Deed>>,
}

impl Driver {
    async fn drive(&self, size: Size) {
        self.post(1, 1, 1_000, 0, true).await;
        self.post(2, 2, 1_000, 0, false).await;
        for round in 0..size.rounds {
            self.round(round).await;
            if round == 0 {
                self.grow().await;
            }
            if round == 1 {
                self.forget().await;
            }
        }
        sleep(Duration::from_secs(2)).await;
    }

    /// The usual course of events.
    async fn round(&self, round: u64) {
        let base = 1000 * (round + 1);
        // One after another, and many in one commit; some are refused.
        for place in 0..4 {
            let amount = if place == 3 { -1_000_000 } else { 5 };
            self.post(base + place, 3, amount, 0, place % 2 == 0).await;
        }
        let many = (4..12).map(|place| {
            let amount = if place == 7 { -1_000_000 } else { 3 };
            self.post(base + place, 3 + place % 2, amount, 100, place % 2 == 0)
        });
        join_all(many).await;
        let courses = [
            Course::Straight,
            Course::Refused,
            Course::Slept,
            Course::Awaited,
            Course::ToldEarly,
        ];
        for (place, course) in (0..).zip(courses) {
            self.transfer(base + place, course, round.is_multiple_of(2) || place == 1)
                .await;
        }
        // A checkpoint comes between what follows and what was before.
        sleep(Duration::from_millis(1200)).await;
        let beside = (5..).zip(courses).map(|(place, course)| {
            let keyed = place % 2 == 0;
            self.transfer(base + place, course, keyed)
        });
        let posts = (12..16).map(|place| self.post(base + place, 4, 1, 0, true));
        futures_util::future::join(join_all(beside), join_all(posts)).await;
        self.post(base + 16, 4, POISON, 0, true).await;
        self.post(base + 17, 4, 2, 0, true).await;
        // Events are trimmed meanwhile.
        sleep(Duration::from_secs(11)).await;
    }

    /// So much at once that journals grow: by a record that no longer fits, and by one that is too
    /// large to fit at all.
    async fn grow(&self) {
        for place in 0..5 {
            self.post(100 + place, 5, 1, 300 << 10, place % 2 == 0)
                .await;
        }
        self.post(110, 5, 1, 3 << 20, true).await;
        self.post(111, 5, 1, 0, true).await;
    }

    /// So long a pause that replies are forgotten.
    async fn forget(&self) {
        let from = self.storage.len();
        for deed in self.deeds.borrow_mut().iter_mut() {
            deed.forgotten_at = deed.forgotten_at.min(from);
        }
        sleep(Duration::from_secs(3700)).await;
    }

    async fn post(&self, entry: u64, account: u64, amount: i64, memo: usize, keyed: bool) {
        let post = Post {
            entry,
            account,
            amount,
            token: 0,
            memo: vec![7; memo],
        };
        self.order(Order::Post(post), keyed.then(|| format!("post-{entry}")))
            .await;
    }

    async fn transfer(&self, number: u64, course: Course, keyed: bool) {
        let transfer = Transfer { number, course };
        let key = keyed.then(|| format!("transfer-{number}"));
        self.order(Order::Transfer(transfer), key).await;
    }

    async fn order(&self, what: Order, key: Option<String>) {
        let place = {
            let mut deeds = self.deeds.borrow_mut();
            deeds.push(Deed {
                what: what.clone(),
                key: key.clone(),
                sent_at: self.storage.len(),
                told: None,
                forgotten_at: usize::MAX,
            });
            deeds.len() - 1
        };
        let told = what.ask(&self.node.open_port(), key.as_deref()).await;
        let told = told.unwrap_or_else(|fault| panic!("{what:?} meets a fault: {fault}"));
        self.deeds.borrow_mut()[place].told = Some((self.storage.len(), told));
    }
}
