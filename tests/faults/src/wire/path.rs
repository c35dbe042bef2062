//! The network between processes: for each of them and each other one a UDP proxy on loopback.
//!
//! A process is told the proxies' addresses for its neighbours'. Who is at the other end it knows
//! by certificate, so a proxy can do no more than a network can: it loses, delays and repeats
//! what it cannot read.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::{net::UdpSocket, time::sleep};

use super::{processes::NAMES, weather::Rates};

/// The largest datagram that gets through, in bytes, as on an Ethernet: so that a frame is often
/// several datagrams, and may end half-way. Loopback would carry 64 KiB.
const DATAGRAM_BYTES_MAX: usize = 1_472;

/// What processes send to see whether anybody listens at all; no QUIC packet is as short.
const PROBE_BYTES_MAX: usize = 1;

/// How much later than the first a duplicate may arrive, in milliseconds.
const DUPLICATE_DELAY_MAX_MS: u64 = 200;

/// All paths, and what befalls what they carry.
pub(super) struct Network {
    paths: Vec<Arc<Path>>,
    sky: Arc<Sky>,
}

/// The way from one process to another. Replies come back on it as well.
pub(super) struct Path {
    from: &'static str,
    to: &'static str,
    near: UdpSocket,
    address: SocketAddr,
    far: Mutex<Option<SocketAddr>>,
}

/// What is the same for all paths.
struct Sky {
    state: Mutex<State>,
    carried: AtomicU64,
    lost: AtomicU64,
    delayed: AtomicU64,
    duplicated: AtomicU64,
    overtaken: AtomicU64,
    outages: AtomicU64,
    lost_in_outages: AtomicU64,
}

struct State {
    rates: Option<Rates>,
    rng: Rng,
    /// The directions, from one process to another, in which nothing goes through.
    cut: Vec<(&'static str, &'static str)>,
}

/// One direction of a path.
struct Way {
    sky: Arc<Sky>,
    direction: (&'static str, &'static str),
    sent: AtomicU64,
    /// The number of the latest datagram that arrived.
    arrived: AtomicU64,
}

impl Network {
    /// Opens a path from every process to every other one.
    pub(super) async fn open(seed: u64) -> io::Result<Self> {
        let state = State {
            rates: None,
            rng: Rng::with_seed(seed),
            cut: Vec::new(),
        };
        let sky = Arc::new(Sky {
            state: Mutex::new(state),
            carried: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            overtaken: AtomicU64::new(0),
            outages: AtomicU64::new(0),
            lost_in_outages: AtomicU64::new(0),
        });
        let mut paths = Vec::new();
        for from in NAMES {
            for to in NAMES.into_iter().filter(|to| *to != from) {
                let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let path = Arc::new(Path {
                    from,
                    to,
                    address: near.local_addr()?,
                    near,
                    far: Mutex::new(None),
                });
                tokio::spawn(carry(path.clone(), sky.clone()));
                paths.push(path);
            }
        }
        Ok(Self { paths, sky })
    }

    /// Where a process finds another one; none for itself.
    pub(super) fn address(&self, from: &str, to: &str) -> Option<SocketAddr> {
        let path = |path: &&Arc<Path>| path.from == from && path.to == to;
        self.paths.iter().find(path).map(|path| path.address)
    }

    /// Tells where a process really is.
    pub(super) fn lead_to(&self, process: &str, address: SocketAddr) {
        for path in self.paths.iter().filter(|path| path.to == process) {
            *locked(&path.far) = Some(address);
        }
    }

    /// From now on things go wrong.
    pub(super) fn roughen(&self, rates: Rates) {
        locked(&self.sky.state).rates = Some(rates);
    }

    /// From now on everything goes well.
    pub(super) fn heal(&self) {
        let mut state = locked(&self.sky.state);
        state.rates = None;
        state.cut.clear();
    }

    /// Lets nothing through in a direction, or everything again.
    pub(super) fn cut(&self, direction: (&'static str, &'static str), is_cut: bool) {
        let mut state = locked(&self.sky.state);
        state.cut.retain(|cut| *cut != direction);
        if is_cut {
            state.cut.push(direction);
            count(&self.sky.outages);
        }
    }

    pub(super) fn carried(&self) -> u64 {
        self.sky.carried.load(Ordering::Relaxed)
    }

