//! A connection a peer opened: requests in, replies out.

use std::{
    collections::HashMap,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use modulith_wire::{Event, Failure, Replied, Served, Session, Violation};
use quinn::Connection;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::AbortHandle,
    time::timeout,
};
use tracing::{error, warn};

use crate::{
    Incoming, Peer, ServeFuture, Service,
    accept::{Acceptor, deliver},
    bulk::{self, BulkNews, Early, Outbox},
    clock::Delay,
    close::{self, Code},
    counters::{Refusal, Tally},
    dial::why_lost,
    lane::{Lane, LaneError},
    registry::{Entry, Registration},
    streaming,
};

/// How many frames are handled before other tasks of the thread get a turn, above all the one
/// that puts the first replies on the network while the rest is worked on.
const FRAMES_PER_TURN: usize = 32;
/// How long the last replies may take to arrive before the connection is closed regardless.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// What other tasks report about this connection.
#[derive(Debug)]
pub(crate) enum News {
    Bulk(BulkNews),
    /// A handler that was not ready at once is.
    Done {
        id: u64,
        outcome: Outcome,
    },
    /// An answer that is a stream was sent to its end, broke off, or was stopped.
    Streamed {
        id: u64,
    },
    /// Ask the peer for no new requests, and end when nothing is in flight.
    Drain,
}

impl From<BulkNews> for News {
    fn from(news: BulkNews) -> Self {
        Self::Bulk(news)
    }
}

/// The reply of a handler, or nothing if it panicked.
type Outcome = Option<Vec<u8>>;

/// Why the work on a connection ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The peer sends no more requests, and all were answered.
    Done,
    /// The connection is gone, or had to be closed.
    Lost(#[expect(dead_code, reason = "read by Debug, in the log")] String),
}

/// An established connection.
pub(crate) struct Accepted {
    connection: Connection,
    lane: Lane,
    session: Session<()>,
    service: Arc<dyn Service>,
    messages: Arc<[Arc<str>]>,
    entry: Arc<Entry>,
    news: UnboundedReceiver<News>,
    tell: UnboundedSender<News>,
    /// Requests whose stream overtook their announcement.
    early: Early,
    outbox: Outbox,
    tally: Arc<Tally>,
    /// Handlers that were not ready at once.
    running: HashMap<u64, AbortHandle>,
    item_bytes_max: u32,
    /// How long requests were under way beyond the usual.
    delay: Delay,
    peer_finished: bool,
    _registration: Registration,
}

impl Accepted {
    pub(crate) fn new(
        connection: Connection,
        lane: Lane,
        session: Session<()>,
        peer: Arc<Peer>,
        acceptor: &Acceptor,
    ) -> Self {
        let (tell, news) = unbounded_channel();
        let item_bytes_max = session.limits().body_bytes_max;
        tokio::spawn(bulk::accept(
            connection.clone(),
            tell.clone(),
            item_bytes_max,
        ));
        let entry = Arc::new(Entry {
            connection: connection.clone(),
            peer,
            tell: tell.clone(),
            in_flight: AtomicUsize::new(0),
        });
        Self {
            connection,
            lane,
            session,
            service: Arc::clone(&acceptor.service),
            messages: Arc::clone(&acceptor.messages),
            _registration: acceptor.registry.register(Arc::clone(&entry)),
            entry,
            news,
            tell,
            early: Early::default(),
            outbox: Outbox::default(),
            tally: Arc::clone(&acceptor.security.tally),
            running: HashMap::new(),
            item_bytes_max,
            delay: Delay::default(),
            peer_finished: false,
        }
    }

    pub(crate) fn peer(&self) -> &Peer {
        &self.entry.peer
    }

