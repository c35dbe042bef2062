//! What the public interface cannot do: break the protocol, and be killed.

mod flood;
mod hostile;
mod hostile_streams;
mod killed;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rustls::{pki_types::UnixTime, time_provider::TimeProvider};

use crate::{
    Authority, Call, CallFuture, Endpoint, Incoming, MessageSchema, Names, Options, ServeFuture,
    Service,
};

/// A clock that tests set, in seconds since 1970.
#[derive(Debug)]
pub(crate) struct FakeTime(AtomicU64);

impl FakeTime {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    pub(crate) fn add(&self, seconds: i64) {
        let add = |now: u64| now.checked_add_signed(seconds);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .unwrap();
    }
}

impl TimeProvider for FakeTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

struct Echo;

impl Service for Echo {
    fn serve(&self, request: Incoming) -> ServeFuture {
        Box::pin(std::future::ready(request.body))
    }
}

/// Every process is at this address.
struct At(SocketAddr);

impl Names for At {
    fn resolve(&self, _: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        Ok(vec![self.0])
    }
}

fn options(process: &str, folder: &Path) -> Options {
    let mut options = Options::new("boutique", process, Authority::open(folder).unwrap());
    options.modules = vec![process.to_owned()];
    options.messages = vec![MessageSchema {
        name: "orders.Place".into(),
        fingerprint: 1,
    }];
    options
}

fn listening(folder: &Path) -> Options {
    Options {
        listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
        ..options("orders", folder)
    }
}

fn start(options: Options, address: SocketAddr) -> Endpoint {
    Endpoint::start(options, Arc::new(Echo), Arc::new(At(address))).unwrap()
}

fn nowhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

fn call(endpoint: &Endpoint, body: &[u8]) -> CallFuture {
    endpoint.call(
        "orders",
        Call {
            caller: "shop".into(),
            message: "orders.Place".into(),
            message_id: 1,
            partition: 0,
            priority: 2,
            baggage: Vec::new(),
            deadline: Instant::now() + Duration::from_secs(30),
            body: body.to_vec(),
        },
    )
}
