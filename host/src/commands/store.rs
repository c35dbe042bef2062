//! `store`: one module's store, measured, compacted, saved and put back.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, Clock, Operation, Partition, StoreInfo, SystemClock};

use super::{Chosen, CommandError, Common, Of, ask_each, ask_one, chosen, pairs, printed};
use crate::{
    App,
    config::{Config, Loaded},
    operate::{self, OperateError},
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
    common: &Common,
) -> Result<String, CommandError> {
    let json = common.json;
    match command {
        StoreCommand::Info { module } => {
            let of = chosen(app, module, common)?;
            let answers = ask_each(app, loaded, Some(&of), &Operation::StoreInfo).await?;
            let infos = answers.into_iter().map(|(_, answered)| match answered {
                Answered::StoreInfo(info) => info,
                _ => unreachable!("info is answered by info"),
            });
            let infos: Vec<_> = infos.collect();
            if let [info] = infos.as_slice() {
                return Ok(printed(json, info, info_text));
            }
            Ok(printed(json, &infos, |infos| {
                let texts: Vec<_> = infos.iter().map(info_text).collect();
                texts.join("\n")
            }))
        }
        StoreCommand::Compact { module } => {
            let of = chosen(app, module, common)?;
            let answers = ask_each(app, loaded, Some(&of), &Operation::Compact).await?;
            if let [(name, answered)] = answers.as_slice() {
                return Ok(printed(json, answered, |answered| {
                    compacted_text(name, answered)
                }));
            }
            let answers: Vec<_> = answers
                .into_iter()
                .map(|(module, line)| Of { module, line })
                .collect();
            Ok(printed(json, &answers, |answers| {
                let texts = answers.iter();
                texts
                    .map(|of| compacted_text(&of.module, &of.line))
                    .collect()
            }))
        }
        StoreCommand::Backup { module, file } => {
            let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
            let of = chosen(app, module, common)?;
            let answered = ask_one(app, loaded, &of, Operation::BackUp { file }).await?;
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
        StoreCommand::Restore { module, file } => restore(
            app,
            &loaded.config,
            &chosen(app, module, common)?,
            file,
            json,
        ),
    }
}

fn compacted_text(name: &str, answered: &Answered) -> String {
    let Answered::Compacted {
        bytes_before,
        bytes: after,
    } = answered
    else {
        unreachable!("compacting is answered so");
    };
    let (before, after) = (bytes(*bytes_before), bytes(*after));
    format!("store of {name}: {before} before, {after} now\n")
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
    config: &Config,
    of: &Chosen,
    file: &Path,
    json: bool,
) -> Result<String, CommandError> {
    let data = &config.data;
    let (module, count) = (of.module.to_string(), config.partitions_of(of.module));
    let known = operate::known(app, of.module)?;
    let partition = match of.partition {
        Some(found) => Partition::new(found, count).ok_or(OperateError::UnknownPartition {
            module,
            found,
            count,
        })?,
        None if count == 1 => Partition::WHOLE,
        None => return Err(OperateError::WhichPartition { module, count }.into()),
    };
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
    let version = known.store_version;
    let restored = modulith_kernel::restore(data, of.module, partition, version, file, now)?;
    Ok(printed(json, &restored, |restored| {
        let before = match &restored.before {
            Some(path) => format!("the store that was there is {}", path.display()),
            None => "there was no store before".to_string(),
        };
        format!(
            "store of {} restored up to batch {}; {before}\nrun `{} verify` before you start\n",
            restored.module, restored.sequence, app.name
        )
    }))
}
