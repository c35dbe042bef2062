//! One log of all processes, each line under the name of the instance it is from.

use std::io::{IsTerminal, Write};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::watch,
};

use crate::process::READY;

/// The longest line of a process's log that is passed on, in bytes.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Prints a process's lines under its name.
#[derive(Debug, Clone)]
pub(super) struct Printer {
    prefix: String,
}

impl Printer {
    pub(super) fn new(name: &str, width: usize, index: usize) -> Self {
        // Six colours that can be read on light and dark.
        const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];
        let colour = COLOURS[index % COLOURS.len()];
        let prefix = match std::io::stderr().is_terminal() {
            true => format!("\x1b[{colour}m{name:>width$} │\x1b[0m "),
            false => format!("{name:>width$} | "),
        };
        Self { prefix }
    }

    pub(super) async fn print<R: AsyncRead + Unpin>(
        self,
        from: Option<R>,
        ready: Option<watch::Sender<bool>>,
    ) {
        let Some(from) = from else { return };
        let mut lines = BufReader::with_capacity(LINE_BYTES_MAX, from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match bounded_line(&mut lines, &mut line).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
            let text = String::from_utf8_lossy(&line);
            match &ready {
                Some(ready) if text.starts_with(READY) => _ = ready.send_replace(true),
                _ => {
                    let line = format!("{}{}\n", self.prefix, text.trim_end());
                    // Standard error may be closed: the log has no reader then.
                    _ = std::io::stderr().lock().write_all(line.as_bytes());
                }
            }
        }
    }
}

/// Reads a line, or the beginning of one that is too long. False at the end.
async fn bounded_line<R: AsyncRead + Unpin>(
    from: &mut BufReader<R>,
    line: &mut Vec<u8>,
) -> std::io::Result<bool> {
    loop {
        let chunk = from.fill_buf().await?;
        if chunk.is_empty() {
            return Ok(!line.is_empty());
        }
        let newline = chunk.iter().position(|byte| *byte == b'\n');
        let used = newline.map_or(chunk.len(), |end| end + 1);
        line.extend_from_slice(&chunk[..used]);
        from.consume(used);
        if newline.is_some() || line.len() >= LINE_BYTES_MAX {
            return Ok(true);
        }
    }
}
