//! The one stream of a connection that carries small frames in both directions.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use modulith_wire::{DecodeError, Decoder, Frame, Limits};
use quinn::{ReadError, RecvStream, SendStream, WriteError};

use crate::spin;

/// Beyond this, what is to be sent waits for the network before more is produced, in bytes.
const OUT_BYTES_MAX: usize = 1 << 20;
/// How many chunks of received data are taken at once: a burst of full datagrams.
const CHUNKS: usize = 16;
/// The lane goes first; the bodies of large messages take what is left.
const PRIORITY: i32 = 1;

/// Frames in, bytes out, both without blocking the other.
#[derive(Debug)]
pub(crate) struct Lane {
    send: SendStream,
    recv: RecvStream,
    decoder: Decoder,
    chunks: [Bytes; CHUNKS],
    /// The next of the chunks that hold data, and their end.
    next: usize,
    filled: usize,
    /// To be sent. Everything is appended here and written together.
    pub(crate) out: Vec<u8>,
}

/// The lane is no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaneError {
    #[error("reading failed")]
    Read(#[from] ReadError),
    #[error("writing failed")]
    Write(#[from] WriteError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Lane {
    pub(crate) fn new(send: SendStream, recv: RecvStream, limits: Limits) -> Self {
        // A stream that is already closed needs no priority.
        let _ = send.set_priority(PRIORITY);
        Self {
            send,
            recv,
            decoder: Decoder::new(limits),
            chunks: Default::default(),
            next: 0,
            filled: 0,
            out: Vec::new(),
        }
    }

    /// The next frame; `None` when the peer has finished its direction.
    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame>, LaneError>> {
        loop {
            while self.next < self.filled {
                let chunk = &mut self.chunks[self.next];
                let mut rest = &chunk[..];
                let frame = self.decoder.decode(&mut rest)?;
                let taken = chunk.len() - rest.len();
                chunk.advance(taken);
                if chunk.is_empty() {
                    self.next += 1;
                }
                if frame.is_some() {
                    return Poll::Ready(Ok(frame));
                }
            }
            let read = pin!(self.recv.read_chunks(&mut self.chunks)).poll(cx);
            self.next = 0;
            self.filled = 0;
            match ready!(read)? {
                Some(count) => {
                    self.filled = count;
                    spin::touch();
                }
                None => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Whether what is to be sent has piled up so far that producing more has to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.out.len() >= OUT_BYTES_MAX
    }

    /// Writes what is to be sent; ready when all of it is on its way.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LaneError>> {
        let was_full = self.is_full();
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break Poll::Ready(Ok(()));
            }
            match Pin::new(&mut self.send).poll_write(cx, &self.out[written..]) {
                Poll::Ready(Ok(count)) => written += count,
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error.into())),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.out.drain(..written);
        if was_full && result.is_ready() {
            // Whatever waited for room was passed over before, and nothing else will call it.
            cx.waker().wake_by_ref();
        }
        if written > 0 {
            spin::touch();
        }
        result
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        // Fails only if the stream is finished or stopped already.
        let _ = self.send.finish();
    }

    /// Completes when the peer has received everything, or never will.
    pub(crate) fn delivered(&self) -> impl Future<Output = ()> + Send + use<> {
        let stopped = self.send.stopped();
        async move {
            let _ = stopped.await;
        }
    }
}
