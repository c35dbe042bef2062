//! The limit to compare with: the least that a request over a connection can be.
//!
//! Frames of a length, a number and a body, over TCP, over TLS on TCP and over a Unix socket. The
//! server handles a frame where it has read it; the client's writer sends all that waits at once.
//! No types, no names, no deadlines, no reconnecting: what a framework adds is the difference.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Notify, oneshot},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, rustls::pki_types::ServerName};

use super::identity::{Leaf, Pem, SERVER_NAME};
use crate::error::Error;
use crate::load::Contender;
use crate::usage::Processes;

const WHO: &str = "the bare connection";

/// A frame's length, which counts what follows it, and its number.
const HEAD_BYTES: usize = 4 + 8;

/// The longest body that is read.
const BODY_BYTES_MAX: usize = 16 << 20;

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Tcp,
    Tls,
    Unix,
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum Address {
    Ip(SocketAddr),
    Path(PathBuf),
}

/// Serves until it is dropped, and says where once it listens.
pub(crate) async fn serve(
    folder: &Path,
    carrier: Carrier,
    listening: impl FnOnce(String) -> Result<(), Error>,
) -> Result<(), Error> {
    let accept = || Error::io("accept");
    if carrier == Carrier::Unix {
        let path = folder.join("socket");
        let listener = UnixListener::bind(&path).map_err(Error::io("listen"))?;
        listening(path.display().to_string())?;
        loop {
            let (stream, _) = listener.accept().await.map_err(accept())?;
            tokio::spawn(answer(stream));
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
            None => drop(tokio::spawn(answer(stream))),
            Some(tls) => {
                let stream = TlsAcceptor::from(tls.clone()).accept(stream).await;
                tokio::spawn(answer(stream.map_err(accept())?));
            }
        }
    }
}

/// Answers every frame with its own body, until the other side closes or sends nonsense.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let (mut read, mut out) = (Vec::new(), Vec::new());
    while read_some(&mut stream, &mut read).await {
        let valid = take_frames(&mut read, |number, body| put_frame(&mut out, number, body));
        let sent = stream.write_all(&out).await.is_ok() && stream.flush().await.is_ok();
        out.clear();
        if !(valid && sent) {
            return;
        }
    }
}

