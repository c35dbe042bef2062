//! A network link that can be as bad as a real one: a UDP proxy between a caller and a process.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::net::UdpSocket;

/// The largest datagram that gets through, in bytes: as on an Ethernet, so that MTU discovery has
/// something to find out.
const DATAGRAM_BYTES_MAX: usize = 1_472;

/// What befalls a datagram.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// The share that is lost.
    pub(crate) loss: f64,
    /// How long each is under way, one way.
    pub(crate) delay: Duration,
    /// The share that takes twice as long as the others, and is overtaken.
    pub(crate) overtaken: f64,
}

/// A link to one process.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    held_ms: Arc<AtomicU64>,
}

impl Link {
    /// Opens a link to an address.
    pub(crate) async fn to(target: SocketAddr, weather: Weather) -> Self {
        let near = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let link = Self {
            address: near.local_addr().unwrap(),
            is_cut: Arc::default(),
            held_ms: Arc::default(),
        };
        let sky = Sky {
            weather,
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(7))),
            is_cut: link.is_cut.clone(),
            held_ms: link.held_ms.clone(),
        };
        tokio::spawn(carry(near, target, sky));
        link
    }

    /// Lets nothing through in either direction, or everything again.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// Holds whatever comes from now on back for so much longer, as a process that hangs does.
    pub(crate) fn hold(&self, longer: Duration) {
        let millis = u64::try_from(longer.as_millis()).unwrap();
        self.held_ms.store(millis, Ordering::SeqCst);
    }
}

#[derive(Clone)]
struct Sky {
    weather: Weather,
    random: Arc<Mutex<fastrand::Rng>>,
    is_cut: Arc<AtomicBool>,
    held_ms: Arc<AtomicU64>,
}

/// Carries what callers send, and back to each what the process answers it.
async fn carry(near: Arc<UdpSocket>, target: SocketAddr, sky: Sky) {
    let mut far: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut datagram = vec![0; 1 << 16];
    loop {
        // Somebody who is gone is no concern of the others.
        let Ok((bytes, from)) = near.recv_from(&mut datagram).await else {
            continue;
        };
        let socket = match far.entry(from) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(new) => {
                let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
                socket.connect(target).await.unwrap();
                tokio::spawn(back(socket.clone(), near.clone(), from, sky.clone()));
                new.insert(socket).clone()
            }
        };
        sky.pass(datagram[..bytes].to_vec(), async move |datagram| {
            _ = socket.send(&datagram).await;
        });
    }
}

async fn back(far: Arc<UdpSocket>, near: Arc<UdpSocket>, to: SocketAddr, sky: Sky) {
    let mut datagram = vec![0; 1 << 16];
    loop {
        let Ok(bytes) = far.recv(&mut datagram).await else {
            continue;
        };
        let near = near.clone();
        sky.pass(datagram[..bytes].to_vec(), async move |datagram| {
            _ = near.send_to(&datagram, to).await;
        });
    }
}

impl Sky {
    /// Lets a datagram through, sooner or later or never.
    fn pass<F>(&self, datagram: Vec<u8>, send: impl FnOnce(Vec<u8>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send,
    {
        let Weather {
            loss,
            delay,
            overtaken,
        } = self.weather;
        let [lost, late] = {
            let mut random = self.random.lock().unwrap();
            [random.f64() < loss, random.f64() < overtaken]
        };
        if lost || datagram.len() > DATAGRAM_BYTES_MAX || self.is_cut.load(Ordering::SeqCst) {
            return;
        }
        let delay = if late { delay * 2 } else { delay };
        let delay = delay + Duration::from_millis(self.held_ms.load(Ordering::SeqCst));
        tokio::spawn(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            send(datagram).await;
        });
    }
}
