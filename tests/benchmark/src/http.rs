//! The least that a client of HTTP/1.1 can be: whole requests made beforehand, and of an answer
//! only its status and where it ends.
//!
//! It shares the machine with the server under test, so it is to cost next to nothing.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::Error;

/// How much is read at once, in bytes.
const READ_BYTES: usize = 32 << 10;

/// The longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// The cookies of somebody who was in the shop before.
pub(crate) const SHOPPER: &str = "shop_session-id=5a9c1f0e-3b7d-4c21-9e64-0d8f7a6b5c43";

/// A connection that is kept from one request to the next.
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// What is of interest about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Whether the server closes the connection after it.
    pub(crate) closes: bool,
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    answer: Answer,
    bytes: usize,
    body_bytes: usize,
}

impl Connection {
    pub(crate) async fn open(server: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            read: Vec::with_capacity(READ_BYTES),
        })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let head = loop {
            self.more().await?;
            if let Some(head) = head(&self.read)? {
                break head;
            }
            if self.read.len() > HEAD_BYTES_MAX {
                return Err(invalid("an answer with a head without an end"));
            }
        };
        let mut missing = (head.bytes + head.body_bytes).checked_sub(self.read.len());
        while let Some(left) = missing.filter(|left| *left > 0) {
            self.read.clear();
            self.more().await?;
            missing = left.checked_sub(self.read.len());
        }
        match missing {
            Some(_) => Ok(head.answer),
            None => Err(invalid("more than one answer to a request")),
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        self.read.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.read).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

/// Reads a head, if all of it is there.
fn head(read: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&read[..end]).map_err(|_| invalid("a head that is no text"))?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| {
        let rest = line.strip_prefix("HTTP/1.1 ")?;
        rest.get(..3)?.parse().ok()
    });
    let status = status.ok_or_else(|| invalid("an answer without a status"))?;
    let (mut body_bytes, mut closes) = (None, false);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.parse().ok();
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.eq_ignore_ascii_case("close");
        }
    }
    let body_bytes = body_bytes.ok_or_else(|| invalid("an answer without a length"))?;
    Ok(Some(Head {
        answer: Answer { status, closes },
        bytes: end + 4,
        body_bytes,
    }))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Where `http://HOST:PORT` leads, a slash at its end allowed.
pub(crate) fn address(url: &str) -> Result<SocketAddr, Error> {
    let host = url
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'));
    let resolve = |host: &str| match host.contains(':') {
        true => host.to_socket_addrs(),
        false => (host, 80).to_socket_addrs(),
    };
    let addresses = host
        .ok_or_else(|| invalid("expected http://HOST or http://HOST:PORT"))
        .and_then(resolve)
        .map_err(Error::io(format!("find {url}")))?;
    let first = addresses.into_iter().next();
    first.ok_or(Error::NoAddress("the shop"))
}

/// A request for a page, as a browser with these cookies sends it.
pub(crate) fn get(host: &str, path: &str, cookies: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\n\r\n").into_bytes()
}

/// A form that is sent.
pub(crate) fn post(host: &str, path: &str, cookies: &str, form: &str) -> Vec<u8> {
    let bytes = form.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookies}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {bytes}\r\n\r\n{form}"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn of_a_head_status_length_and_closing_are_read() {
        let text = b"HTTP/1.1 503 Busy\r\nContent-Length: 12\r\nConnection: close\r\n\r\nOne";
        let read = head(text).unwrap().unwrap();
        let answer = Answer {
            status: 503,
            closes: true,
        };
        assert_eq!((read.answer, read.body_bytes), (answer, 12));
        assert_eq!(&text[read.bytes..], b"One");
        assert!(head(&text[..40]).unwrap().is_none());
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 xx\r\ncontent-length: 1\r\n\r\n",
            "SSH-2.0\r\n\r\n",
        ] {
            assert!(head(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn answers_in_pieces_are_read_to_their_ends_on_one_connection() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let server = listener.local_addr().unwrap();
            let serve = tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                for (status, body_bytes) in [(200, 100_000), (302, 0)] {
                    let mut request = [0; 1024];
                    assert!(stream.read(&mut request).await.unwrap() > 0);
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {body_bytes}\r\n");
                    stream.write_all(head.as_bytes()).await.unwrap();
                    stream.flush().await.unwrap();
                    tokio::task::yield_now().await;
                    stream.write_all(b"\r\n").await.unwrap();
                    stream.write_all(&vec![b'x'; body_bytes]).await.unwrap();
                }
            });
            let mut connection = Connection::open(server).await.unwrap();
            let request = get("shop", "/", "a=b");
            for status in [200, 302] {
                let answer = connection.exchange(&request).await.unwrap();
                assert_eq!(answer.status, status);
            }
            serve.await.unwrap();
            let error = connection.exchange(&request).await.unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::InvalidData);
        });
    }

    #[test]
    fn a_shop_is_found_by_its_url() {
        let at = "http://127.0.0.1:8080/";
        assert_eq!(address(at).unwrap(), "127.0.0.1:8080".parse().unwrap());
        assert!(address("https://127.0.0.1").is_err());
    }
}
