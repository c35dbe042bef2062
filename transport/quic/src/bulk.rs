//! What does not fit on the lane, each on a stream of its own.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use modulith_wire::{Bulk, BulkHeader, Session, Violation};
use quinn::{Connection, ReadExactError, RecvStream, SendStream, VarInt, WriteError};
use tokio::{
    sync::{mpsc::UnboundedSender, oneshot},
    task::AbortHandle,
};

use crate::items::{self, Sink};

/// Leave to read a stream after its header.
#[derive(Debug)]
pub(crate) enum Grant {
    /// A body of this many bytes.
    Body(u32),
    /// The items of the answer to a request for this message.
    Items(Arc<str>, Sink),
}

/// What happens on bulk streams, for the task that keeps the session.
#[derive(Debug)]
pub(crate) enum BulkNews {
    /// A header arrived. Whoever drops `grant` stops the stream.
    Opened {
        header: BulkHeader,
        grant: oneshot::Sender<Grant>,
    },
    /// The whole body arrived.
    Received { header: BulkHeader, body: Vec<u8> },
    /// A stream of items was read to its end, broke off, or was stopped.
    ItemsOver { id: u64 },
    /// The stream broke off.
    Broken { header: BulkHeader },
    /// The stream began with something else than a header.
    Violated(Violation),
}

/// Reads one stream after the other asked for, as many at once as QUIC lets the peer open.
/// Ends with the connection.
pub(crate) async fn accept<N>(connection: Connection, news: UnboundedSender<N>, item_bytes_max: u32)
where
    N: From<BulkNews> + Send + 'static,
{
    while let Ok(stream) = connection.accept_uni().await {
        tokio::spawn(receive(stream, news.clone(), item_bytes_max));
    }
}

/// Reads the header, waits for leave to read what follows, reads it.
///
/// Until then that stays where flow control keeps it: at the peer. Nothing is allocated for
/// a body that nobody announced.
async fn receive<N: From<BulkNews>>(
    mut stream: RecvStream,
    news: UnboundedSender<N>,
    item_bytes_max: u32,
) {
    let tell = |it: BulkNews| {
        // Nobody listens when the connection has ended.
        let _ = news.send(it.into());
    };
    let mut header = [0; BulkHeader::BYTES];
    match stream.read_exact(&mut header).await {
        Ok(()) => {}
        // The peer reset it, because its call was cancelled; or the connection is gone.
        Err(ReadExactError::FinishedEarly(_) | ReadExactError::ReadError(_)) => return,
    }
    let header = match BulkHeader::decode(&header) {
        Ok(header) => header,
        Err(error) => return tell(BulkNews::Violated(error.into())),
    };
    let (grant, granted) = oneshot::channel();
    tell(BulkNews::Opened { header, grant });
    let bytes = match granted.await {
        Ok(Grant::Body(bytes)) => bytes,
        Ok(Grant::Items(message, sink)) => {
            return match items::receive(stream, &message, item_bytes_max, sink).await {
                Ok(()) => tell(BulkNews::ItemsOver { id: header.id }),
                Err(violation) => tell(BulkNews::Violated(violation)),
            };
        }
        Err(_) => return,
    };
    match stream.read_to_end(bytes as usize).await {
        Ok(body) => tell(BulkNews::Received { header, body }),
        Err(quinn::ReadToEndError::TooLong) => {
            let bytes_sent = (bytes as usize).saturating_add(1);
            let id = header.id;
            tell(BulkNews::Violated(Violation::BodyLength {
                id,
                announced: bytes,
                bytes: bytes_sent,
            }));
        }
        Err(quinn::ReadToEndError::Read(_)) => tell(BulkNews::Broken { header }),
    }
}

/// Bodies to be sent.
///
/// A stream is opened only when its announcement has been written to the lane, and with it has
/// been given flow-control credit. Otherwise streams that wait for their announcement could use
/// up all the credit of the connection, and the announcement would wait for them.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    announced: Vec<(BulkHeader, Vec<u8>)>,
    /// Bodies on their way, to be stopped when their call is.
    sending: HashMap<u64, AbortHandle>,
}

