//! NATS JetStream as a contender: a stream in a file, every message acknowledged.
//!
//! The few lines of its protocol that publishing needs are written here, as they are for Redis
//! (<https://docs.nats.io/reference/reference-protocols/nats-protocol>): `async-nats` would bring
//! nine more crates for them, and a task between each caller and its connection.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

use super::ledger::NOTE_BYTES;
use crate::error::Error;
use crate::load::Contender;
use crate::server::{Server, find, first_line};
use crate::usage::Processes;

/// The longest answer read: acknowledgements and what a stream is made of are shorter.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Where answers go; every connection has this subject for itself because of its number.
const INBOX: &str = "_INBOX.compare";

/// The program, and what it can be told.
pub(crate) struct Program {
    path: PathBuf,
    pub(crate) version: String,
}

impl Program {
    /// Looks on the path, and where Debian puts it.
    pub(crate) fn find() -> Option<Self> {
        let path = find("nats-server", [PathBuf::from("/usr/sbin")])?;
        let version = first_line(&path, "--version")?;
        Some(Self { path, version })
    }

    /// Whether it takes a configuration.
    fn takes(&self, config: &Path) -> bool {
        let tried = Command::new(&self.path)
            .arg("-c")
            .arg(config)
            .arg("-t")
            .output();
        tried.is_ok_and(|output| output.status.success())
    }
}

/// An empty stream, as long as its server runs.
#[derive(Clone)]
pub(crate) struct Nats {
    address: String,
    syncs_always: bool,
    processes: Processes,
}

impl Nats {
    /// Starts a server on an empty folder, syncing every message if it can (since 2.10).
    pub(crate) async fn start(program: &Program, folder: &Path) -> Result<(Self, Server), Error> {
        fs::create_dir(folder).map_err(Error::io("make the folder of NATS"))?;
        let config = folder.join("config");
        configure(&config, folder, "sync_interval: always")?;
        let syncs_always = program.takes(&config);
        if !syncs_always {
            configure(&config, folder, "")?;
        }
        let mut command = Command::new(&program.path);
        command.arg("-c").arg(&config);
        let log = folder.join("log");
        let mut server = Server::start("NATS", &mut command, log, Signal::TERM)?;
        let ports = folder.join(format!("nats-server_{}.ports", server.pid()));
        let address = server
            .answer(async || {
                let text = fs::read_to_string(&ports).map_err(Error::io("find its port"))?;
                let address = address_in(&text).ok_or_else(|| Error::Nats(text.clone()))?;
                Connection::open(&address, 0).await.map(|_| address)
            })
            .await?;
        make_stream(&address).await?;
        let nats = Self {
            address,
            syncs_always,
            processes: Processes::with_server(server.pid()),
        };
        Ok((nats, server))
    }

    /// What an acknowledgement means.
    pub(crate) fn promise(&self) -> &'static str {
        if self.syncs_always {
            "synced before it acknowledges"
        } else {
            "which cannot sync before it acknowledges (2.10 can) and does so every two minutes"
        }
    }
}

fn configure(file: &Path, folder: &Path, sync: &str) -> Result<(), Error> {
    let folder = folder.display();
    let text = format!(
        "host: 127.0.0.1\nport: -1\nports_file_dir: \"{folder}\"\n\
         jetstream {{ store_dir: \"{folder}\"\n {sync} }}\n"
    );
    fs::write(file, text).map_err(Error::io("configure NATS"))
}

/// The first client address in the file that the server writes its ports to.
fn address_in(ports: &str) -> Option<String> {
    let ports: serde_json::Value = serde_json::from_str(ports).ok()?;
    let url = ports["nats"][0].as_str()?;
    url.strip_prefix("nats://").map(str::to_owned)
}

async fn make_stream(address: &str) -> Result<(), Error> {
    let mut connection = Connection::open(address, 0).await?;
    let stream = r#"{"name":"notes","subjects":["notes"],"retention":"limits","storage":"file","discard":"old","num_replicas":1,"max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0}"#;
    let request = publish("$JS.API.STREAM.CREATE.notes", 0, stream);
    connection.exchange(&request).await
}

