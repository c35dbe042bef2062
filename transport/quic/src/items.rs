//! Answers that are streams of items, at the side that asked.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::Stream;
use modulith_contract::Fault;
use modulith_wire::{ItemDecoder, Part, Violation};
use quinn::{ReadError, RecvStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::{
    CallFuture, close,
    dialled::fault,
    line::{module_of, unreachable},
};

/// How many batches may wait for whoever takes the items, besides the one being taken.
const BATCHES_WAITING_MAX: usize = 1;
/// How many chunks of received data make one batch at most: four of the largest datagrams, 64 KiB.
const CHUNKS: usize = 4;

/// Items that arrived together, and the end if it was among them.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    items: VecDeque<Vec<u8>>,
    end: Option<Result<(), Fault>>,
}

/// Where the network thread puts the items of one answer.
#[derive(Debug, Clone)]
pub(crate) struct Sink(Sender<Batch>);

/// The items of an answer, in the order in which they were made. Dropping it stops the answer.
///
/// Ends after the last item if all were sent, and otherwise with the fault that cut it short.
/// Data is read from the network as items are taken, so a taker that is slow slows the sender.
/// The call's deadline is the time by which the answer must have begun; how long the wait for an
/// item may be is the taker's to decide. Needs no particular runtime.
#[must_use = "an answer that nobody takes is cancelled"]
pub struct ItemStream {
    /// Until the answer has begun.
    call: Option<CallFuture>,
    message: Arc<str>,
    batches: Receiver<Batch>,
    batch: Batch,
    is_over: bool,
}

pub(crate) fn sink() -> (Sink, Receiver<Batch>) {
    let (sender, batches) = channel(BATCHES_WAITING_MAX);
    (Sink(sender), batches)
}

impl ItemStream {
    pub(crate) fn new(call: CallFuture, message: Arc<str>, batches: Receiver<Batch>) -> Self {
        Self {
            call: Some(call),
            message,
            batches,
            batch: Batch::default(),
            is_over: false,
        }
    }

    fn over(&mut self, end: Result<(), Fault>) -> Poll<Option<Result<Vec<u8>, Fault>>> {
        self.is_over = true;
        Poll::Ready(end.err().map(Err))
    }
}

impl Stream for ItemStream {
    type Item = Result<Vec<u8>, Fault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(call) = &mut self.call {
            let begun = ready!(Pin::new(call).poll(cx));
            self.call = None;
            if let Err(fault) = begun {
                return self.over(Err(fault));
            }
        }
        loop {
            if let Some(item) = self.batch.items.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            if let Some(end) = self.batch.end.take() {
                return self.over(end);
            }
            match ready!(self.batches.poll_recv(cx)) {
                Some(batch) => self.batch = batch,
                None => {
                    let module = module_of(&self.message);
                    let ended = unreachable(module, "this process is shutting down");
                    return self.over(Err(ended));
                }
            }
        }
    }
}

impl fmt::Debug for ItemStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ItemStream")
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// Reads a stream of items after its header, as fast as they are taken. Stops the stream when
/// nobody takes them any more.
///
/// # Errors
///
/// [`Violation`] when the bytes are no items.
pub(crate) async fn receive(
    mut stream: RecvStream,
    message: &str,
    item_bytes_max: u32,
    sink: Sink,
) -> Result<(), Violation> {
    let mut decoder = ItemDecoder::new(item_bytes_max);
    let mut chunks: [Bytes; CHUNKS] = Default::default();
    loop {
        // Only when there is room, so that what waits longer is with the peer, under flow control.
        let Ok(room) = sink.0.reserve().await else {
            return Ok(());
        };
        let read = tokio::select! {
            read = stream.read_chunks(&mut chunks) => read,
            () = sink.0.closed() => return Ok(()),
        };
        let mut batch = Batch::default();
        let mut decoded = Ok(());
        match read {
            Ok(Some(count)) => {
                decoded = chunks[..count]
                    .iter()
                    .try_for_each(|chunk| decode(&mut decoder, chunk, message, &mut batch));
                if let Err(violation) = &decoded {
                    let reason = format!("it {violation}");
                    batch.end = Some(Err(unreachable(module_of(message), &reason)));
                }
            }
            Ok(None) => batch.end = Some(Err(broken_off(message))),
            Err(error) => batch.end = Some(Err(lost(message, &error))),
        }
        let is_over = batch.end.is_some();
        if is_over || !batch.items.is_empty() {
            room.send(batch);
        }
        if is_over {
            return decoded;
        }
    }
}

fn decode(
    decoder: &mut ItemDecoder,
    mut chunk: &[u8],
    message: &str,
    batch: &mut Batch,
) -> Result<(), Violation> {
    while let Some(part) = decoder.decode(&mut chunk)? {
        match part {
            Part::Item(item) => batch.items.push_back(item),
            Part::End => batch.end = Some(Ok(())),
            Part::Failed(failure) => batch.end = Some(Err(fault(message, failure))),
        }
    }
    Ok(())
}

fn lost(message: &str, error: &ReadError) -> Fault {
    match error {
        ReadError::ConnectionLost(error) => {
            unreachable(module_of(message), &close::sentence(error))
        }
        _ => broken_off(message),
    }
}

fn broken_off(message: &str) -> Fault {
    unreachable(module_of(message), "its answer broke off")
}
