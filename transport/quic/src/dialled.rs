//! A connection this process opened: requests out, replies in.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use modulith_contract::Fault;
use modulith_wire::{Ask, AskError, BAGGAGE_BYTES_MAX, Event, Failure, Head, Session, Violation};
use quinn::Connection;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::AbortHandle,
    time::timeout,
};
use tracing::warn;

use crate::{
    alarm::Alarm,
    bulk::{self, BulkNews, Early, Outbox},
    clock,
    close::{self, Code},
    counters::{Refusal, Tally},
    dial::why_lost,
    items::Sink,
    lane::{Lane, LaneError},
    line::{Pending, module_of, unreachable},
    probe,
    queue::Queue,
    renewal::Renewal,
    slot::{Outcome, Slot},
};

/// When another try is worth it after too many answers were streams: some items later.
const RETRY_AFTER_MS: u32 = 10;
/// How many frames are handled before other tasks of the thread get a turn: callers, who send
/// more, and the task that puts it on the network. Both sides then work at the same time; with
/// everything in one turn, one slept while the other worked.
const FRAMES_PER_TURN: usize = 32;
/// How long the machine of a process that let a deadline pass has to say that it is gone.
const PROBE_TIMEOUT: Duration = Duration::from_millis(200);
/// How long a peer that went away may take to close the connection when nothing is in flight.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A request that was sent.
#[derive(Debug)]
pub(crate) struct Asked {
    slot: Arc<Slot>,
    message: Arc<str>,
    deadline: Instant,
    /// Where items go, if the answer is to be a stream of them.
    items: Option<Sink>,
}

impl Asked {
    /// Tells the caller that its answer has begun; where the items go.
    fn begin(&self) -> Option<(Arc<str>, Sink)> {
        self.slot.complete(Ok(Vec::new()));
        Some((Arc::clone(&self.message), self.items.clone()?))
    }
}

/// What ends the work on a connection.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The peer wants no new requests; those in flight go on in [`Dialled::finish`].
    GoingAway,
    /// Nothing is in flight, and nothing more shall be.
    Drained,
    /// The connection is gone, or not usable any more.
    Lost(String),
}

/// What other tasks report about this connection.
#[derive(Debug)]
enum News {
    Bulk(BulkNews),
    /// Nobody listens at the peer's address any more.
    Refused,
}

impl From<BulkNews> for News {
    fn from(news: BulkNews) -> Self {
        Self::Bulk(news)
    }
}

/// An established connection.
#[derive(Debug)]
pub(crate) struct Dialled {
    process: Arc<str>,
    pub(crate) connection: Connection,
    lane: Lane,
    session: Session<Asked>,
    alarm: Alarm,
    news: UnboundedReceiver<News>,
    tell: UnboundedSender<News>,
    /// Replies whose stream overtook their announcement.
    early: Early,
    outbox: Outbox,
    probe: Option<AbortHandle>,
    /// When another connection is to take its place.
    pub(crate) renewal: Renewal,
    tally: Arc<Tally>,
}

impl Dialled {
    pub(crate) fn new(
        process: Arc<str>,
        connection: Connection,
        lane: Lane,
        session: Session<Asked>,
        renewal: Renewal,
        tally: Arc<Tally>,
    ) -> Self {
        let (tell, news) = unbounded_channel();
        let item_bytes_max = session.limits().body_bytes_max;
        tokio::spawn(bulk::accept(
            connection.clone(),
            tell.clone(),
            item_bytes_max,
        ));
        Self {
            process,
            connection,
            lane,
            session,
            alarm: Alarm::default(),
            news,
            tell,
            early: Early::default(),
            outbox: Outbox::default(),
            probe: None,
            renewal,
            tally,
        }
    }

