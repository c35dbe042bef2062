//! A mail server small enough to read: RFC 5321's commands, no extensions, letters kept in memory.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

/// Takes letters on a loopback port until the test's process ends.
pub(crate) struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A letter as the server got it.
pub(crate) struct Taken {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

#[derive(Default)]
struct Shared {
    letters: Mutex<Vec<Taken>>,
    refuses_recipients: AtomicBool,
}

impl MailServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let server = Self {
            address,
            shared: shared.clone(),
        };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = shared.clone();
                thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// The letters taken since the last call.
    pub(crate) fn take_letters(&self) -> Vec<Taken> {
        std::mem::take(&mut self.shared.letters.lock().unwrap())
    }

    pub(crate) fn refuse_recipients(&self, refuse: bool) {
        self.shared.refuses_recipients.store(refuse, SeqCst);
    }
}

impl Shared {
    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        let (mut from, mut to) = (String::new(), String::new());
        let mut answer = "220 ready".to_string();
        loop {
            if stream
                .write_all(format!("{answer}\r\n").as_bytes())
                .is_err()
            {
                return;
            }
            let Some(line) = read_line(&mut reader) else {
                return;
            };
            answer = match line.split_once([' ', ':']).map_or(&*line, |(verb, _)| verb) {
                "EHLO" => "250 hello".to_string(),
                "MAIL" => {
                    from = argument(&line);
                    "250 sender noted".to_string()
                }
                "RCPT" if self.refuses_recipients.load(SeqCst) => {
                    format!("550 {} lives here no more", argument(&line))
                }
                "RCPT" => {
                    to = argument(&line);
                    "250 recipient noted".to_string()
                }
                "DATA" => {
                    stream.write_all(b"354 go ahead\r\n").unwrap();
                    let Some(text) = read_text(&mut reader) else {
                        return;
                    };
                    let letter = Taken {
                        from: from.clone(),
                        to: to.clone(),
                        text,
                    };
                    self.letters.lock().unwrap().push(letter);
                    "250 taken".to_string()
                }
                "QUIT" => "221 bye".to_string(),
                _ => "500 what?".to_string(),
            };
        }
    }
}

/// What stands between the colon and the next space: `<someone@example.com>`.
fn argument(line: &str) -> String {
    let argument = line.split_once(':').map_or("", |(_, argument)| argument);
    argument.split(' ').next().unwrap_or_default().to_string()
}

fn read_line(reader: &mut impl BufRead) -> Option<String> {
    let mut line = String::new();
    let bytes = reader.read_line(&mut line).ok()?;
    (bytes > 0).then(|| line.trim_end().to_string())
}

/// The letter up to the line with a single dot (RFC 5321 section 4.5.2).
fn read_text(reader: &mut impl BufRead) -> Option<String> {
    let mut text = String::new();
    loop {
        match read_line(reader)?.as_str() {
            "." => return Some(text),
            line => text.extend([line.strip_prefix('.').unwrap_or(line), "\r\n"]),
        }
    }
}
