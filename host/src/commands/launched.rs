//! `scale` and `restart`: orders to the launcher of a running application, followed to their end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{CommandError, Common, print, printed};
use crate::{
    launcher::{Order, Progress, Refused, Request},
    operate::post,
    run_folder::RunFolder,
    status::launcher,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Instances of a process whose modules have no store come and go one by one. Those of a\n\
    process with stores stop, and start anew in their new number; callers wait meanwhile.\n\
    The number lasts until the application stops; `replicas` in the configuration is what it\n\
    starts with.\n\
    Exit codes: 0 done, 1 it failed on the way, 2 it could not be begun.\n\n\
    Example: scale currency 3"
)]
pub(crate) struct ScaleArgs {
    /// The process, as the configuration names it
    process: String,
    /// How many instances of it shall run, 1 to 64
    #[arg(value_name = "N")]
    replicas: u16,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Args)]
#[command(
    after_help = "An instance without stores leaves when another has taken its place. One with stores\n\
    stops and starts; callers wait meanwhile.\n\
    Exit codes: 0 done, 1 it failed on the way, 2 it could not be begun.\n\n\
    Examples: restart · restart checkout"
)]
pub(crate) struct RestartArgs {
    /// The process; all of them, one after the other, unless one is named
    process: Option<String>,
    #[command(flatten)]
    pub(super) common: Common,
}

impl ScaleArgs {
    pub(super) fn order(&self) -> Order {
        Order::Scale {
            process: self.process.clone(),
            replicas: self.replicas,
        }
    }
}

impl RestartArgs {
    pub(super) fn order(&self) -> Order {
        Order::Restart {
            process: self.process.clone(),
        }
    }
}

/// Why the launcher does not carry an order out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchedError {
    #[error(
        "no launcher runs on data folder {}; is it the right one? (--data DIR) A process that was \
         started with --process, or is all there is, has none",
        .0.display()
    )]
    NoLauncher(PathBuf),
    #[error("the launcher does not answer at {admin}: {reason}")]
    Silent { admin: SocketAddr, reason: String },
    #[error(transparent)]
    Refused(Refused),
    #[error("{0}")]
    Failed(String),
    #[error("the launcher ended before the order was carried out ({0}); see `status`")]
    Lost(String),
}

/// Gives an order to the launcher, prints its steps for people as they are taken, and waits for
/// its end. What is still to be printed.
pub(super) fn obey(data: &Path, order: Order, json: bool) -> Result<String, CommandError> {
    let launcher = launcher(&RunFolder::of(data))
        .ok_or_else(|| LaunchedError::NoLauncher(data.to_path_buf()))?;
    let (admin, token) = (launcher.admin, launcher.token);
    let ask = |request: &Request| post::<Result<Progress, Refused>>(admin, &token, request);
    let begun = ask(&Request::Begin(order.clone()))
        .map_err(|reason| LaunchedError::Silent { admin, reason })?
        .map_err(LaunchedError::Refused)?;
    let mut told = Vec::new();
    let outcome = loop {
        let follow = Request::Follow {
            order: begun.order,
            after: told.len(),
        };
        let progress = ask(&follow)
            .and_then(|answer| answer.map_err(|refused| refused.to_string()))
            .map_err(LaunchedError::Lost)?;
        if progress.order != begun.order {
            let reason = "another order was begun since".to_string();
            return Err(LaunchedError::Lost(reason).into());
        }
        for step in progress.steps.into_iter().skip(told.len()) {
            if !json {
                print(&format!("{step}\n"))?;
            }
            told.push(step);
        }
        if let Some(outcome) = progress.outcome {
            break outcome;
        }
    };
    outcome.map_err(LaunchedError::Failed)?;
    let done = json!({ "order": order, "steps": told });
    Ok(printed(json, &done, |_| "done\n".to_string()))
}