    /// Sends what is queued and takes what arrives, until something ends that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, queue: &mut Queue) -> Poll<Ended> {
        let received = self.receive(cx);
        queue.poll(cx);
        while let Some(slot) = queue.cancelled.pop() {
            self.cancel(&slot);
        }
        self.send(queue);
        queue.poll_deadlines(cx);
        self.keep_deadlines(cx);
        let flushed = self.flush(cx);
        let in_flight = self.session.asked_in_flight();
        queue.line.in_flight.store(in_flight, Ordering::Relaxed);
        match received.and(flushed) {
            Err(ended) => Poll::Ready(ended),
            Ok(()) if queue.is_draining && in_flight == 0 && queue.is_empty() => {
                Poll::Ready(Ended::Drained)
            }
            Ok(()) => Poll::Pending,
        }
    }

    /// Waits for what is in flight after the peer went away.
    ///
    /// Callers that lose interest meanwhile are noticed only at their deadlines.
    pub(crate) async fn finish(mut self) {
        let rest = std::future::poll_fn(|cx| {
            let received = match self.receive(cx) {
                Ok(()) | Err(Ended::GoingAway | Ended::Drained) => Ok(()),
                Err(Ended::Lost(reason)) => Err(reason),
            };
            self.keep_deadlines(cx);
            if let Err(Ended::Lost(reason)) = self.flush(cx) {
                return Poll::Ready(Err(reason));
            }
            match received {
                Ok(()) if self.session.asked_in_flight() > 0 => Poll::Pending,
                done => Poll::Ready(done),
            }
        });
        if let Err(reason) = rest.await {
            return self.fail(&reason);
        }
        self.lane.finish();
        // The peer closes when it sees the end of the lane, unless it is gone already.
        let _ = timeout(CLOSE_TIMEOUT, self.connection.closed()).await;
        self.close();
    }

    /// Closes a connection on which nothing is in flight.
    pub(crate) fn close(&self) {
        close::close(&self.connection, Code::Done, "");
    }

    /// Fails what is in flight: the connection is gone, and with it the knowledge of what happened.
    pub(crate) fn fail(self, reason: &str) {
        let address = close::address(&self.connection);
        let reason = format!("process {} at {address}: {reason}", self.process);
        for asked in self.session.into_waiting() {
            asked
                .slot
                .complete(Err(unreachable(module_of(&asked.message), &reason)));
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        let mut going_away = false;
        let mut is_idle = false;
        for _ in 0..FRAMES_PER_TURN {
            let frame = match self.lane.poll_frame(cx) {
                Poll::Pending => {
                    is_idle = true;
                    break;
                }
                Poll::Ready(Ok(Some(frame))) => frame,
                Poll::Ready(Ok(None)) => {
                    return Err(Ended::Lost("it ended the connection".to_owned()));
                }
                Poll::Ready(Err(LaneError::Decode(error))) => {
                    return Err(self.violated(&error.into()));
                }
                Poll::Ready(Err(error)) => {
                    return Err(Ended::Lost(why_lost(&self.connection, &error)));
                }
            };
            let event = self.session.receive(frame, &mut self.lane.out);
            match event.map_err(|violation| self.violated(&violation))? {
                Some(Event::GoAway) => going_away = true,
                Some(event) => answer(event),
                None => {}
            }
        }
        if !is_idle {
            cx.waker().wake_by_ref();
        }
        self.take_news(cx)?;
        if going_away {
            Err(Ended::GoingAway)
        } else {
            Ok(())
        }
    }

    fn take_news(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        while let Poll::Ready(Some(news)) = self.news.poll_recv(cx) {
            let event = match news {
                News::Refused => return Err(Ended::Lost("connection refused".to_owned())),
                News::Bulk(BulkNews::Opened { header, grant }) => {
                    self.early.add(header, grant);
                    Ok(None)
                }
                News::Bulk(BulkNews::Received { header, body }) => {
                    self.session.bulk_received(header, body)
                }
                News::Bulk(BulkNews::ItemsOver { id }) => {
                    self.session.items_over(id);
                    Ok(None)
                }
                News::Bulk(BulkNews::Broken { header }) => Ok(self.session.bulk_broken(header)),
                News::Bulk(BulkNews::Violated(violation)) => Err(violation),
            };
            if let Some(event) = event.map_err(|violation| self.violated(&violation))? {
                answer(event);
            }
        }
        let granted = self.early.grant(&mut self.session, Asked::begin);
        granted.map_err(|violation| self.violated(&violation))
    }

    fn violated(&self, violation: &Violation) -> Ended {
        self.tally.refused(Refusal::Violation);
        let reason = violation.to_string();
        warn!(address = %close::address(&self.connection), %reason, "peer broke the protocol");
        close::close(&self.connection, Code::Violation, &reason);
        Ended::Lost(format!("it {reason}"))
    }

    fn send(&mut self, queue: &mut Queue) {
        if queue.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.session.has_room() && !self.lane.is_full() {
            let Some(call) = queue.pop() else { break };
            self.ask(call, now);
        }
    }

    fn ask(&mut self, call: Pending, now: Instant) {
        let Pending {
            slot,
            caller,
            message,
            message_id,
            partition,
            priority,
            mut baggage,
            deadline,
            body,
            items,
            ..
        } = call;
        let Some(target) = self.session.target(&message) else {
            return slot.complete(Err(Fault::Mismatch {
                message: message.to_string(),
            }));
        };
        let left = deadline.saturating_duration_since(now);
        if left.is_zero() {
            return slot.complete(Err(Fault::Late));
        }
        // Rounded up: a call with less than a millisecond left is not late yet.
        let deadline_ms = u32::try_from(left.as_millis() + 1).unwrap_or(u32::MAX);
        baggage.truncate(BAGGAGE_BYTES_MAX);
        let head = Head {
            deadline_ms,
            sent_ms: clock::millis(now),
            caller,
            target,
            partition,
            priority,
            message_id,
            wants_stream: items.is_some(),
        };
        let ask = Ask {
            head,
            baggage: &baggage,
            body: &body,
        };
        let asked = Asked {
            slot: Arc::clone(&slot),
            message,
            deadline,
            items,
        };
        match self.session.ask(ask, asked, &mut self.lane.out) {
            Ok(sent) => {
                slot.set_request(sent.id);
                self.alarm.note(deadline);
                if let Some(header) = sent.bulk {
                    self.outbox.add(header, body);
                }
            }
            Err((asked, error)) => asked.slot.complete(Err(not_sent(&asked.message, error))),
        }
    }

    fn cancel(&mut self, slot: &Arc<Slot>) {
        let id = slot.request();
        // The id may be from a connection before this one.
        if self
            .session
            .asked(id)
            .is_some_and(|asked| Arc::ptr_eq(&asked.slot, slot))
        {
            self.give_up(id, Err(Fault::Late));
        }
    }

    fn give_up(&mut self, id: u64, outcome: Outcome) {
        self.outbox.cancel(id);
        if let Some(asked) = self.session.cancel(id, &mut self.lane.out) {
            asked.slot.complete(outcome);
        }
    }

    fn keep_deadlines(&mut self, cx: &mut Context<'_>) {
        while self.alarm.poll(cx).is_ready() {
            let now = Instant::now();
            let mut late = Vec::new();
            for (id, asked) in self.session.waiting() {
                if asked.deadline <= now {
                    late.push(id);
                } else {
                    self.alarm.note(asked.deadline);
                }
            }
            if !late.is_empty() {
                self.check_peer();
            }
            for id in late {
                self.give_up(id, Err(Fault::Late));
            }
        }
    }

    /// Finds out whether a peer that let a deadline pass is gone, sooner than by its silence.
    fn check_peer(&mut self) {
        if self
            .probe
            .as_ref()
            .is_some_and(|probe| !probe.is_finished())
        {
            return;
        }
        let (address, tell) = (close::address(&self.connection), self.tell.clone());
        let probe = async move {
            if timeout(PROBE_TIMEOUT, probe::refused(address))
                .await
                .is_ok()
            {
                let _ = tell.send(News::Refused);
            }
        };
        self.probe = Some(tokio::spawn(probe).abort_handle());
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        match self.lane.poll_flush(cx) {
            Poll::Ready(Err(error)) => Err(Ended::Lost(why_lost(&self.connection, &error))),
            Poll::Ready(Ok(())) => {
                self.outbox.start(&self.connection);
                Ok(())
            }
            Poll::Pending => Ok(()),
        }
    }
}

