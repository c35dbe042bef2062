//! The side that answers: each connection serves a real node where the frames are read.

use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use modulith_kernel::{Call, Carried, Module, Node, Priority};
use modulith_wire::{Event, Failure, Local, Replied, Role, Served, Session};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_rustls::TlsAcceptor;

use super::super::echo::{Asker, Echo};
use super::super::identity::{Leaf, Pem};
use super::super::ours;
use super::{Carrier, FRAMES_PER_TURN, Lane, certified, local, violated};
use crate::error::Error;

/// Serves until it is dropped, and says where once it listens. Inside an actix system.
pub(crate) async fn serve(
    folder: &Path,
    carrier: Carrier,
    listening: impl FnOnce(String) -> Result<(), Error>,
) -> Result<(), Error> {
    let host = Host::start(&folder.join(format!("{carrier:?}-server").to_lowercase()))?;
    let accept = || Error::io("accept");
    if carrier == Carrier::Unix {
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).map_err(Error::io("listen"))?;
        listening(path.display().to_string())?;
        loop {
            let (stream, _) = listener.accept().await.map_err(accept())?;
            host.answer(stream);
        }
    }
    let tls = match carrier {
        Carrier::Tls => Some(Pem::read(folder, Leaf::Server)?.server()?),
        _ => None,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(Error::io("listen"))?;
    let address = listener.local_addr().map_err(Error::io("listen"))?;
    listening(address.to_string())?;
    loop {
        let (stream, _) = listener.accept().await.map_err(accept())?;
        stream.set_nodelay(true).map_err(accept())?;
        match &tls {
            None => host.answer(stream),
            Some(tls) => {
                let stream = TlsAcceptor::from(tls.clone()).accept(stream).await;
                host.answer(stream.map_err(accept())?);
            }
        }
    }
}

/// Who answers on all connections.
struct Host {
    node: Arc<Node>,
    local: Arc<Local>,
    messages: Arc<[Arc<str>]>,
}

impl Host {
    fn start(folder: &Path) -> Result<Self, Error> {
        let node = ours::answering(folder, Arc::default())?;
        let local = local(&node, ours::SERVER, Echo::NAME)?;
        let messages = local.hello().messages.iter();
        let messages = messages.map(|message| message.name.as_str().into());
        Ok(Self {
            messages: messages.collect(),
            local,
            node,
        })
    }

    fn answer(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let mut lane = Lane::new(stream);
        let (local, client) = (self.local.clone(), certified(ours::CLIENT, Asker::NAME));
        let session = Session::new(Role::Acceptor, local, client, &mut lane.out);
        let (tell, done) = unbounded_channel();
        let mut accepted = Accepted {
            lane,
            session,
            node: self.node.clone(),
            messages: self.messages.clone(),
            caller: Asker::NAME.into(),
            tell,
            done,
        };
        tokio::spawn(async move {
            match poll_fn(|cx| accepted.poll(cx)).await {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    eprintln!("a client broke the protocol: {error}");
                }
                // Clients end with their runtime, in the middle of whatever they do.
                Ok(()) | Err(_) => {}
            }
        });
    }
}

/// A connection that a client opened.
struct Accepted<S> {
    lane: Lane<S>,
    session: Session<()>,
    node: Arc<Node>,
    messages: Arc<[Arc<str>]>,
    /// The one module that may ask.
    caller: Arc<str>,
    /// What was not ready at once and is now: at most as many as requests may be in flight.
    done: UnboundedReceiver<(u64, Vec<u8>)>,
    tell: UnboundedSender<(u64, Vec<u8>)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Accepted<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Poll::Ready(Some((id, body))) = self.done.poll_recv(cx) {
            self.reply(id, &body);
        }
        let ended = self.receive(cx)?;
        let was_full = self.lane.is_full();
        ready!(self.lane.poll_flush(cx))?;
        if was_full {
            // Requests that arrived may not have been looked at.
            cx.waker().wake_by_ref();
        }
        if ended {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Reads requests and answers those that are ready at once. True at the end.
    fn receive(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let arrived = Instant::now();
        for _ in 0..FRAMES_PER_TURN {
            if self.lane.is_full() {
                // A peer that does not take replies gets no more requests served.
                return Ok(false);
            }
            let frame = match self.lane.poll_frame(cx)? {
                Poll::Ready(Some(frame)) => frame,
                Poll::Ready(None) => return Ok(true),
                Poll::Pending => return Ok(false),
            };
            let event = self.session.receive(frame, &mut self.lane.out);
            match event.map_err(violated)? {
                Some(Event::Request(request)) => self.serve(request, arrived),
                Some(Event::Refusing { reason } | Event::Refused { reason }) => {
                    return Err(violated(reason));
                }
                _ => {}
            }
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// Polls the handler where it stands; makes a task of it only if it is not ready.
    fn serve(&mut self, request: Served, arrived: Instant) {
        let Served { id, head, body, .. } = request;
        let deadline = arrived + Duration::from_millis(head.deadline_ms.into());
        if Instant::now() >= deadline {
            return self.session.fail(id, &Failure::Late, &mut self.lane.out);
        }
        // The session checked the index.
        let message = self.messages[usize::from(head.target)].clone();
        let mut handler = self.node.serve(Call {
            caller: self.caller.clone(),
            message,
            partition: head.partition,
            id: head.message_id,
            carried: Carried::of(Priority::from_u8(head.priority)),
            deadline: deadline.into(),
            body,
        });
        // Whatever wakes it before it is a task needs not be noted: a new task is polled anyway.
        let mut noop = Context::from_waker(Waker::noop());
        match handler.as_mut().poll(&mut noop) {
            Poll::Ready(body) => self.reply(id, &body),
            Poll::Pending => {
                let tell = self.tell.clone();
                // Nobody waits for it once the connection is gone.
                tokio::spawn(async move { _ = tell.send((id, handler.await)) });
            }
        }
    }

    fn reply(&mut self, id: u64, body: &[u8]) {
        let replied = self.session.reply(id, body, &mut self.lane.out);
        debug_assert!(matches!(replied, Replied::Inline | Replied::Gone));
    }
}
