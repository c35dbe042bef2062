//! The side that asks: a network for a real node, with one connection on the callers' own thread.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use futures_util::future::BoxFuture;
use modulith_contract::Fault;
use modulith_kernel::{Call, Module, Network, Node};
use modulith_wire::{Ask, Event, Head, Local, Role, Session};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    sync::{mpsc, oneshot},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use super::super::echo::{Asker, Echo};
use super::super::identity::{Leaf, Pem, SERVER_NAME};
use super::super::ours;
use super::{Carrier, FRAMES_PER_TURN, Lane, WHO, certified, local, violated};
use crate::error::Error;
use crate::load::Contender;
use crate::usage::Processes;

/// How many calls may wait to be sent, as over QUIC.
const CALLS_WAITING_MAX: usize = 16_384;

/// How many calls are taken from the queue at once.
const BATCH: usize = 256;

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Path(PathBuf),
}

type Outcome = Result<Vec<u8>, Fault>;

/// A call on its way to the connection.
struct Pending {
    call: Call,
    answer: oneshot::Sender<Outcome>,
}

/// The way out of a node: to whatever connection the callers opened last.
#[derive(Default)]
struct Way(Mutex<Option<mpsc::Sender<Pending>>>);

impl Way {
    fn connection(&self) -> MutexGuard<'_, Option<mpsc::Sender<Pending>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network for Way {
    fn call(&self, call: Call) -> BoxFuture<'static, Outcome> {
        let (answer, reply) = oneshot::channel();
        let module = call.module().to_owned();
        if let Some(connection) = &*self.connection() {
            // What is not taken drops the sender, and so is unreachable.
            _ = connection.try_send(Pending { call, answer });
        }
        Box::pin(async move {
            reply.await.unwrap_or_else(|_| {
                let reason = "the connection is gone, or too much waits for it".to_owned();
                Err(Fault::Unreachable { module, reason })
            })
        })
    }
}

/// An established connection.
struct Dialled<S> {
    lane: Lane<S>,
    session: Session<oneshot::Sender<Outcome>>,
    calls: mpsc::Receiver<Pending>,
    batch: Vec<Pending>,
    /// Zero of the clock that requests are stamped with.
    begun: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Dialled<S> {
    /// Introduces this side, and waits until the other agrees.
    async fn agree(
        stream: S,
        local: Arc<Local>,
        calls: mpsc::Receiver<Pending>,
    ) -> io::Result<Self> {
        let mut lane = Lane::new(stream);
        let server = certified(ours::SERVER, Echo::NAME);
        let mut session = Session::new(Role::Dialler, local, server, &mut lane.out);
        poll_fn(|cx| lane.poll_flush(cx)).await?;
        let frame = poll_fn(|cx| lane.poll_frame(cx)).await?;
        let frame = frame.ok_or(io::ErrorKind::UnexpectedEof)?;
        match session.receive(frame, &mut lane.out).map_err(violated)? {
            Some(Event::Established) => Ok(Self {
                lane,
                session,
                calls,
                batch: Vec::with_capacity(BATCH),
                begun: Instant::now(),
            }),
            other => Err(violated(format!("expected agreement, found {other:?}"))),
        }
    }

    /// Sends what waits and takes what arrives, until the connection ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut is_idle = false;
        for _ in 0..FRAMES_PER_TURN {
            match self.lane.poll_frame(cx)? {
                Poll::Ready(Some(frame)) => {
                    let event = self.session.receive(frame, &mut self.lane.out);
                    answer(event.map_err(violated)?);
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    is_idle = true;
                    break;
                }
            }
        }
        if !is_idle {
            cx.waker().wake_by_ref();
        }
        while self.session.has_room() && !self.lane.is_full() {
            match self.calls.poll_recv_many(cx, &mut self.batch, BATCH) {
                // Nobody can call any more.
                Poll::Ready(0) => return Poll::Ready(Ok(())),
                Poll::Ready(_) => self.send(),
                Poll::Pending => break,
            }
        }
        let was_full = self.lane.is_full();
        ready!(self.lane.poll_flush(cx))?;
        if was_full {
            // Calls that wait were not looked at.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn send(&mut self) {
        let now = Instant::now();
        for Pending { call, answer } in self.batch.drain(..) {
            let Some(target) = self.session.target(&call.message) else {
                let message = call.message.to_string();
                _ = answer.send(Err(Fault::Mismatch { message }));
                continue;
            };
            let left = call.deadline.into_std().saturating_duration_since(now);
            if left.is_zero() {
                _ = answer.send(Err(Fault::Late));
                continue;
            }
            let millis = |time: std::time::Duration| u32::try_from(time.as_millis());
            let head = Head {
                deadline_ms: millis(left).map_or(u32::MAX, |ms| ms.saturating_add(1)),
                sent_ms: millis(now - self.begun).unwrap_or(u32::MAX),
                // There is one module.
                caller: 0,
                target,
                partition: call.partition,
                priority: call.carried.priority as u8,
                message_id: call.id,
                wants_stream: false,
            };
            let ask = Ask {
                head,
                baggage: &[],
                body: &call.body,
            };
            // What cannot be sent drops the sender, and so is unreachable.
            _ = self.session.ask(ask, answer, &mut self.lane.out);
        }
    }
}

fn answer(event: Option<Event<oneshot::Sender<Outcome>>>) {
    match event {
        // Whoever asked may be gone.
        Some(Event::Reply { call, body }) => _ = call.send(Ok(body)),
        // Drops the sender; any failure ends the run.
        Some(Event::Failed { .. }) | None => {}
        // The session yields the others only before it is established, or to an acceptor.
        Some(_) => {}
    }
}

/// Asks through the port of a node, over one connection.
#[derive(Clone)]
pub(crate) struct Asks {
    folder: PathBuf,
    carrier: Carrier,
    server: Address,
    way: Arc<Way>,
    node: Arc<Node>,
    local: Arc<Local>,
    text: Arc<str>,
    processes: Processes,
}

impl Asks {
    /// Inside an actix system.
    pub(crate) fn new(
        folder: &Path,
        server: Address,
        carrier: Carrier,
        processes: Processes,
    ) -> Result<Self, Error> {
        let way = Arc::new(Way::default());
        let process = format!("{carrier:?}").to_lowercase();
        let node = ours::asking(&folder.join(&process), way.clone())?;
        Ok(Self {
            folder: folder.to_path_buf(),
            carrier,
            server,
            way,
            local: local(&node, ours::CLIENT, Asker::NAME)?,
            node,
            text: "".into(),
            processes,
        })
    }