fn answer(event: Event<Asked>) {
    match event {
        Event::Reply { call, body } => call.slot.complete(Ok(body)),
        Event::Failed { call, failure } => call.slot.complete(Err(fault(&call.message, failure))),
        // The session yields the others only before it is established, or to an acceptor.
        Event::Established
        | Event::Refusing { .. }
        | Event::Refused { .. }
        | Event::Request(_)
        | Event::Cancelled { .. }
        | Event::GoAway => {}
    }
}

pub(crate) fn fault(message: &str, failure: Failure) -> Fault {
    let module = module_of(message).to_owned();
    match failure {
        Failure::TooLarge { bytes, bytes_max } => Fault::TooLarge { bytes, bytes_max },
        Failure::Overloaded { retry_after_ms } => Fault::Overloaded {
            module,
            retry_after_ms,
        },
        Failure::Stopped { reason } => Fault::Stopped { module, reason },
        Failure::Panicked => Fault::Panicked { module },
        Failure::Late | Failure::Cancelled => Fault::Late,
    }
}

fn not_sent(message: &str, error: AskError) -> Fault {
    match error {
        AskError::TooLarge { bytes, bytes_max } => Fault::TooLarge { bytes, bytes_max },
        AskError::TooManyStreams { .. } => Fault::Overloaded {
            module: module_of(message).to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        },
        error => unreachable(module_of(message), &error.to_string()),
    }
}