/// A message with the place its answer goes to.
fn publish(subject: &str, number: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("PUB {subject} {INBOX}.{number} {length}\r\n{body}\r\n").into_bytes()
}

/// A connection that waits for the answer to one message before it sends the next.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &str, number: u16) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(Error::io("connect to NATS"))?;
        stream
            .set_nodelay(true)
            .map_err(Error::io("connect to NATS"))?;
        let mut stream = BufReader::new(stream);
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {INBOX}.{number} 1\r\nPING\r\n"
        );
        let greet = async {
            stream.write_all(hello.as_bytes()).await?;
            // INFO comes first, then the answer to the PING: all before it was accepted.
            while !read_line(&mut stream).await?.starts_with("PONG") {}
            Ok(())
        };
        greet.await.map_err(Error::io("greet NATS"))?;
        Ok(Self(stream))
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<(), Error> {
        let stream = &mut self.0;
        let talk = async {
            stream.write_all(request).await?;
            read_answer(stream).await
        };
        let answer = talk.await.map_err(Error::io("talk to NATS"))?;
        if answer.contains("\"error\"") || answer.starts_with("-ERR") {
            return Err(Error::Nats(answer));
        }
        Ok(())
    }
}

/// Reads a line; an end of the connection is an error.
async fn read_line(stream: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<String> {
    let mut line = Vec::new();
    let mut limited = stream.take(ANSWER_BYTES_MAX as u64);
    if limited.read_until(b'\n', &mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Reads to the next message and returns its body, or the error that came instead.
async fn read_answer(stream: &mut BufReader<TcpStream>) -> std::io::Result<String> {
    loop {
        let line = read_line(stream).await?;
        if line.starts_with("PING") {
            stream.write_all(b"PONG\r\n").await?;
        } else if line.starts_with("-ERR") {
            return Ok(line);
        } else if line.starts_with("MSG ") {
            let length = body_bytes(&line).ok_or(std::io::ErrorKind::InvalidData)?;
            let mut body = vec![0; length + 2];
            stream.read_exact(&mut body).await?;
            body.truncate(length);
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
    }
}

/// The length at the end of a `MSG` line.
fn body_bytes(line: &str) -> Option<usize> {
    let length = line.split_whitespace().next_back()?.parse().ok()?;
    (length <= ANSWER_BYTES_MAX).then_some(length)
}

/// Publishes to the stream and waits for the acknowledgement.
#[derive(Clone)]
pub(crate) struct Publishes(pub(crate) Nats);

impl Contender for Publishes {
    type Caller = (Connection, Vec<u8>);

    async fn caller(&self, number: u16) -> Result<Self::Caller, Error> {
        let connection = Connection::open(&self.0.address, number).await?;
        Ok((
            connection,
            publish("notes", number, &"x".repeat(NOTE_BYTES)),
        ))
    }

    async fn once((connection, request): &mut Self::Caller) -> Result<(), Error> {
        connection.exchange(request).await
    }

    fn processes(&self) -> Processes {
        self.0.processes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_answers_are_as_the_protocol_says() {
        let message = publish("notes", 3, "hi");
        assert_eq!(message, b"PUB notes _INBOX.compare.3 2\r\nhi\r\n");
        assert_eq!(body_bytes("MSG _INBOX.compare.3 1 27\r\n"), Some(27));
        assert_eq!(body_bytes("MSG _INBOX.compare.3 1 99999999\r\n"), None);
        assert_eq!(body_bytes("MSG\r\n"), None);
    }

    #[test]
    fn the_address_is_found_in_the_servers_own_file() {
        let ports = r#"{"nats":["nats://127.0.0.1:4123"],"monitoring":[]}"#;
        assert_eq!(address_in(ports).as_deref(), Some("127.0.0.1:4123"));
        assert_eq!(address_in("{\"nats\":[]}"), None);
        assert_eq!(address_in(""), None);
    }
}
