//! Visitors who wait for their answers, and visitors who come whether or not anybody has time.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use hdrhistogram::Histogram;
use tokio::{
    task::{JoinSet, spawn_local},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};

use super::mix::{Errand, Mix};
use crate::http::{Answer, Connection};

/// An answer after this is none: whoever waited has gone.
pub(crate) const IN_TIME: Duration = Duration::from_secs(1);

/// How long an answer is waited for, so that what is late is told from what is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections may be open at once. An arrival that finds none free is not served.
const CONNECTIONS_MAX: usize = 1_000;

/// How long a connection may lie idle before it is not used again: servers close theirs (ours
/// after 5 s), and a request would meet a closing one.
const IDLE_MAX: Duration = Duration::from_secs(3);

/// How often it is looked who has arrived.
const TICK: Duration = Duration::from_millis(1);

/// How long a client who found the shop broken stays away.
const AWAY: Duration = Duration::from_millis(10);

/// What became of the requests of a load.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) offered: u64,
    /// Of what was served in time, from its arrival, in microseconds.
    pub(crate) took_us: Histogram<u64>,
    /// Served, but too late.
    pub(crate) late: u64,
    /// Told to come again.
    pub(crate) refused: u64,
    /// Answered with anything else, or not at all.
    pub(crate) failed: u64,
    /// Found no free connection.
    pub(crate) turned_away: u64,
}

impl Seen {
    fn new() -> Self {
        let most = u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
        Self {
            offered: 0,
            took_us: Histogram::new_with_bounds(1, most, 3).expect("the bounds are valid"),
            late: 0,
            refused: 0,
            failed: 0,
            turned_away: 0,
        }
    }

    pub(crate) fn served(&self) -> u64 {
        self.took_us.len()
    }

    fn note(&mut self, errand: &Errand, answer: Option<Answer>, took: Duration) {
        match answer.map(|answer| answer.status) {
            Some(503) => self.refused += 1,
            Some(status) if errand.kind.is_served_by(status) && took <= IN_TIME => {
                let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                self.took_us.saturating_record(us.max(1));
            }
            Some(status) if errand.kind.is_served_by(status) => self.late += 1,
            _ => self.failed += 1,
        }
    }
}

/// Everybody who may visit a shop. Inside a `LocalSet`, such as an actix system.
#[derive(Clone)]
pub(crate) struct Visitors(Rc<Shared>);

struct Shared {
    server: SocketAddr,
    mix: RefCell<Mix>,
    pool: RefCell<Pool>,
    seen: RefCell<Seen>,
}

/// Connections that are not in use, and how many there are besides.
#[derive(Default)]
struct Pool {
    idle: Vec<(Connection, Instant)>,
    in_use: usize,
}

/// A connection to be used.
enum Way {
    Kept(Connection),
    ToOpen,
}

impl Pool {
    /// The one that was used last, so that those nobody needs grow old.
    fn take(&mut self, now: Instant) -> Option<Way> {
        let way = match self.idle.pop() {
            Some((connection, since)) if now - since < IDLE_MAX => Way::Kept(connection),
            Some(_) => {
                // All others are older still.
                self.idle.clear();
                Way::ToOpen
            }
            None if self.in_use < CONNECTIONS_MAX => Way::ToOpen,
            None => return None,
        };
        self.in_use += 1;
        Some(way)
    }

    fn give_back(&mut self, connection: Option<Connection>, now: Instant) {
        self.in_use -= 1;
        self.idle.extend(connection.map(|kept| (kept, now)));
    }
}

impl Visitors {
    pub(crate) fn new(server: SocketAddr) -> Self {
        let mix = Mix::new(&server.to_string(), Rng::new());
        Self(Rc::new(Shared {
            server,
            mix: RefCell::new(mix),
            pool: RefCell::default(),
            seen: RefCell::new(Seen::new()),
        }))
    }

    /// So many at once, each of whom asks again when it is answered.
    pub(crate) async fn closed(&self, clients: u16, duration: Duration) -> Seen {
        self.0.seen.replace(Seen::new());
        let end = Instant::now() + duration;
        let mut asking = JoinSet::new();
        for _ in 0..clients {
            let visitors = self.clone();
            asking.spawn_local(async move {
                while Instant::now() < end {
                    let now = Instant::now();
                    let way = visitors.0.pool.borrow_mut().take(now);
                    let way = way.expect("there are fewer clients than connections");
                    if !visitors.ask(way, now).await {
                        sleep(AWAY).await;
                    }
                }
            });
        }
        asking.join_all().await;
        self.0.seen.replace(Seen::new())
    }

    /// So many per second, whatever becomes of those before.
    pub(crate) async fn open(&self, per_second: f64, duration: Duration) -> Seen {
        self.0.seen.replace(Seen::new());
        let all = (per_second * duration.as_secs_f64()) as u64;
        let begun = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut arrived = 0;
        while arrived < all {
            let now = tick.tick().await;
            let due = ((now - begun).as_secs_f64() * per_second) as u64;
            for number in arrived..due.min(all) {
                self.arrive(begun + Duration::from_secs_f64(number as f64 / per_second));
            }
            arrived = arrived.max(due);
        }
        while self.0.pool.borrow().in_use > 0 {
            sleep(TICK).await;
        }
        self.0.seen.replace(Seen::new())
    }

    fn arrive(&self, arrived: Instant) {
        let way = self.0.pool.borrow_mut().take(Instant::now());
        let Some(way) = way else {
            let mut seen = self.0.seen.borrow_mut();
            seen.offered += 1;
            seen.turned_away += 1;
            return;
        };
        let visitors = self.clone();
        spawn_local(async move { visitors.ask(way, arrived).await });
    }

    /// Asks for one thing. True if there was any answer.
    async fn ask(&self, way: Way, arrived: Instant) -> bool {
        let errand = self.0.mix.borrow_mut().draw();
        let asked = timeout(PATIENCE, self.exchange(way, &errand)).await;
        let (connection, answer) = match asked {
            Ok(Ok((connection, answer))) => (Some(connection), Some(answer)),
            Ok(Err(_)) | Err(_) => (None, None),
        };
        let now = Instant::now();
        if let Some(answer) = answer {
            self.0.mix.borrow_mut().answered(&errand, answer.status);
        }
        let kept = connection.filter(|_| answer.is_some_and(|answer| !answer.closes));
        self.0.pool.borrow_mut().give_back(kept, now);
        let mut seen = self.0.seen.borrow_mut();
        seen.offered += 1;
        seen.note(&errand, answer, now - arrived);
        answer.is_some()
    }

    /// As browsers do, what was sent on a connection that was closed meanwhile is sent again on a
    /// new one, if asking twice does no harm.
    async fn exchange(&self, way: Way, errand: &Errand) -> io::Result<(Connection, Answer)> {
        if let Way::Kept(mut connection) = way {
            match connection.exchange(&errand.request).await {
                Ok(answer) => return Ok((connection, answer)),
                Err(_) if errand.kind.is_safe() => {}
                Err(error) => return Err(error),
            }
        }
        let mut connection = Connection::open(self.0.server).await?;
        let answer = connection.exchange(&errand.request).await?;
        Ok((connection, answer))
    }
}
