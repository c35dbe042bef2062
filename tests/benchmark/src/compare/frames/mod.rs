//! Our own protocol over other carriers: TCP, TLS on TCP, and a Unix socket.
//!
//! The same node, port, session and frames as over QUIC (`modulith_wire`), read, handled and
//! written in the same manner (`transport/quic/src/{dialled,accepted,lane}.rs`), so that the
//! ratio shows what QUIC costs and nothing else. Only what a benchmark needs is here: no
//! reconnecting, and no streams beside the lane, for which frames are as long as the longest body.

mod asking;
mod serving;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use modulith_kernel::Node;
use modulith_wire::{Certified, Decoder, Frame, Hello, Limits, Local, MessageSchema};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use asking::{Address, Asks};
pub(crate) use serving::serve;

use crate::error::Error;

/// Who is who in reports and faults.
const WHO: &str = "our protocol over another carrier";

/// The longest frame, in bytes: a body of 1 MiB and everything around it.
const FRAME_BYTES_MAX: u32 = 2 << 20;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 64 << 10;

/// Beyond this, what is to be sent waits for the network before more is produced, in bytes.
const OUT_BYTES_MAX: usize = 1 << 20;

/// How many frames are handled before other tasks of the thread get a turn.
const FRAMES_PER_TURN: usize = 32;

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Tls,
    Unix,
}

fn limits() -> Limits {
    Limits {
        frame_bytes_max: FRAME_BYTES_MAX,
        ..Limits::default()
    }
}

/// What a process that hosts one module says when a connection opens.
fn local(node: &Node, process: &str, module: &str) -> Result<Arc<Local>, Error> {
    let hello = Hello {
        application: "compare".to_owned(),
        process: process.to_owned(),
        replicas: 1,
        modules: vec![module.to_owned()],
        messages: node
            .messages()
            .iter()
            .map(|(name, fingerprint)| MessageSchema {
                name: name.clone(),
                fingerprint: fingerprint.0,
            })
            .collect(),
        ..Hello::default()
    };
    let local = Local::new(hello, limits());
    Ok(Arc::new(local.map_err(Error::of(WHO, "introduce itself"))?))
}

/// What the other side's certificate would say.
fn certified(process: &str, module: &str) -> Certified {
    Certified {
        process: process.to_owned(),
        modules: vec![module.to_owned()],
    }
}

/// Frames in, bytes out, both without blocking the other.
struct Lane<S> {
    stream: S,
    decoder: Decoder,
    read: Box<[u8]>,
    /// Where in `read` the next frame begins or goes on, and where its bytes end.
    next: usize,
    filled: usize,
    /// To be sent. Everything is appended here and written together.
    out: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lane<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            decoder: Decoder::new(limits()),
            read: vec![0; READ_BYTES].into(),
            next: 0,
            filled: 0,
            out: Vec::new(),
        }
    }

    /// The next frame; `None` when the peer has closed.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Frame>>> {
        loop {
            if self.next < self.filled {
                let mut rest = &self.read[self.next..self.filled];
                let frame = self.decoder.decode(&mut rest).map_err(violated)?;
                self.next = self.filled - rest.len();
                if frame.is_some() {
                    return Poll::Ready(Ok(frame));
                }
            }
            let mut read = ReadBuf::new(&mut self.read);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.next = 0;
            self.filled = read.filled().len();
            if self.filled == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.out.len() >= OUT_BYTES_MAX
    }

    /// Writes what is to be sent; ready when all of it is on its way.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break Pin::new(&mut self.stream).poll_flush(cx);
            }
            match Pin::new(&mut self.stream).poll_write(cx, &self.out[written..]) {
                Poll::Ready(Ok(count)) => written += count,
                other => break other.map_ok(|_| ()),
            }
        };
        self.out.drain(..written);
        result
    }
}

/// What a peer may not say.
fn violated(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
