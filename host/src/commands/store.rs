//! `store`: one module's store, measured, compacted, saved and put back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, Clock, Operation, StoreInfo, SystemClock};

use super::{CommandError, Common, ask_one, pairs, printed};
use crate::{
    App,
    config::Loaded,
    operate::{self},
    run_folder::RunFolder,
    status::LAUNCHER,
    table::{aligned, bytes, heading},
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    store info checkout                       how large it is, and what is in it\n  \
    store backup checkout checkout.backup     while it runs; checkout.backup.sha256 beside it\n  \
    store restore checkout checkout.backup    while the application is stopped\n  \
    store compact checkout                    gives room in its file back to the disk\n\n\
    Back up and restore all modules of an application together: a subscriber keeps its place in\n\
    its publisher's log. `verify` tells whether they fit.")]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(super) command: StoreCommand,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Shows how large a module's store is, and what is in it
    Info {
        /// The module
        module: String,
    },
    /// Gives what the store's file has to spare back to the disk; the module waits meanwhile
    Compact {
        /// The module
        module: String,
    },
    /// Copies the store to a file, with its checksum beside it, while the module goes on
    Backup {
        /// The module
        module: String,
        /// Where to; there must be nothing yet
        file: PathBuf,
    },
    /// Puts a backup in place of the store, while nothing runs; the old store is kept beside it
    Restore {
        /// The module
        module: String,
        /// The backup
        file: PathBuf,
    },
}

pub(super) async fn obey(
    app: &App,
    loaded: Loaded,
    command: &StoreCommand,
    json: bool,
) -> Result<String, CommandError> {
    match command {
        StoreCommand::Info { module } => {
            let Answered::StoreInfo(info) =
                ask_one(app, loaded, module, Operation::StoreInfo).await?
            else {
                unreachable!("info is answered by info");
            };
            Ok(printed(json, &info, info_text))
        }
        StoreCommand::Compact { module } => {
            let answered = ask_one(app, loaded, module, Operation::Compact).await?;
            let Answered::Compacted {
                bytes_before,
                bytes: after,
            } = &answered
            else {
                unreachable!("compacting is answered so");
            };
            let (before, after) = (bytes(*bytes_before), bytes(*after));
            Ok(printed(json, &answered, |_| {
                format!("store of {module}: {before} before, {after} now\n")
            }))
        }
        StoreCommand::Backup { module, file } => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let answered = ask_one(app, loaded, module, Operation::BackUp { file }).await?;
            let Answered::BackedUp(backup) = answered else {
                unreachable!("a backup is answered by a backup");
            };
            Ok(printed(json, &backup, |backup| {
                pairs(&[
                    ("backup", backup.file.display().to_string()),
                    ("module", backup.module.clone()),
                    ("size", bytes(backup.bytes)),
                    ("batch", backup.sequence.to_string()),
                    ("sha256", backup.sha256.clone()),
                ])
            }))
        }
        StoreCommand::Restore { module, file } => {
            restore(app, &loaded.config.data, module, file, json)
        }
    }
}

fn info_text(info: &StoreInfo) -> String {
    let mut text = pairs(&[
        ("module", info.module.clone()),
        ("version", info.version.to_string()),
        ("format", info.format.to_string()),
        ("batches", info.sequence.to_string()),
        ("store.redb", bytes(info.database_bytes)),
        ("store.journal", bytes(info.journal_bytes)),
    ]);
    let mut rows = vec![heading(&["TABLE", "ROWS"])];
    let tables = info.rows.iter();
    rows.extend(tables.map(|(name, count)| vec![name.clone(), count.to_string()]));
    text.push('\n');
    text.push_str(&aligned(&rows, &[1]));
    text
}

fn restore(
    app: &App,
    data: &Path,
    module: &str,
    file: &Path,
    json: bool,
) -> Result<String, CommandError> {
    let known = operate::known(app, module)?;
    let running = RunFolder::of(data).held();
    if !running.is_empty() {
        let data = data.to_path_buf();
        let running = running.into_iter();
        let running = running.map(|name| match name.as_str() {
            LAUNCHER => "its launcher".to_string(),
            _ => name,
        });
        let running = running.collect();
        return Err(CommandError::Runs { data, running });
    }
    let now = SystemClock.now();
    let restored =
        modulith_kernel::restore(data, known.manifest.module, known.store_version, file, now)?;
    Ok(printed(json, &restored, |restored| {
        let before = match &restored.before {
            Some(path) => format!("the store that was there is {}", path.display()),
            None => "there was no store before".to_string(),
        };
        format!(
            "store of {module} restored up to batch {}; {before}\nrun `{} verify` before you start\n",
            restored.sequence, app.name
        )
    }))
}
