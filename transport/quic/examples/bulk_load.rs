//! What a large transfer costs the small calls beside it.
//!
//! `cargo run --release -p modulith-quic --example bulk_load [rounds] [MiB]` starts itself a second
//! time as the server. In turns, so that what else the machine does hits both alike, it measures
//! calls of 64 bytes on a quiet connection, and on one that carries a streamed answer of 1 GiB at
//! the same time; with 1 and with 16 calls in flight.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::iter};
use hdrhistogram::Histogram;
use modulith_quic::{
    Authority, Call, Endpoint, Incoming, MessageSchema, Names, Options, ServeFuture, ServeStream,
    Service,
};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

/// How long the items of the transfer are.
const ITEM_BYTES: usize = 64 << 10;
/// How long small calls are measured on the quiet connection in one round.
const QUIET: Duration = Duration::from_secs(2);

/// Echoes small calls; streams as many items as it is asked for.
struct Load;

impl Service for Load {
    fn serve(&self, request: Incoming) -> ServeFuture {
        Box::pin(std::future::ready(request.body))
    }

    fn stream(&self, request: Incoming) -> Option<ServeStream> {
        let items = u64::from_le_bytes(request.body.try_into().ok()?);
        Some(Box::pin(iter((0..items).map(|_| vec![0; ITEM_BYTES]))))
    }
}

struct Fixed(Option<SocketAddr>);

impl Names for Fixed {
    fn resolve(&self, _: &str, _: &str) -> Result<Vec<SocketAddr>, String> {
        Ok(self.0.into_iter().collect())
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, folder] = &arguments[..]
        && flag == "--serve"
    {
        return serve(Path::new(folder));
    }
    let mut numbers = arguments.iter().map(|argument| argument.parse::<u64>());
    let rounds = numbers.next().unwrap_or(Ok(5))?;
    let bytes = numbers.next().unwrap_or(Ok(1024))? << 20;

    let folder = tempfile::tempdir()?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("--serve")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("the server has no output")?).read_line(&mut line)?;
    let names = Fixed(Some(line.trim().parse()?));
    let client = start("client", folder.path(), None, names)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("64 bytes each way, beside a stream of {} MiB", bytes >> 20);
    println!("in flight  transfer   calls/s   p50 µs   p99 µs    MiB/s");
    for in_flight in [1, 16] {
        runtime.block_on(compare(&client, in_flight, rounds, bytes))?;
    }
    client.close(Duration::from_secs(1));
    // The end of its input ends the server.
    drop(server.stdin.take());
    server.wait()?;
    Ok(())
}

fn serve(folder: &Path) -> Result<(), Failure> {
    let listen = (Ipv4Addr::LOCALHOST, 0).into();
    let endpoint = start("server", folder, Some(listen), Fixed(None))?;
    println!(
        "{}",
        endpoint.address().ok_or("the server does not listen")?
    );
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    endpoint.close(Duration::from_secs(1));
    Ok(())
}

fn start(
    process: &str,
    folder: &Path,
    listen: Option<SocketAddr>,
    names: Fixed,
) -> Result<Arc<Endpoint>, Failure> {
    let mut options = Options::new("load", process, Authority::open(folder)?);
    options.modules = vec![process.to_owned()];
    options.messages = vec![MessageSchema {
        name: "server.Load".to_owned(),
        fingerprint: 1,
    }];
    options.listen = listen;
    let endpoint = Endpoint::start(options, Arc::new(Load), Arc::new(names))?;
    Ok(Arc::new(endpoint))
}

/// Small calls alone and beside the transfer, in turns.
async fn compare(
    client: &Arc<Endpoint>,
    in_flight: usize,
    rounds: u64,
    bytes: u64,
) -> Result<(), Failure> {
    let (mut quiet, mut busy) = (Times::new()?, Times::new()?);
    let mut transferred = Duration::ZERO;
    quiet_round(client, in_flight, &mut Times::new()?).await?;
    for _ in 0..rounds {
        quiet_round(client, in_flight, &mut quiet).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let transfer = transfer(Arc::clone(client), bytes, Arc::clone(&stop));
        let transfer = tokio::spawn(transfer);
        busy.add(load(client, in_flight, &stop).await?, started.elapsed())?;
        transferred += transfer.await??;
    }
    let megabytes = (rounds * bytes) as f64 / f64::from(1 << 20) / transferred.as_secs_f64();
    println!("{in_flight:9}        no {quiet}");
    println!("{in_flight:9}       yes {busy} {megabytes:8.0}");
    let ratio = busy.quantile(0.99) / quiet.quantile(0.99);
    println!("p99 with the transfer is {ratio:.2} times that without");
    Ok(())
}

async fn quiet_round(
    client: &Arc<Endpoint>,
    in_flight: usize,
    times: &mut Times,
) -> Result<(), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = Arc::clone(&stop);
    let timer = tokio::spawn(async move {
        tokio::time::sleep(QUIET).await;
        stopper.store(true, Relaxed);
    });
    times.add(load(client, in_flight, &stop).await?, QUIET)?;
    Ok(timer.await?)
}

/// Takes all items; how long that took.
async fn transfer(
    client: Arc<Endpoint>,
    bytes: u64,
    stop: Arc<AtomicBool>,
) -> Result<Duration, Failure> {
    let started = Instant::now();
    let wanted = bytes / ITEM_BYTES as u64;
    let mut items = client.stream("server", call(wanted.to_le_bytes().to_vec()));
    let mut count = 0;
    while let Some(item) = items.next().await {
        item?;
        count += 1;
    }
    stop.store(true, Relaxed);
    if count != wanted {
        return Err(format!("{count} items came, {wanted} were asked for").into());
    }
    Ok(started.elapsed())
}

/// Keeps that many calls in flight; how long each took, in nanoseconds.
async fn load(
    client: &Arc<Endpoint>,
    in_flight: usize,
    stop: &Arc<AtomicBool>,
) -> Result<Histogram<u64>, Failure> {
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        callers.spawn(call_until(Arc::clone(client), Arc::clone(stop)));
    }
    let mut times = Histogram::new(3)?;
    while let Some(caller) = callers.join_next().await {
        times.add(caller??)?;
    }
    Ok(times)
}

async fn call_until(
    client: Arc<Endpoint>,
    stop: Arc<AtomicBool>,
) -> Result<Histogram<u64>, Failure> {
    let server = client.destination("server", "server");
    let mut times = Histogram::new(3)?;
    while !stop.load(Relaxed) {
        let started = Instant::now();
        server.call(call(vec![0; 64])).await?;
        times.record(started.elapsed().as_nanos() as u64)?;
    }
    Ok(times)
}

fn call(body: Vec<u8>) -> Call {
    Call {
        caller: "client".into(),
        message: "server.Load".into(),
        message_id: 0,
        partition: 0,
        priority: 2,
        baggage: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(5),
        body,
    }
}

/// What small calls took, and in what time they were made.
struct Times {
    nanoseconds: Histogram<u64>,
    within: Duration,
}

impl Times {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            nanoseconds: Histogram::new(3)?,
            within: Duration::ZERO,
        })
    }

    fn add(&mut self, more: Histogram<u64>, within: Duration) -> Result<(), Failure> {
        self.nanoseconds.add(more)?;
        self.within += within;
        Ok(())
    }

    /// In microseconds.
    fn quantile(&self, at: f64) -> f64 {
        self.nanoseconds.value_at_quantile(at) as f64 / 1e3
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per_second = self.nanoseconds.len() as f64 / self.within.as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|at| self.quantile(at));
        write!(f, "{per_second:9.0} {p50:8.1} {p99:8.1}")
    }
}