    /// What was done wrong, by kind.
    pub(super) fn faults(&self) -> BTreeMap<&'static str, u64> {
        let sky = &self.sky;
        let kinds = [
            ("datagrams lost", &sky.lost),
            ("datagrams delayed", &sky.delayed),
            ("datagrams duplicated", &sky.duplicated),
            ("datagrams overtaken", &sky.overtaken),
            ("directions cut for a while", &sky.outages),
            ("datagrams into a cut direction", &sky.lost_in_outages),
        ];
        let counted = |(kind, count): (_, &AtomicU64)| (kind, count.load(Ordering::Relaxed));
        kinds.into_iter().map(counted).collect()
    }
}

/// Carries what arrives at the near end to the far end, with a socket for each sender, and replies
/// back to that sender.
async fn carry(path: Arc<Path>, sky: Arc<Sky>) {
    let there = Arc::new(Way::new(&sky, (path.from, path.to)));
    let mut senders: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((length, sender)) = path.near.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        let far = *locked(&path.far);
        let Some(far) = far.filter(|_| length > PROBE_BYTES_MAX) else {
            continue;
        };
        let socket = match senders.get(&sender) {
            Some(socket) => socket.clone(),
            None => {
                let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await else {
                    continue;
                };
                let socket = Arc::new(socket);
                senders.insert(sender, socket.clone());
                let back = Arc::new(Way::new(&sky, (path.to, path.from)));
                tokio::spawn(carry_back(path.clone(), socket.clone(), sender, back));
                socket
            }
        };
        for delay in there.fates(length) {
            let (way, socket) = (there.clone(), socket.clone());
            let (datagram, number) = (buffer[..length].to_vec(), way.number());
            let arrive = async move {
                if way.arrives(delay, number).await {
                    // A process that is gone takes nothing, as on any network.
                    _ = socket.send_to(&datagram, far).await;
                }
            };
            begin(delay, arrive).await;
        }
    }
}

async fn carry_back(path: Arc<Path>, socket: Arc<UdpSocket>, sender: SocketAddr, way: Arc<Way>) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        for delay in way.fates(length) {
            let (way, path) = (way.clone(), path.clone());
            let (datagram, number) = (buffer[..length].to_vec(), way.number());
            let arrive = async move {
                if way.arrives(delay, number).await {
                    _ = path.near.send_to(&datagram, sender).await;
                }
            };
            begin(delay, arrive).await;
        }
    }
}

/// Sends what is not delayed now, so that it stays in order, and the rest on the side.
async fn begin(delay: Duration, arrive: impl Future<Output = ()> + Send + 'static) {
    if delay.is_zero() {
        arrive.await;
    } else {
        tokio::spawn(arrive);
    }
}

impl Way {
    fn new(sky: &Arc<Sky>, direction: (&'static str, &'static str)) -> Self {
        Self {
            sky: sky.clone(),
            direction,
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
        }
    }

    /// How often a datagram arrives, and each time after which delay.
    fn fates(&self, length: usize) -> Vec<Duration> {
        count(&self.sky.carried);
        if length > DATAGRAM_BYTES_MAX {
            return Vec::new();
        }
        let mut state = locked(&self.sky.state);
        if state.cut.contains(&self.direction) {
            count(&self.sky.lost_in_outages);
            return Vec::new();
        }
        let Some(rates) = state.rates else {
            return vec![Duration::ZERO];
        };
        let rng = &mut state.rng;
        let mut chance = |thousandths, counter| {
            let happens = rng.u32(..1000) < thousandths;
            if happens {
                count(counter);
            }
            happens
        };
        if chance(rates.lost, &self.sky.lost) {
            return Vec::new();
        }
        let is_delayed = chance(rates.delayed, &self.sky.delayed);
        let is_duplicated = chance(rates.duplicated, &self.sky.duplicated);
        let mut fates = Vec::new();
        fates.push(Duration::from_millis(if is_delayed {
            rng.u64(1..=rates.delay_max_ms)
        } else {
            0
        }));
        if is_duplicated {
            fates.push(Duration::from_millis(rng.u64(..=DUPLICATE_DELAY_MAX_MS)));
        }
        fates
    }

    fn number(&self) -> u64 {
        self.sent.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until a datagram is there. False when the way was cut meanwhile.
    async fn arrives(&self, delay: Duration, number: u64) -> bool {
        if !delay.is_zero() {
            sleep(delay).await;
            if locked(&self.sky.state).cut.contains(&self.direction) {
                count(&self.sky.lost_in_outages);
                return false;
            }
        }
        if self.arrived.fetch_max(number, Ordering::Relaxed) > number {
            count(&self.sky.overtaken);
        }
        true
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