    /// Serves until the connection ends.
    pub(crate) async fn run(mut self) -> Ended {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if matches!(ended, Ended::Done) {
            let _ = timeout(DELIVERY_TIMEOUT, deliver(&mut self.lane)).await;
            close::close(&self.connection, Code::Done, "");
        }
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Err(ended) = self.take_news(cx).and_then(|()| self.receive(cx)) {
            // What was being said, such as why, may still get through.
            let _ = self.lane.poll_flush(cx);
            return Poll::Ready(ended);
        }
        let is_flushed = match self.lane.poll_flush(cx) {
            Poll::Ready(Err(error)) => return Poll::Ready(self.lost(&error)),
            Poll::Ready(Ok(())) => {
                self.outbox.start(&self.connection);
                true
            }
            Poll::Pending => false,
        };
        let in_flight = self.session.served_in_flight();
        self.entry.in_flight.store(in_flight, Ordering::Relaxed);
        if self.peer_finished && in_flight == 0 && is_flushed {
            return Poll::Ready(Ended::Done);
        }
        Poll::Pending
    }

    /// Reads requests and starts their handlers; replies that are ready at once are coalesced.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let arrived = Instant::now();
        for _ in 0..FRAMES_PER_TURN {
            if self.peer_finished || self.lane.is_full() {
                // A peer that does not take replies gets no more requests served; flushing wakes.
                return Ok(());
            }
            match self.lane.poll_frame(cx) {
                Poll::Pending => return self.grant(),
                Poll::Ready(Ok(None)) => self.peer_finished = true,
                Poll::Ready(Ok(Some(frame))) => {
                    let event = self.session.receive(frame, &mut self.lane.out);
                    if let Some(event) = event.map_err(|violation| self.violated(&violation))? {
                        self.handle(event, arrived)?;
                    }
                }
                Poll::Ready(Err(LaneError::Decode(error))) => {
                    return Err(self.violated(&error.into()));
                }
                Poll::Ready(Err(error)) => return Err(self.lost(&error)),
            }
        }
        // More may be there: let others have a turn first.
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn handle(&mut self, event: Event<()>, arrived: Instant) -> Result<(), Ended> {
        match event {
            Event::Request(request) => self.serve(request, arrived),
            Event::Cancelled { id } => {
                if let Some(handler) = self.running.remove(&id) {
                    handler.abort();
                }
            }
            Event::Refused { reason } => {
                close::close(&self.connection, Code::Refused, &reason);
                return Err(Ended::Lost(format!("it refused: {reason}")));
            }
            // The session yields the others only before it is established, or to a dialler.
            Event::Established
            | Event::Refusing { .. }
            | Event::Reply { .. }
            | Event::Failed { .. }
            | Event::GoAway => {}
        }
        Ok(())
    }

    fn take_news(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while let Poll::Ready(Some(news)) = self.news.poll_recv(cx) {
            let received = match news {
                News::Done { id, outcome } => {
                    // A cancelled handler may have been faster.
                    if self.running.remove(&id).is_some() {
                        self.answer(id, outcome);
                    }
                    Ok(None)
                }
                News::Streamed { id } => {
                    self.running.remove(&id);
                    self.session.stream_over(id);
                    Ok(None)
                }
                News::Drain => {
                    self.session.go_away(&mut self.lane.out);
                    Ok(None)
                }
                News::Bulk(BulkNews::Opened { header, grant }) => {
                    self.early.add(header, grant);
                    Ok(None)
                }
                News::Bulk(BulkNews::Received { header, body }) => {
                    self.session.bulk_received(header, body)
                }
                // Of streams that this side does not read.
                News::Bulk(BulkNews::ItemsOver { .. }) => Ok(None),
                News::Bulk(BulkNews::Broken { header }) => Ok(self.session.bulk_broken(header)),
                News::Bulk(BulkNews::Violated(violation)) => Err(violation),
            };
            if let Some(event) = received.map_err(|violation| self.violated(&violation))? {
                self.handle(event, Instant::now())?;
            }
        }
        self.grant()
    }

    fn grant(&mut self) -> Result<(), Ended> {
        let granted = self.early.grant(&mut self.session, |()| None);
        granted.map_err(|violation| self.violated(&violation))
    }