impl Outbox {
    pub(crate) fn add(&mut self, header: BulkHeader, body: Vec<u8>) {
        self.announced.push((header, body));
    }

    /// Sends everything that was announced. The lane must have been flushed.
    pub(crate) fn start(&mut self, connection: &Connection) {
        if self.announced.is_empty() {
            return;
        }
        self.sending.retain(|_, body| !body.is_finished());
        for (header, body) in self.announced.drain(..) {
            let task = tokio::spawn(send(connection.clone(), header, body));
            self.sending.insert(header.id, task.abort_handle());
        }
    }

    pub(crate) fn cancel(&mut self, id: u64) {
        self.announced.retain(|(header, _)| header.id != id);
        if let Some(body) = self.sending.remove(&id) {
            body.abort();
        }
    }
}

/// Sends one body. Dropping the future resets the stream.
async fn send(connection: Connection, header: BulkHeader, body: Vec<u8>) {
    let Ok(stream) = connection.open_uni().await else {
        return;
    };
    let mut stream = ResetOnDrop(Some(stream));
    let mut head = Vec::with_capacity(BulkHeader::BYTES);
    header.encode(&mut head);
    if stream.write(&head, Bytes::from(body)).await.is_ok() {
        stream.finish();
    }
}

/// quinn finishes a stream that is dropped, and a body cut short would look complete.
pub(crate) struct ResetOnDrop(pub(crate) Option<SendStream>);

impl ResetOnDrop {
    /// Fails when the peer stopped the stream or the connection is gone; the lane learns of
    /// either on its own.
    pub(crate) async fn write(&mut self, head: &[u8], body: Bytes) -> Result<(), WriteError> {
        let Some(stream) = &mut self.0 else {
            return Ok(());
        };
        stream.write_all(head).await?;
        stream.write_chunk(body).await
    }

    /// Completes when the peer wants no more of it, or the connection is gone.
    pub(crate) fn stopped(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.0.as_ref().map(SendStream::stopped);
        async move {
            if let Some(stopped) = stopped {
                let _ = stopped.await;
            }
        }
    }

    pub(crate) fn finish(mut self) {
        if let Some(mut stream) = self.0.take() {
            let _ = stream.finish();
        }
    }
}

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        if let Some(stream) = &mut self.0 {
            let _ = stream.reset(VarInt::from_u32(0));
        }
    }
}

/// Streams that may not be read yet. As few as QUIC lets the peer open.
#[derive(Debug, Default)]
pub(crate) struct Early {
    streams: Vec<(BulkHeader, oneshot::Sender<Grant>)>,
}

impl Early {
    pub(crate) fn add(&mut self, header: BulkHeader, grant: oneshot::Sender<Grant>) {
        self.streams.push((header, grant));
    }

    /// Grants what the session lets be read, and stops what nobody waits for. `begin` says where
    /// the items of an answer that has begun go.
    pub(crate) fn grant<C>(
        &mut self,
        session: &mut Session<C>,
        begin: impl Fn(&C) -> Option<(Arc<str>, Sink)>,
    ) -> Result<(), Violation> {
        for (header, grant) in std::mem::take(&mut self.streams) {
            match session.bulk_opened(header)? {
                Bulk::Read { bytes } => {
                    // Fails only if the stream broke off meanwhile, which is reported too.
                    let _ = grant.send(Grant::Body(bytes));
                }
                Bulk::ReadItems => {
                    if let Some((message, sink)) = session.asked(header.id).and_then(&begin) {
                        let _ = grant.send(Grant::Items(message, sink));
                    }
                }
                Bulk::Wait => self.streams.push((header, grant)),
                Bulk::Discard => {}
            }
        }
        Ok(())
    }
}
