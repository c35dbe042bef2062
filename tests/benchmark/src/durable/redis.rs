//! Redis Streams as a contender: every append synced, over a Unix socket.
//!
//! The few bytes of its protocol that `XADD` needs are written here
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

use super::ledger::NOTE_BYTES;
use crate::error::Error;
use crate::load::Contender;
use crate::server::{Server, find, first_line};
use crate::usage::Processes;

/// The longest bulk string read: an entry's id is shorter than this many bytes.
const BULK_BYTES_MAX: usize = 1024;

/// An empty stream, as long as its server runs.
#[derive(Clone)]
pub(crate) struct Redis {
    socket: Arc<PathBuf>,
    processes: Processes,
}

/// The program and its version, if it is installed.
pub(crate) fn find_program() -> Option<(PathBuf, String)> {
    let program = find("redis-server", [])?;
    let version = first_line(&program, "--version")?;
    Some((program, version))
}

impl Redis {
    /// Starts a server on an empty folder.
    ///
    /// Its append-only file is not rewritten meanwhile: that would hit some rounds and not others.
    pub(crate) async fn start(program: &Path, folder: &Path) -> Result<(Self, Server), Error> {
        fs::create_dir(folder).map_err(Error::io("make the folder of Redis"))?;
        let socket = folder.join("socket");
        let mut command = Command::new(program);
        command
            .args(["--port", "0", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .args(["--appendonly", "yes", "--appendfsync", "always"])
            .args(["--save", "", "--auto-aof-rewrite-percentage", "0"]);
        let log = folder.join("log");
        let mut server = Server::start("Redis", &mut command, log, Signal::TERM)?;
        server.answer(async || connect(&socket).await).await?;
        let redis = Self {
            socket: Arc::new(socket),
            processes: Processes::with_server(server.pid()),
        };
        Ok((redis, server))
    }
}

async fn connect(socket: &Path) -> Result<BufReader<UnixStream>, Error> {
    let stream = UnixStream::connect(socket).await;
    stream
        .map(BufReader::new)
        .map_err(Error::io("connect to Redis"))
}

/// Appends an entry to a stream.
#[derive(Clone)]
pub(crate) struct Appends(pub(crate) Redis);

impl Contender for Appends {
    type Caller = (BufReader<UnixStream>, Vec<u8>);

    async fn caller(&self, _: u16) -> Result<Self::Caller, Error> {
        let text = "x".repeat(NOTE_BYTES);
        let request = encode(&["XADD", "notes", "*", "text", &text]);
        Ok((connect(&self.0.socket).await?, request))
    }

    async fn once((stream, request): &mut Self::Caller) -> Result<(), Error> {
        let exchange = async {
            stream.write_all(request).await?;
            read_bulk(stream).await
        };
        let reply = exchange.await.map_err(Error::io("talk to Redis"))?;
        reply.map_err(Error::Redis)
    }

    fn processes(&self) -> Processes {
        self.0.processes.clone()
    }
}

/// A request: an array of bulk strings.
fn encode(words: &[&str]) -> Vec<u8> {
    let head = format!("*{}\r\n", words.len());
    let words = words
        .iter()
        .map(|word| format!("${}\r\n{word}\r\n", word.len()));
    std::iter::once(head)
        .chain(words)
        .collect::<String>()
        .into()
}

/// Reads a bulk string and drops it; anything else is given back as an error.
async fn read_bulk(
    stream: &mut (impl AsyncBufReadExt + Unpin),
) -> std::io::Result<Result<(), String>> {
    let mut line = Vec::with_capacity(8);
    stream.read_until(b'\n', &mut line).await?;
    let line = String::from_utf8_lossy(&line);
    let length = line
        .strip_prefix('$')
        .and_then(|length| length.trim_end().parse::<usize>().ok());
    let Some(length) = length.filter(|length| *length <= BULK_BYTES_MAX) else {
        return Ok(Err(line.trim_end().to_owned()));
    };
    let mut rest = [0; BULK_BYTES_MAX + 2];
    stream.read_exact(&mut rest[..length + 2]).await?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_as_the_protocol_says() {
        assert_eq!(encode(&["XADD", "*"]), b"*2\r\n$4\r\nXADD\r\n$1\r\n*\r\n");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let read = |mut bytes: &[u8]| {
            let reply = runtime.block_on(read_bulk(&mut bytes)).unwrap();
            (reply, bytes.len())
        };
        assert_eq!(read(b"$3\r\n1-0\r\n$"), (Ok(()), 1));
        assert_eq!(read(b"-ERR no\r\n"), (Err("-ERR no".to_owned()), 0));
        assert_eq!(read(b"$9999\r\n"), (Err("$9999".to_owned()), 0));
        assert_eq!(read(b""), (Err(String::new()), 0));
    }
}
