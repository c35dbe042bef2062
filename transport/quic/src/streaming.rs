//! Answers that are streams of items, at the side that answers.

use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use modulith_wire::{BulkHeader, Failure, Part};
use quinn::Connection;
use tracing::error;

use crate::{ServeStream, bulk::ResetOnDrop};

/// How many bytes of small items are written at once, before others of the thread get a turn.
const CHUNK_BYTES: usize = 16 << 10;

/// Sends items as they are made, no faster than the peer takes them. Dropping the future, or the
/// peer stopping the stream, drops the maker of the items.
pub(crate) async fn send(
    connection: Connection,
    header: BulkHeader,
    items: ServeStream,
    item_bytes_max: u32,
) {
    let Ok(stream) = connection.open_uni().await else {
        return;
    };
    let mut stream = ResetOnDrop(Some(stream));
    let mut stopped = pin!(stream.stopped());
    let mut filling = Filling {
        items,
        item_bytes_max,
        out: Vec::with_capacity(CHUNK_BYTES),
        large: None,
        is_over: false,
    };
    header.encode(&mut filling.out);
    loop {
        tokio::select! {
            // Nobody takes the items any more, however long the next one would be in the making.
            () = &mut stopped => return,
            () = poll_fn(|cx| filling.poll(cx)) => {}
        }
        let large = filling.large.take().unwrap_or_default();
        if stream.write(&filling.out, large).await.is_err() {
            return;
        }
        filling.out.clear();
        if filling.is_over {
            return stream.finish();
        }
        // Makers that are always ready must not keep the thread from small calls.
        tokio::task::yield_now().await;
    }
}

/// Gathers items to be written together.
struct Filling {
    items: ServeStream,
    item_bytes_max: u32,
    out: Vec<u8>,
    /// An item that goes out after `out` without being copied.
    large: Option<Bytes>,
    is_over: bool,
}

impl Filling {
    /// Takes what is ready; waits only when there is nothing to be written.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_over && self.large.is_none() && self.out.len() < CHUNK_BYTES {
            let next = catch_unwind(AssertUnwindSafe(|| self.items.as_mut().poll_next(cx)));
            match next {
                Ok(Poll::Pending) if self.out.is_empty() => return Poll::Pending,
                Ok(Poll::Pending) => break,
                Ok(Poll::Ready(Some(item))) => self.add(item),
                Ok(Poll::Ready(None)) => self.end(&Part::End),
                Err(_) => {
                    error!("a streamed answer panicked");
                    self.end(&Part::Failed(Failure::Panicked));
                }
            }
        }
        Poll::Ready(())
    }

    fn add(&mut self, item: Vec<u8>) {
        if item.len() > self.item_bytes_max as usize {
            return self.end(&Part::Failed(Failure::TooLarge {
                bytes: item.len() as u64,
                bytes_max: self.item_bytes_max.into(),
            }));
        }
        Part::item_head(item.len(), &mut self.out);
        if item.len() >= CHUNK_BYTES {
            self.large = Some(item.into());
        } else {
            self.out.extend_from_slice(&item);
        }
    }

    fn end(&mut self, end: &Part) {
        end.encode(&mut self.out);
        self.is_over = true;
    }
}
