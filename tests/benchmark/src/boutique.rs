//! The real program, running as our child on an empty data folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::error::Error;
use crate::server::Server;
use crate::usage::Processes;

/// What is said where it is missing.
pub(crate) const NOT_BUILT: &str =
    "SKIPPED: the shop is not built (cargo build --release -p boutique)";

/// In one process, as it is shipped.
pub(crate) const ONE_PROCESS: &str = include_str!("../../../app/config/one-process.toml");

/// The boutique that was built beside this program.
pub(crate) fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(own.with_file_name("boutique")).filter(|path| path.is_file())
}

/// A running boutique.
pub(crate) struct Boutique {
    server: Server,
    pub(crate) url: String,
    pub(crate) data: PathBuf,
}

impl Boutique {
    /// Starts it in a new folder, in a placement, and waits until it is ready.
    pub(crate) async fn start(program: &Path, folder: &Path, config: &str) -> Result<Self, Error> {
        fs::create_dir(folder).map_err(Error::io("make a folder for the shop"))?;
        let (file, data) = (folder.join("config.toml"), folder.join("data"));
        fs::write(&file, config).map_err(Error::io("write the shop's configuration"))?;
        let mut command = Command::new(program);
        command
            .args(["run", "--http", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(&data);
        let log = folder.join("log");
        let mut server = Server::start("the shop", &mut command, log.clone(), Signal::INT)?;
        let url = server.answer(async || url_in(&log)).await?;
        Ok(Self { server, url, data })
    }

    /// Whose processor time and memory it takes to ask it.
    pub(crate) fn processes(&self) -> Processes {
        Processes::with_server(self.server.pid())
    }
}

/// Where the shop says that it is, once it does.
fn url_in(log: &Path) -> Result<String, Error> {
    let text = fs::read_to_string(log).map_err(Error::io("read the shop's log"))?;
    let (_, after) = text
        .split_once("ready at ")
        .ok_or(Error::NoAddress("the shop"))?;
    let url = after.split_whitespace().next();
    url.map(str::to_owned).ok_or(Error::NoAddress("the shop"))
}
