//! Taking a letter where it goes: into a folder, or to a mail server.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use checkout_contract::OrderId;
use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor, transport::smtp,
};
use modulith_kernel::{Fault, Module};
use tokio::{task::spawn_blocking, time::timeout};

use crate::Email;

/// How long a mail server may take for one answer.
///
/// RFC 5321 allows minutes; a server that is not there is known within five seconds.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// How long a delivery to a mail server may take as a whole: six slow answers.
const SERVER_WAIT: Duration = Duration::from_secs(30);

/// How letters are delivered.
pub(crate) enum Delivery {
    /// A file per letter in a folder, made when the first one is written.
    Folder(PathBuf),
    /// By SMTP, with a connection per letter.
    Server(AsyncSmtpTransport<Tokio1Executor>),
}

impl Delivery {
    /// Delivers a letter: when this returns, it is in safe hands.
    ///
    /// No fault repeats an address, a part of the letter or what the mail server said, which may
    /// be either.
    pub(crate) async fn deliver(&self, order: &OrderId, letter: &Letter) -> Result<(), Fault> {
        match self {
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), format!("{order}.eml"));
                let bytes = letter.formatted();
                let written = spawn_blocking(move || write(&folder, &name, &bytes)).await;
                written
                    .map_err(io::Error::other)
                    .flatten()
                    .map_err(|error| Fault::Store {
                        module: Email::NAME.to_string(),
                        reason: format!("the letter cannot be written: {error}"),
                    })
            }
            Self::Server(server) => {
                let reason = match timeout(SERVER_WAIT, server.send(letter.clone())).await {
                    Ok(Ok(_)) => return Ok(()),
                    Ok(Err(error)) => reason(&error),
                    Err(_) => "it took too long".to_string(),
                };
                Err(Fault::Unreachable {
                    module: Email::NAME.to_string(),
                    reason: format!("the mail server did not take the letter: {reason}"),
                })
            }
        }
    }
}

/// Writes a file so that, whatever happens, there is a whole one under the name or none.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let unfinished = folder.join(format!("{name}.tmp"));
    let mut file = fs::File::create(&unfinished)?;
    io::Write::write_all(&mut file, bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, folder.join(name))?;
    // The new name outlives a power cut only once the folder is on disk too. Not every system
    // can do that, and the letter is there without it.
    if let Ok(folder) = fs::File::open(folder) {
        _ = folder.sync_all();
    }
    Ok(())
}

/// What went wrong, without the mail server's words.
fn reason(error: &smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("it answered {code}");
    }
    if error.is_timeout() {
        return "it took too long".to_string();
    }
    if error.is_response() || error.is_client() {
        return "it does not speak SMTP as expected".to_string();
    }
    // What is left comes from the network or from TLS.
    match error.source() {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server's words may hold an address, which belongs in no log.
    #[test]
    fn a_mail_server_that_is_not_there_is_a_fault_that_names_no_address() {
        // A port that was free a moment ago, on which nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous("127.0.0.1");
        let delivery = Delivery::Server(server.port(port).build());
        let letter = Letter::builder()
            .from("shop@example.com".parse().unwrap())
            .to("someone@example.com".parse().unwrap())
            .body(String::new())
            .unwrap();
        let order = OrderId::new("order-1").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let fault = runtime.block_on(delivery.deliver(&order, &letter));
        let Err(Fault::Unreachable { reason, .. }) = fault else {
            panic!("not unreachable: {fault:?}")
        };
        assert!(!reason.contains("someone"), "{reason}");
    }

    #[test]
    fn a_file_is_written_whole_and_again_in_place() {
        let folder = tempfile::tempdir().unwrap();
        let letters = folder.path().join("a/b");
        for text in ["first, and longer", "second"] {
            write(&letters, "order-1.eml", text.as_bytes()).unwrap();
            assert_eq!(
                fs::read_to_string(letters.join("order-1.eml")).unwrap(),
                text
            );
        }
        assert_eq!(fs::read_dir(&letters).unwrap().count(), 1);
    }
}
