//! A contender's server: this program again, in a process of its own, ended with its input.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::error::Error;
use crate::usage::Processes;

/// How long a server may take until it says where it listens, or a trial until it is over.
const LINE_MAX: Duration = Duration::from_secs(300);

/// How long a server may take to end once its input did.
const END_MAX: Duration = Duration::from_secs(10);

/// A server that runs.
pub(crate) struct Served {
    child: Child,
    lines: Receiver<io::Result<String>>,
    /// The first line it printed: where it listens.
    pub(crate) line: String,
}

impl Served {
    /// Starts `benchmark serve NAME` and waits for its first line.
    pub(crate) fn start(name: &'static str, folder: &Path, more: &[String]) -> Result<Self, Error> {
        let failed = || Error::io(format!("start the server of {name}"));
        let program = std::env::current_exe().map_err(failed())?;
        let mut child = Command::new(program)
            .args(["serve", name, "--folder"])
            .arg(folder)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        let out = child.stdout.take().expect("the output is piped");
        let (sender, lines) = channel();
        let read = move || {
            for line in BufReader::new(out).lines() {
                // Nobody reads any more once the server is stopped.
                _ = sender.send(line);
            }
        };
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(read)
            .map_err(failed())?;
        let mut served = Self {
            child,
            lines,
            line: String::new(),
        };
        let line = served.lines.recv_timeout(LINE_MAX);
        let line = line.map_err(|_| Error::NoAddress(name))?;
        served.line = line.map_err(failed())?;
        Ok(served)
    }

    /// Whose processor time and memory it takes to talk to it.
    pub(crate) fn processes(&self) -> Processes {
        Processes::with_server(self.child.id())
    }
}

/// Closes the server's input, which ends it.
impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Its output ends with it. What is still on it interests nobody.
        while self.lines.recv_timeout(END_MAX).is_ok() {}
        // One that has ended cannot be killed, and need not be.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
