//! How many calls per second two processes exchange, and how long one takes.
//!
//! `cargo run --release -p modulith-quic --example echo_load [body bytes] [seconds] [spin µs]`
//! starts itself a second time as the server, and calls it with 1, 16, 64 and 256 calls in flight,
//! from a thread with connections of its own and from one without.

use std::{
    error::Error,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use modulith_quic::{
    Authority, Call, Endpoint, Incoming, MessageSchema, Names, Options, ServeFuture, Service,
};
use tokio::task::JoinSet;

type Failure = Box<dyn Error + Send + Sync>;

struct Echo;

impl Service for Echo {
    fn serve(&self, request: Incoming) -> ServeFuture {
        Box::pin(std::future::ready(request.body))
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
    let body_bytes = numbers.next().unwrap_or(Ok(64))? as usize;
    let seconds = numbers.next().unwrap_or(Ok(3))?;

    let folder = tempfile::tempdir()?;
    let mut server = Command::new(std::env::current_exe()?)
        .arg("--serve")
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    BufReader::new(server.stdout.take().ok_or("the server has no output")?).read_line(&mut line)?;
    let client = start(
        "client",
        folder.path(),
        None,
        Fixed(Some(line.trim().parse()?)),
    )?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    println!("{body_bytes} bytes each way, {seconds} s each");
    for attached in [false, true] {
        if attached {
            runtime.block_on(async { client.attach() })?;
        }
        println!("attached: {attached}");
        println!("in flight   calls/s   p50 µs   p99 µs");
        for in_flight in [1, 16, 64, 256] {
            let span = Duration::from_secs(seconds);
            runtime.block_on(load(&client, in_flight, body_bytes, span / 4))?;
            let times = runtime.block_on(load(&client, in_flight, body_bytes, span))?;
            let per_second = times.len() as f64 / span.as_secs_f64();
            let [p50, p99] = [0.5, 0.99].map(|at| times.value_at_quantile(at) as f64 / 1e3);
            println!("{in_flight:9} {per_second:9.0} {p50:8.1} {p99:8.1}");
        }
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
        name: "server.Echo".to_owned(),
        fingerprint: 1,
    }];
    options.listen = listen;
    Ok(Arc::new(Endpoint::start(
        options,
        Arc::new(Echo),
        Arc::new(names),
    )?))
}

/// Keeps that many calls in flight; how long each took, in nanoseconds.
async fn load(
    endpoint: &Arc<Endpoint>,
    in_flight: usize,
    body_bytes: usize,
    span: Duration,
) -> Result<Histogram<u64>, Failure> {
    let until = Instant::now() + span;
    let mut callers = JoinSet::new();
    for _ in 0..in_flight {
        callers.spawn(call_until(Arc::clone(endpoint), body_bytes, until));
    }
    let mut times = Histogram::new(3)?;
    while let Some(caller) = callers.join_next().await {
        times.add(caller??)?;
    }
    Ok(times)
}

async fn call_until(
    endpoint: Arc<Endpoint>,
    body_bytes: usize,
    until: Instant,
) -> Result<Histogram<u64>, Failure> {
    let server = endpoint.destination("server", "server");
    let (caller, message): (Arc<str>, Arc<str>) = ("client".into(), "server.Echo".into());
    let mut times = Histogram::new(3)?;
    loop {
        let started = Instant::now();
        if started >= until {
            return Ok(times);
        }
        let call = Call {
            caller: Arc::clone(&caller),
            message: Arc::clone(&message),
            message_id: 0,
            partition: 0,
            priority: 2,
            baggage: Vec::new(),
            deadline: started + Duration::from_secs(5),
            body: vec![0; body_bytes],
        };
        server.call(call).await?;
        times.record(started.elapsed().as_nanos() as u64)?;
    }
}