    /// The same, asking for a text of this size.
    pub(crate) fn with_bytes(&self, bytes: usize) -> Self {
        Self {
            text: "x".repeat(bytes).into(),
            ..self.clone()
        }
    }

    /// Opens the connection that all callers of a window share, on their thread.
    async fn dial(&self) -> Result<(), Error> {
        let failed = || Error::io("connect");
        let address = match &self.server {
            Address::Path(path) => {
                let stream = UnixStream::connect(path).await.map_err(failed())?;
                return self.drive(stream).await;
            }
            Address::Ip(address) => *address,
        };
        let stream = TcpStream::connect(address).await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        if self.carrier != Carrier::Tls {
            return self.drive(stream).await;
        }
        let tls = Pem::read(&self.folder, Leaf::Client)?.client()?;
        let name = ServerName::try_from(SERVER_NAME).expect("the name is a DNS name");
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        self.drive(stream.map_err(failed())?).await
    }

    async fn drive<S>(&self, stream: S) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, calls) = mpsc::channel(CALLS_WAITING_MAX);
        let mut dialled = Dialled::agree(stream, self.local.clone(), calls)
            .await
            .map_err(Error::of(WHO, "connect"))?;
        *self.way.connection() = Some(sender);
        // Whatever is in flight when it ends is told so, which ends the run.
        tokio::spawn(async move { poll_fn(|cx| dialled.poll(cx)).await });
        Ok(())
    }
}

impl Contender for Asks {
    type Caller = ours::Caller;

    async fn caller(&self, number: u16) -> Result<ours::Caller, Error> {
        // The connection of the window before ended with its runtime.
        if number == 0 {
            self.dial().await?;
        }
        let port = ours::port(&self.node);
        Ok(ours::Caller::new([port].into(), self.text.clone(), number))
    }

    async fn once(caller: &mut ours::Caller) -> Result<(), Error> {
        ours::Asks::once(caller).await
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}
