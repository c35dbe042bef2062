//! The program as its operator starts it: one process, or a launcher with one for every module.
//!
//! What is dropped before it was stopped is killed, with everything it started.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    kin::{Kin, pid},
    placement::Placement,
    run_files::{look_for_pages, notes},
};
use crate::{
    real::{
        Failure, Shop,
        program::{self, PATIENCE, end_of_log, ended, panic_in},
    },
    shop::audit::Findings,
};

/// How often it is asked whether everything runs, which takes a process each time.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The process that writes letters.
const EMAIL: &str = "email";

/// The program, what runs of it, and everything it keeps.
pub(super) struct Boutique {
    program: PathBuf,
    placement: Placement,
    child: Option<Child>,
    shop: Shop,
    /// Tells the shop where the pages are.
    looking: JoinHandle<()>,
    /// Dropped after what runs in it is killed.
    folder: TempDir,
}

impl Boutique {
    /// Finds the program, and makes a folder for everything that lasts.
    pub(super) fn prepare(placement: Placement) -> Result<Self, Failure> {
        let program = program::find()?;
        let folder = TempDir::with_prefix("boutique-kill-")?;
        fs::write(folder.path().join("config.toml"), placement.config())?;
        let shop = Shop::default();
        Ok(Self {
            program,
            placement,
            child: None,
            looking: tokio::spawn(look_for_pages(data(&folder), shop.clone())),
            shop,
            folder,
        })
    }

    pub(super) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The folder letters go into.
    pub(super) fn letters(&self) -> PathBuf {
        data(&self.folder).join("email").join("letters")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn on_data(&self, command: &str) -> Command {
        let mut program = Command::new(&self.program);
        program.arg(command).arg("--data").arg(data(&self.folder));
        program
    }

    pub(super) fn start(&mut self) -> io::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let child = self
            .on_data("run")
            .args(["--http", "127.0.0.1:0", "--config"])
            .arg(self.folder.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            // A group of its own, so that Ctrl-C reaches this program alone, which ends it.
            .process_group(0)
            .spawn()?;
        self.child = Some(child);
        Ok(())
    }

    /// Starts what was killed and has no launcher that would start it.
    pub(super) fn start_what_only_we_start(&mut self) -> Result<(), Failure> {
        match &mut self.child {
            None => Ok(self.start()?),
            Some(child) => match child.try_wait()? {
                None => Ok(()),
                Some(end) => Err(self.failure(&format!("ended by itself with {end}"))),
            },
        }
    }

    /// Waits until everything runs.
    pub(super) async fn runs(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            self.start_what_only_we_start()?;
            let status = self.on_data("status").output()?;
            if status.status.success() {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(self.failure(&format!("is not ready\n{}", said(&status))));
            }
            sleep(ASK_AGAIN).await;
        }
    }

    fn failure(&self, what: &str) -> Failure {
        format!("{}: {what}\n{}", self.placement, end_of_log(&self.log())).into()
    }

    /// Kills one of the processes that the launcher has started. Their names.
    pub(super) fn kill_one(&mut self, choice: usize) -> io::Result<Vec<String>> {
        let Some(launcher) = &self.child else {
            return Ok(Vec::new());
        };
        let mut kin: Vec<_> = notes(&data(&self.folder))
            .into_iter()
            .filter_map(|(name, note)| Some((name, Kin::of(launcher.id(), note.pid)?)))
            .collect();
        if kin.is_empty() {
            return Ok(Vec::new());
        }
        let (name, kin) = kin.swap_remove(choice % kin.len());
        kin.kill()?;
        wait_for(&kin);
        Ok(vec![name])
    }

    /// Kills everything at once. The names of those whose names are known.
    pub(super) async fn kill_everything(&mut self) -> io::Result<Vec<String>> {
        let Some(mut child) = self.child.take() else {
            return Ok(Vec::new());
        };
        // From here on it starts nothing more.
        if let Some(launcher) = pid(child.id()) {
            kill_process(launcher, Signal::STOP)?;
        }
        let kin = Kin::all(child.id());
        let notes = notes(&data(&self.folder)).into_iter();
        let known = notes.filter(|(_, note)| kin.iter().any(|kin| kin.number() == note.pid));
        let mut names: Vec<_> = known.map(|(name, _)| name).collect();
        names.push(self.placement.program().to_string());
        child.kill()?;
        child.wait()?;
        for kin in &kin {
            // It may have heard already that its launcher is gone, and be gone too.
            _ = kin.kill();
        }
        kin.iter().for_each(wait_for);
        Ok(names)
    }

    /// Whether nobody writes letters any more, now that these were killed.
    pub(super) fn writes_no_letters(&self, killed: &[String]) -> bool {
        let names = [EMAIL, self.placement.program()];
        killed.iter().any(|name| names.contains(&name.as_str()))
    }

    /// Asks it to stop, and sees that it ends well.
    pub(super) async fn stop(&mut self, findings: &mut Findings) {
        let placement = self.placement;
        if let Some(child) = &mut self.child {
            let asked = pid(child.id()).map(|pid| kill_process(pid, Signal::TERM));
            let end = match asked {
                Some(Ok(())) => ended(child).await,
                _ => Err("cannot be asked to stop".to_string()),
            };
            let log = self.folder.path().join("log");
            findings.check(end.is_ok(), || {
                let why = end.err().unwrap_or_default();
                format!("{placement}: {why}\n{}", end_of_log(&log))
            });
        }
        let panic = panic_in(&self.log());
        findings.check(panic.is_none(), || {
            format!("{placement}: {}", panic.unwrap_or_default())
        });
    }

    /// Has it look at its stores. The last line it says.
    pub(super) fn verify(&self, findings: &mut Findings) -> io::Result<String> {
        let verified = self.on_data("verify").output()?;
        findings.check(verified.status.success(), || {
            let status = verified.status;
            format!("{}: verify: {status}\n{}", self.placement, said(&verified))
        });
        let said = said(&verified);
        Ok(said.lines().last().unwrap_or_default().to_string())
    }
}

impl Drop for Boutique {
    fn drop(&mut self) {
        self.looking.abort();
        let Some(child) = &mut self.child else {
            return;
        };
        // Does nothing to one that has ended and was waited for.
        if let Ok(None) = child.try_wait() {
            let kin = Kin::all(child.id());
            _ = child.kill();
            _ = child.wait();
            for kin in &kin {
                _ = kin.kill();
                wait_for(kin);
            }
        }
    }
}

/// A killed process is gone in a moment, and so are its locks.
fn wait_for(kin: &Kin) {
    let begun = Instant::now();
    while !kin.has_ended() && begun.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
}

fn said(output: &Output) -> String {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    text.concat().trim_end().to_string()
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}