/// Reads what there is. False at the end.
async fn read_some(stream: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> bool {
    into.reserve(READ_BYTES);
    stream.read_buf(into).await.is_ok_and(|read| read > 0)
}

fn put_frame(out: &mut Vec<u8>, number: u64, body: &[u8]) {
    let length = u32::try_from(body.len() + 8).expect("bodies are shorter than 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(body);
}

/// Hands over every whole frame and keeps the rest. False when a length is out of bounds.
fn take_frames(read: &mut Vec<u8>, mut each: impl FnMut(u64, &[u8])) -> bool {
    let mut begin = 0;
    while let Some((head, rest)) = read[begin..].split_first_chunk::<HEAD_BYTES>() {
        let [a, b, c, d, number @ ..] = *head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let Some(body_bytes) = length.checked_sub(8).filter(|b| *b <= BODY_BYTES_MAX) else {
            return false;
        };
        let Some(body) = rest.get(..body_bytes) else {
            break;
        };
        each(u64::from_le_bytes(number), body);
        begin += HEAD_BYTES + body_bytes;
    }
    read.drain(..begin);
    true
}

/// Asks over one connection.
#[derive(Clone)]
pub(crate) struct Asks {
    folder: PathBuf,
    server: Address,
    is_encrypted: bool,
    open: Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>,
    body: Arc<[u8]>,
    processes: Processes,
}

/// What callers, the writer and the reader share.
pub(crate) struct Connection {
    state: Mutex<State>,
    /// There is something to write.
    pending: Notify,
}

#[derive(Default)]
struct State {
    out: Vec<u8>,
    last_number: u64,
    /// `None` once the connection broke.
    waiting: Option<HashMap<u64, oneshot::Sender<Vec<u8>>>>,
}

impl Connection {
    fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Arc<Self> {
        let connection = Arc::new(Self {
            state: Mutex::new(State {
                waiting: Some(HashMap::new()),
                ..State::default()
            }),
            pending: Notify::new(),
        });
        let (reader, writer) = split(stream);
        tokio::spawn(connection.clone().read(reader));
        tokio::spawn(connection.clone().write(writer));
        connection
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(self: Arc<Self>, mut stream: impl AsyncWrite + Unpin) {
        let mut out = Vec::new();
        loop {
            self.pending.notified().await;
            std::mem::swap(&mut out, &mut self.state().out);
            let sent = stream.write_all(&out).await.is_ok() && stream.flush().await.is_ok();
            out.clear();
            if !sent {
                self.state().waiting = None;
                return;
            }
        }
    }

    async fn read(self: Arc<Self>, mut stream: impl AsyncRead + Unpin) {
        let mut read = Vec::new();
        while read_some(&mut stream, &mut read).await {
            let mut state = self.state();
            let waiting = &mut state.waiting;
            let valid = take_frames(&mut read, |number, body| {
                let asked = waiting.as_mut().and_then(|all| all.remove(&number));
                if let Some(asked) = asked {
                    // Whoever asked may be gone.
                    _ = asked.send(body.to_vec());
                }
            });
            if !valid {
                break;
            }
        }
        self.state().waiting = None;
    }

    async fn ask(&self, body: &[u8]) -> Result<Vec<u8>, Error> {
        let broken = || Error::WrongReply(WHO);
        let reply = {
            let mut state = self.state();
            let State {
                out,
                last_number,
                waiting,
            } = &mut *state;
            let waiting = waiting.as_mut().ok_or_else(broken)?;
            let (sender, reply) = oneshot::channel();
            *last_number += 1;
            waiting.insert(*last_number, sender);
            put_frame(out, *last_number, body);
            reply
        };
        self.pending.notify_one();
        reply.await.map_err(|_| broken())
    }
}

impl Asks {
    pub(crate) fn new(
        folder: &Path,
        server: Address,
        carrier: Carrier,
        bytes: usize,
        processes: Processes,
    ) -> Self {
        Self {
            folder: folder.to_path_buf(),
            server,
            is_encrypted: carrier == Carrier::Tls,
            open: Arc::default(),
            body: vec![b'x'; bytes].into(),
            processes,
        }
    }

    async fn connect(&self) -> Result<Arc<Connection>, Error> {
        let failed = || Error::io("connect");
        let address = match &self.server {
            Address::Path(path) => {
                let stream = UnixStream::connect(path).await.map_err(failed())?;
                return Ok(Connection::over(stream));
            }
            Address::Ip(address) => *address,
        };
        let stream = TcpStream::connect(address).await.map_err(failed())?;
        stream.set_nodelay(true).map_err(failed())?;
        if !self.is_encrypted {
            return Ok(Connection::over(stream));
        }
        let tls = Pem::read(&self.folder, Leaf::Client)?.client()?;
        let name = ServerName::try_from(SERVER_NAME).expect("the name is a DNS name");
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        Ok(Connection::over(stream.map_err(failed())?))
    }
}

impl Contender for Asks {
    type Caller = (Arc<Connection>, Arc<[u8]>);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        let mut open = self.open.lock().await;
        // The connection of the window before ended with its runtime.
        if number == 0 {
            *open = None;
        }
        let connection = match &*open {
            Some(connection) => connection.clone(),
            None => open.insert(self.connect().await?).clone(),
        };
        Ok((connection, self.body.clone()))
    }

    async fn once((connection, body): &mut Self::Caller) -> Result<(), Error> {
        let reply = connection.ask(body).await?;
        if reply.len() == body.len() && reply.last() == body.last() {
            Ok(())
        } else {
            Err(Error::WrongReply(WHO))
        }
    }

    fn processes(&self) -> Processes {
        self.processes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_come_in_pieces_are_put_together() {
        let mut sent = Vec::new();
        put_frame(&mut sent, 7, b"one");
        put_frame(&mut sent, 8, b"");
        for cut in 0..=sent.len() {
            let (mut read, mut got) = (Vec::new(), Vec::new());
            for piece in [&sent[..cut], &sent[cut..]] {
                read.extend_from_slice(piece);
                let valid = take_frames(&mut read, |number, body| {
                    got.push((number, body.to_vec()));
                });
                assert!(valid);
            }
            assert_eq!(got, [(7, b"one".to_vec()), (8, Vec::new())], "cut at {cut}");
            assert!(read.is_empty());
        }
    }

    #[test]
    fn a_length_out_of_bounds_is_refused() {
        for length in [0_u32, 7, u32::MAX] {
            let mut read = length.to_le_bytes().to_vec();
            read.extend_from_slice(&[0; 8]);
            assert!(!take_frames(&mut read, |_, _| {}), "{length}");
        }
    }
}