    /// Polls the handler where it stands; makes a task of it only if it is not ready.
    fn serve(&mut self, request: Served, arrived: Instant) {
        let (id, head) = (request.id, request.head);
        let under_way = self.delay.of(head.sent_ms, arrived);
        let deadline = arrived + Duration::from_millis(head.deadline_ms.into());
        let deadline = deadline.checked_sub(under_way).unwrap_or(arrived);
        if Instant::now() >= deadline {
            return self.session.fail(id, &Failure::Late, &mut self.lane.out);
        }
        // The session checked both indices.
        let peer = &self.entry.peer;
        let (Some(caller), Some(message)) = (
            peer.modules.get(usize::from(head.caller)),
            self.messages.get(usize::from(head.target)),
        ) else {
            return;
        };
        let incoming = Incoming {
            peer: Arc::clone(peer),
            caller: Arc::clone(caller),
            message: Arc::clone(message),
            message_id: head.message_id,
            partition: head.partition,
            priority: head.priority,
            baggage: request.baggage,
            deadline,
            body: request.body,
        };
        if head.wants_stream {
            return self.stream(id, incoming);
        }
        let Ok(mut handler) = catch_unwind(AssertUnwindSafe(|| self.service.serve(incoming)))
        else {
            return self.answer(id, None);
        };
        // Whatever wakes it before it is a task needs not be noted: a new task is polled anyway.
        match poll_handler(&mut handler, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => self.answer(id, outcome),
            Poll::Pending => {
                let tell = self.tell.clone();
                let task = tokio::spawn(async move {
                    let outcome = poll_fn(|cx| poll_handler(&mut handler, cx)).await;
                    let _ = tell.send(News::Done { id, outcome });
                });
                self.running.insert(id, task.abort_handle());
            }
        }
    }

    /// Starts an answer that is a stream of items, as a task.
    fn stream(&mut self, id: u64, request: Incoming) {
        let items = match catch_unwind(AssertUnwindSafe(|| self.service.stream(request))) {
            Ok(Some(items)) => items,
            Ok(None) => {
                let reason = "this process streams no answers".to_owned();
                let failure = Failure::Stopped { reason };
                return self.session.fail(id, &failure, &mut self.lane.out);
            }
            Err(_) => return self.answer(id, None),
        };
        let Some(header) = self.session.begin_stream(id, &mut self.lane.out) else {
            return;
        };
        let (connection, tell) = (self.connection.clone(), self.tell.clone());
        let item_bytes_max = self.item_bytes_max;
        let task = tokio::spawn(async move {
            streaming::send(connection, header, items, item_bytes_max).await;
            let _ = tell.send(News::Streamed { id });
        });
        self.running.insert(id, task.abort_handle());
    }

    fn answer(&mut self, id: u64, outcome: Outcome) {
        let Some(body) = outcome else {
            error!(process = %self.peer().process, "handler panicked");
            return self
                .session
                .fail(id, &Failure::Panicked, &mut self.lane.out);
        };
        match self.session.reply(id, &body, &mut self.lane.out) {
            Replied::Bulk(header) => self.outbox.add(header, body),
            Replied::TooLarge => {
                warn!(process = %self.peer().process, bytes = body.len(), "reply is too large");
            }
            Replied::Inline | Replied::Gone => {}
        }
    }

    fn violated(&self, violation: &Violation) -> Ended {
        self.tally.refused(Refusal::Violation);
        let reason = violation.to_string();
        warn!(process = %self.peer().process, %reason, "peer broke the protocol");
        close::close(&self.connection, Code::Violation, &reason);
        Ended::Lost(format!("it {reason}"))
    }

    fn lost(&self, error: &LaneError) -> Ended {
        Ended::Lost(why_lost(&self.connection, error))
    }
}

impl Drop for Accepted {
    /// Nobody waits for the replies any more.
    fn drop(&mut self) {
        for handler in self.running.values() {
            handler.abort();
        }
    }
}

fn poll_handler(handler: &mut ServeFuture, cx: &mut Context<'_>) -> Poll<Outcome> {
    match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    }
}
