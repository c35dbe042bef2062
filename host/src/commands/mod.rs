//! The commands for operators: instances, events, dead letters, flows, certificates, stores and
//! the audit.

mod chaos;
mod dead;
mod events;
mod flows;
mod launched;
mod pki;
mod store;

use std::{io::Write as _, path::PathBuf};

use clap::Args;
use modulith_kernel::{Answered, Operation, RestoreError};
use serde::Serialize;

use self::launched::LaunchedError;
use crate::{
    App,
    config::Loaded,
    operate::{self, OperateError, Operators},
    table::aligned,
    verify,
};

pub(crate) use self::{
    chaos::ChaosArgs,
    dead::DeadArgs,
    events::EventsArgs,
    flows::FlowsArgs,
    launched::{RestartArgs, ScaleArgs},
    pki::PkiArgs,
    store::StoreArgs,
};

/// How much of an event's contents, an error or a reason a list shows, in characters.
const BODY_SHOWN: usize = 100;

/// Where the stores are, and how to print.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The configuration, for its data folder and the modules' settings
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The data folder, instead of what the configuration says
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Prints JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Looks at the running application, or, when nothing runs, at its stores.\n\
    Checks that every event was handled once by each subscriber, or is pending or parked; that\n\
    every flow has ended, goes on or is parked; that every store is whole (only at rest); and\n\
    that the books of the modules balance.\n\
    Exit codes: 0 all of it holds, 1 it does not, and the ids are listed, 2 it cannot be told."
)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    common: Common,
}

/// Any of them.
pub(crate) enum Ordered {
    Scale(ScaleArgs),
    Restart(RestartArgs),
    Events(EventsArgs),
    Dead(DeadArgs),
    Flows(FlowsArgs),
    Pki(PkiArgs),
    Store(StoreArgs),
    Verify(VerifyArgs),
    Chaos(ChaosArgs),
}

impl Ordered {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Scale(args) => &args.common,
            Self::Restart(args) => &args.common,
            Self::Events(args) => &args.common,
            Self::Dead(args) => &args.common,
            Self::Flows(args) => &args.common,
            Self::Pki(args) => &args.common,
            Self::Store(args) => &args.common,
            Self::Verify(args) => &args.common,
            Self::Chaos(args) => &args.common,
        }
    }
}

/// Why a command for operators fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    #[error(transparent)]
    Operate(#[from] OperateError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Pki(#[from] pki::PkiError),
    #[error("events are only published while the application runs; `events list` reads the store")]
    NothingToFollow,
    #[error(
        "data folder {} is in use by {}; stop the application before you restore",
        data.display(),
        running.join(", ")
    )]
    Runs { data: PathBuf, running: Vec<String> },
    #[error(transparent)]
    Chaos(#[from] chaos::ChaosError),
    #[error(transparent)]
    Launched(#[from] LaunchedError),
    #[error("cannot print")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    /// Whether something was found or failed, rather than that it could not be begun.
    pub(crate) fn is_failure(&self) -> bool {
        match self {
            Self::Operate(OperateError::Operation(_))
            | Self::Chaos(chaos::ChaosError::NotBack { .. })
            | Self::Launched(LaunchedError::Failed(_) | LaunchedError::Lost(_))
            | Self::Output(_) => true,
            Self::Pki(error) => error.is_failure(),
            _ => false,
        }
    }
}

/// Carries out a command. Inside an actix system.
pub(crate) async fn run(
    app: &App,
    loaded: Loaded,
    ordered: &Ordered,
    reload: impl Fn() -> Option<Loaded>,
) -> Result<u8, CommandError> {
    let json = ordered.common().json;
    let text = match ordered {
        Ordered::Scale(args) => launched::obey(&loaded.config.data, args.order(), json)?,
        Ordered::Restart(args) => launched::obey(&loaded.config.data, args.order(), json)?,
        Ordered::Events(args) => match &args.command {
            events::EventsCommand::List {
                module,
                after,
                limit,
            } => events::list(app, loaded, module, *after, *limit, json).await?,
            events::EventsCommand::Tail { module, after } => {
                let first = Operators::find(app, loaded, &[named(app, module)?])?;
                return events::tail(app, first, reload, module, *after, json).await;
            }
        },
        Ordered::Dead(args) => dead::obey(app, loaded, &args.command, json).await?,
        Ordered::Flows(args) => flows::obey(app, loaded, &args.command, json).await?,
        Ordered::Pki(args) => pki::obey(&loaded.config, &args.command, json).await?,
        Ordered::Store(args) => store::obey(app, loaded, &args.command, json).await?,
        Ordered::Chaos(args) => return chaos::run(app, loaded, args, reload).await,
        Ordered::Verify(_) => {
            let report = audit(app, loaded).await?;
            print(&printed(json, &report, verify::text))?;
            return Ok(u8::from(report.violations > 0));
        }
    };
    print(&text)?;
    Ok(0)
}

/// Audits all stores.
async fn audit(app: &App, loaded: Loaded) -> Result<verify::Report, OperateError> {
    let modules = operate::stateful(app);
    let operators = Operators::find(app, loaded, &modules)?;
    let balances: Vec<_> = app.balances.iter().map(Vec::as_slice).collect();
    let report = verify::verify(&operators, &modules, &balances).await;
    operators.end().await;
    report
}

/// The module of an application with this name.
fn named(app: &App, module: &str) -> Result<&'static str, OperateError> {
    Ok(operate::known(app, module)?.manifest.module)
}

/// Has one operation done on one module.
async fn ask_one(
    app: &App,
    loaded: Loaded,
    module: &str,
    operation: Operation,
) -> Result<Answered, OperateError> {
    let module = named(app, module)?;
    let operators = Operators::find(app, loaded, &[module])?;
    let answered = operators.ask(module, operation).await;
    operators.end().await;
    answered
}

/// Has one operation done on one module, or on each.
async fn ask_each(
    app: &App,
    loaded: Loaded,
    module: Option<&String>,
    operation: &Operation,
) -> Result<Vec<(&'static str, Answered)>, OperateError> {
    let modules = match module {
        Some(module) => vec![named(app, module)?],
        None => operate::stateful(app),
    };
    let operators = Operators::find(app, loaded, &modules)?;
    let mut answers = Vec::new();
    let mut failed = None;
    for module in modules {
        if !operators.has(module) {
            continue;
        }
        match operators.ask(module, operation.clone()).await {
            Ok(answer) => answers.push((module, answer)),
            Err(error) => failed = Some(error),
        }
    }
    operators.end().await;
    failed.map_or(Ok(answers), Err)
}

fn print(text: &str) -> Result<(), std::io::Error> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `head` has had enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn printed<T: Serialize>(json: bool, value: &T, text: impl FnOnce(&T) -> String) -> String {
    if json {
        let mut text = serde_json::to_string_pretty(value).expect("an answer is plain data");
        text.push('\n');
        text
    } else {
        text(value)
    }
}

fn done_text(answered: &Answered, json: bool, what: &str) -> String {
    let Answered::Done(id) = answered else {
        unreachable!("what is done is answered so");
    };
    printed(json, &serde_json::json!({ "done": id }), |_| {
        format!("{id}: {what}\n")
    })
}

#[derive(Serialize)]
struct Of<T> {
    module: &'static str,
    #[serde(flatten)]
    line: T,
}

fn pairs(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, value)| vec![name.to_string(), value.clone()])
        .collect();
    aligned(&rows, &[])
}
