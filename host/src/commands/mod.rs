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
use modulith_kernel::{Answered, Operation, OperationError, RestoreError, partition};
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
    /// Which partition of a divided module; as MODULE/NUMBER in its place too. All without it
    #[arg(long, value_name = "NUMBER", global = true)]
    pub(crate) partition: Option<u16>,
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
    let common = ordered.common();
    let json = common.json;
    let text = match ordered {
        Ordered::Scale(args) => launched::obey(&loaded.config.data, args.order(), json)?,
        Ordered::Restart(args) => launched::obey(&loaded.config.data, args.order(), json)?,
        Ordered::Events(args) => match &args.command {
            events::EventsCommand::List {
                module,
                after,
                limit,
            } => {
                events::list(
                    app,
                    loaded,
                    &chosen(app, module, common)?,
                    *after,
                    *limit,
                    json,
                )
                .await?
            }
            events::EventsCommand::Tail { module, after } => {
                let of = chosen(app, module, common)?;
                let first = Operators::find(app, loaded, &[of.module])?;
                return events::tail(app, first, reload, &of, *after, json).await;
            }
        },
        Ordered::Dead(args) => dead::obey(app, loaded, &args.command, common).await?,
        Ordered::Flows(args) => flows::obey(app, loaded, &args.command, common).await?,
        Ordered::Pki(args) => pki::obey(&loaded.config, &args.command, json).await?,
        Ordered::Store(args) => store::obey(app, loaded, &args.command, common).await?,
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

/// A module, and one of its partitions if that was said.
struct Chosen {
    module: &'static str,
    partition: Option<u16>,
}

/// The module of an application with this name, which may say the partition: `cart/2`.
fn chosen(app: &App, name: &str, common: &Common) -> Result<Chosen, OperateError> {
    let (module, partition) = partition::named(name);
    Ok(Chosen {
        module: operate::known(app, module)?.manifest.module,
        partition: partition.or(common.partition),
    })
}

impl Chosen {
    /// The names of its partitions that there is something to be asked of.
    fn names(&self, operators: &Operators) -> Result<Vec<String>, OperateError> {
        operators.names(self.module, self.partition)
    }

    /// The name of the one that is meant.
    fn only(&self, operators: &Operators) -> Result<String, OperateError> {
        let mut names = self.names(operators)?;
        match (names.pop(), names.is_empty()) {
            (Some(name), true) => Ok(name),
            _ => Err(OperateError::WhichPartition {
                module: self.module.to_string(),
                count: operators.count(self.module),
            }),
        }
    }

    /// The name of the one that has what a question is about.
    async fn having(
        &self,
        operators: &Operators,
        question: &Operation,
    ) -> Result<String, OperateError> {
        let names = self.names(operators)?;
        if let [only] = names.as_slice() {
            return Ok(only.clone());
        }
        let mut having = Vec::new();
        for name in names {
            match operators.ask(&name, question.clone()).await {
                Ok(_) => having.push(name),
                Err(OperateError::Operation(OperationError::NotThere(_))) => {}
                Err(error) => return Err(error),
            }
        }
        let module = self.module;
        let error = match having.as_slice() {
            [one] => return Ok(one.clone()),
            [] => OperationError::NotThere(format!("no partition of module {module} has that")),
            _ => OperationError::Cannot(format!(
                "more than one partition of module {module} has that: {}; say which with \
                 --partition",
                having.join(", ")
            )),
        };
        Err(error.into())
    }
}

/// Has one operation done on the one partition that is meant.
async fn ask_one(
    app: &App,
    loaded: Loaded,
    of: &Chosen,
    operation: Operation,
) -> Result<Answered, OperateError> {
    let operators = Operators::find(app, loaded, &[of.module])?;
    let answered = match of.only(&operators) {
        Ok(name) => operators.ask(&name, operation).await,
        Err(error) => Err(error),
    };
    operators.end().await;
    answered
}

/// Has one operation done on the partition that has what a question is about. Gives its name.
async fn ask_having(
    app: &App,
    loaded: Loaded,
    of: &Chosen,
    question: &Operation,
    operation: Operation,
) -> Result<(String, Answered), OperateError> {
    let operators = Operators::find(app, loaded, &[of.module])?;
    let answered = match of.having(&operators, question).await {
        Ok(name) => operators
            .ask(&name, operation)
            .await
            .map(|done| (name, done)),
        Err(error) => Err(error),
    };
    operators.end().await;
    answered
}

/// Has one operation done on each partition of one module, or of all. Gives their names.
async fn ask_each(
    app: &App,
    loaded: Loaded,
    of: Option<&Chosen>,
    operation: &Operation,
) -> Result<Vec<(String, Answered)>, OperateError> {
    let modules = match of {
        Some(of) => vec![of.module],
        None => operate::stateful(app),
    };
    let operators = Operators::find(app, loaded, &modules)?;
    let answers = ask_all(
        &operators,
        &modules,
        of.and_then(|of| of.partition),
        operation,
    )
    .await;
    operators.end().await;
    answers
}

async fn ask_all(
    operators: &Operators,
    modules: &[&'static str],
    partition: Option<u16>,
    operation: &Operation,
) -> Result<Vec<(String, Answered)>, OperateError> {
    let mut answers = Vec::new();
    let mut failed = None;
    for module in modules {
        for name in operators.names(module, partition)? {
            match operators.ask(&name, operation.clone()).await {
                Ok(answer) => answers.push((name, answer)),
                Err(error) => failed = Some(error),
            }
        }
    }
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
    module: String,
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
