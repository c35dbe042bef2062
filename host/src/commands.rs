//! The commands for operators: events, dead letters, flows, stores and the audit.

use std::{
    fmt::Write,
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use modulith_kernel::{
    Answered, Clock, DeadLetter, EVENTS_LISTED_MAX, EventLine, FlowLine, FlowPart, FlowStand,
    LetterId, Operation, OperationError, RestoreError, StoreInfo, SystemClock,
};
use serde::Serialize;

use crate::{
    App,
    config::Loaded,
    operate::{self, OperateError, Operators},
    run_folder::RunFolder,
    status::LAUNCHER,
    table::{aligned, bytes, heading, shortened},
    verify,
};

/// How often `events tail` looks for more, and for a process that went away.
const TAIL_PAUSE: Duration = Duration::from_millis(300);

/// How much of an event a list shows, in characters.
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
#[command(after_help = "Examples:\n  \
    events list checkout --limit 5       the last five events of checkout\n  \
    events list checkout --after 40      those that follow number 40\n  \
    events tail checkout                 new ones as they come, until Ctrl-C\n  \
    events tail checkout --json | jq .   the same, a JSON document a line")]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    command: EventsCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum EventsCommand {
    /// Lists the events that a module published: the last ones, or those after a number
    List {
        /// The module that publishes
        module: String,
        /// Lists what follows this number, instead of the last ones
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
        /// How many, at most 1000
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
    },
    /// Prints events as they are published, until interrupted
    Tail {
        /// The module that publishes
        module: String,
        /// Begins with what follows this number, instead of with what is new
        #[arg(long, value_name = "NUMBER")]
        after: Option<u64>,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "A letter is named by publisher and number, as `dead list` prints it.\n\
    Examples:\n  \
    dead list                      the letters of all modules\n  \
    dead show cart checkout/17     the event, and why it cannot be handled\n  \
    dead retry cart checkout/17    hands it to its handler again\n  \
    dead retry cart --all          all of them, the oldest first\n  \
    dead drop cart checkout/17     it is never handled; the audit counts it as dropped"
)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    command: DeadCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum DeadCommand {
    /// Lists events whose handler failed too often
    List {
        /// The module that could not handle them; all modules without it
        module: Option<String>,
    },
    /// Shows one of them
    Show {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER")]
        letter: LetterId,
    },
    /// Hands one of them, or all, to the handler again
    Retry {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER", required_unless_present = "all")]
        letter: Option<LetterId>,
        /// All letters of the module
        #[arg(long, conflicts_with = "letter")]
        all: bool,
    },
    /// Drops one of them for good
    Drop {
        /// The module that could not handle it
        module: String,
        /// Publisher and number
        #[arg(value_parser = letter, value_name = "PUBLISHER/NUMBER")]
        letter: LetterId,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "A flow is named by its id or the first digits of it.\n\
    Examples:\n  \
    flows list checkout                 those that have not ended, then the latest\n  \
    flows show checkout 3f2a            one flow and its steps\n  \
    flows show checkout 3f2a --graph    the same as a Mermaid sequence diagram\n  \
    flows retry checkout 3f2a           goes on with a parked flow\n  \
    flows cancel checkout 3f2a          takes back what it did, and ends it")]
pub(crate) struct FlowsArgs {
    #[command(subcommand)]
    command: FlowsCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum FlowsCommand {
    /// Lists flows: those that have not ended, then the latest of the others
    List {
        /// The module that conducts them; all modules without it
        module: Option<String>,
        /// How many of each module
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
    },
    /// Shows one flow and its steps
    Show {
        /// The module that conducts it
        module: String,
        /// Its id, or the beginning of it
        flow: String,
        /// Prints a Mermaid sequence diagram
        #[arg(long)]
        graph: bool,
    },
    /// Goes on with a parked flow
    Retry {
        /// The module that conducts it
        module: String,
        /// Its id, or the beginning of it
        flow: String,
    },
    /// Takes back what a running or parked flow did, and ends it
    Cancel {
        /// The module that conducts it
        module: String,
        /// Its id, or the beginning of it
        flow: String,
    },
}

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
    command: StoreCommand,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
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
    Events(EventsArgs),
    Dead(DeadArgs),
    Flows(FlowsArgs),
    Store(StoreArgs),
    Verify(VerifyArgs),
}

impl Ordered {
    pub(crate) fn common(&self) -> &Common {
        match self {
            Self::Events(args) => &args.common,
            Self::Dead(args) => &args.common,
            Self::Flows(args) => &args.common,
            Self::Store(args) => &args.common,
            Self::Verify(args) => &args.common,
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
    #[error("events are only published while the application runs; `events list` reads the store")]
    NothingToFollow,
    #[error(
        "data folder {} is in use by {}; stop the application before you restore",
        data.display(),
        running.join(", ")
    )]
    Runs { data: PathBuf, running: Vec<String> },
    #[error("cannot print")]
    Output(#[from] std::io::Error),
}

impl CommandError {
    /// Whether something was found or failed, rather than that it could not be begun.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::Operate(OperateError::Operation(_)) | Self::Output(_)
        )
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
        Ordered::Events(args) => match &args.command {
            EventsCommand::List {
                module,
                after,
                limit,
            } => list_events(app, loaded, module, *after, *limit, json).await?,
            EventsCommand::Tail { module, after } => {
                let first = Operators::find(app, loaded, &[named(app, module)?])?;
                return tail(app, first, reload, module, *after, json).await;
            }
        },
        Ordered::Dead(args) => dead(app, loaded, &args.command, json).await?,
        Ordered::Flows(args) => flows(app, loaded, &args.command, json).await?,
        Ordered::Store(args) => store(app, loaded, &args.command, json).await?,
        Ordered::Verify(_) => {
            let modules = operate::stateful(app);
            let operators = Operators::find(app, loaded, &modules)?;
            let balances: Vec<_> = app.balances.iter().map(Vec::as_slice).collect();
            let report = verify::verify(&operators, &modules, &balances).await;
            operators.end().await;
            let report = report?;
            print(&printed(json, &report, verify::text))?;
            return Ok(u8::from(report.violations > 0));
        }
    };
    print(&text)?;
    Ok(0)
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

async fn list_events(
    app: &App,
    loaded: Loaded,
    module: &str,
    after: Option<u64>,
    limit: usize,
    json: bool,
) -> Result<String, CommandError> {
    let limit = limit.min(EVENTS_LISTED_MAX);
    let operation = Operation::ListEvents { after, limit };
    let Answered::Events { head, events } = ask_one(app, loaded, module, operation).await? else {
        unreachable!("events are answered by events");
    };
    Ok(printed(json, &events, |events| {
        let mut rows = vec![heading(&["NUMBER", "TIME", "EVENT", "BODY"])];
        rows.extend(events.iter().map(|event| event_row(event, BODY_SHOWN)));
        let mut text = aligned(&rows, &[0]);
        match events.last() {
            Some(last) if last.number < head => {
                _ = writeln!(
                    text,
                    "{} more follow: --after {}",
                    head - last.number,
                    last.number
                );
            }
            Some(_) => {}
            None => _ = writeln!(text, "nothing; the last event of {module} is number {head}"),
        }
        text
    }))
}

fn event_row(event: &EventLine, characters_max: usize) -> Vec<String> {
    vec![
        event.number.to_string(),
        event.at.to_string(),
        event.name.clone(),
        shortened(&event.body, characters_max),
    ]
}

async fn tail(
    app: &App,
    first: Operators,
    reload: impl Fn() -> Option<Loaded>,
    module: &str,
    after: Option<u64>,
    json: bool,
) -> Result<u8, CommandError> {
    if first.is_at_rest() {
        first.end().await;
        return Err(CommandError::NothingToFollow);
    }
    let module = named(app, module)?;
    let mut operators = first;
    let mut after = after;
    let mut was_away = false;
    loop {
        let limit = if after.is_none() {
            0
        } else {
            EVENTS_LISTED_MAX
        };
        let operation = Operation::ListEvents { after, limit };
        match operators.ask(module, operation).await {
            Ok(Answered::Events { head, events }) => {
                was_away = false;
                for event in &events {
                    print(&tail_line(event, json))?;
                }
                after = Some(events.last().map_or(after.unwrap_or(head), |e| e.number));
                if events.is_empty() {
                    tokio::time::sleep(TAIL_PAUSE).await;
                }
            }
            Ok(_) => unreachable!("events are answered by events"),
            Err(OperateError::Operation(error)) => return Err(OperateError::from(error).into()),
            Err(error) => {
                if !was_away {
                    eprintln!("{error}; waiting for it");
                }
                was_away = true;
                tokio::time::sleep(TAIL_PAUSE).await;
                // Its process may have another address by now; or all have stopped.
                match reload().map(|loaded| Operators::find(app, loaded, &[module])) {
                    Some(Ok(found)) if found.is_at_rest() => {
                        found.end().await;
                        eprintln!("the application has stopped");
                        return Ok(0);
                    }
                    Some(Ok(found)) => operators = found,
                    _ => {}
                }
            }
        }
    }
}

fn tail_line(event: &EventLine, json: bool) -> String {
    if json {
        let line = serde_json::to_string(event).expect("an event line is plain data");
        return format!("{line}\n");
    }
    format!("{}\n", event_row(event, usize::MAX).join("  "))
}

fn letter(text: &str) -> Result<LetterId, String> {
    let parsed = text.rsplit_once('/').and_then(|(publisher, number)| {
        Some(LetterId {
            publisher: publisher.to_string(),
            number: number.parse().ok()?,
        })
    });
    parsed.ok_or_else(|| "expected PUBLISHER/NUMBER, such as checkout/17".to_string())
}

async fn dead(
    app: &App,
    loaded: Loaded,
    command: &DeadCommand,
    json: bool,
) -> Result<String, CommandError> {
    let (module, operation, what) = match command {
        DeadCommand::List { module } => {
            let operation = Operation::ListDead;
            let answers = ask_each(app, loaded, module.as_ref(), &operation).await?;
            return Ok(letters_text(answers, json));
        }
        DeadCommand::Retry {
            module,
            letter: None,
            ..
        } => return retry_all(app, loaded, module, json).await,
        DeadCommand::Show { module, letter } => {
            let operation = Operation::ShowDead(letter.clone());
            let Answered::DeadLetters(letters) = ask_one(app, loaded, module, operation).await?
            else {
                unreachable!("letters are answered by letters");
            };
            return Ok(letters
                .first()
                .map(|letter| printed(json, letter, |letter| letter_text(module, letter)))
                .unwrap_or_default());
        }
        DeadCommand::Retry {
            module,
            letter: Some(letter),
            ..
        } => (module, Operation::RetryDead(letter.clone()), "handled"),
        DeadCommand::Drop { module, letter } => {
            (module, Operation::DropDead(letter.clone()), "dropped")
        }
    };
    let answered = ask_one(app, loaded, module, operation).await?;
    Ok(done_text(
        &answered,
        json,
        &format!("letter of {module} {what}"),
    ))
}

async fn retry_all(
    app: &App,
    loaded: Loaded,
    module: &str,
    json: bool,
) -> Result<String, CommandError> {
    let module = named(app, module)?;
    let operators = Operators::find(app, loaded, &[module])?;
    let mut handled = Vec::new();
    let mut failed = Vec::new();
    let listed = operators.ask(module, Operation::ListDead).await;
    if let Ok(Answered::DeadLetters(letters)) = &listed {
        for DeadLetter {
            publisher, number, ..
        } in letters
        {
            let id = LetterId {
                publisher: publisher.clone(),
                number: *number,
            };
            match operators.ask(module, Operation::RetryDead(id)).await {
                Ok(_) => handled.push(format!("{publisher}/{number}")),
                Err(error) => failed.push(format!("{publisher}/{number}: {error}")),
            }
        }
    }
    operators.end().await;
    listed?;
    if failed.is_empty() {
        return Ok(printed(json, &handled, |handled| {
            format!("{} letters of {module} handled\n", handled.len())
        }));
    }
    let reason = format!(
        "{} letters of {module} handled, {} not:\n  {}",
        handled.len(),
        failed.len(),
        failed.join("\n  ")
    );
    Err(OperateError::from(OperationError::Failed(reason)).into())
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

fn letters_text(answers: Vec<(&'static str, Answered)>, json: bool) -> String {
    let mut letters = Vec::new();
    for (module, answer) in answers {
        let Answered::DeadLetters(of_module) = answer else {
            unreachable!("letters are answered by letters");
        };
        letters.extend(of_module.into_iter().map(|line| Of { module, line }));
    }
    printed(json, &letters, |letters| {
        if letters.is_empty() {
            return "no dead letters\n".to_string();
        }
        let columns = ["MODULE", "LETTER", "EVENT", "LAST FAILED", "TRIES", "ERROR"];
        let mut rows = vec![heading(&columns)];
        rows.extend(letters.iter().map(|Of { module, line }| {
            vec![
                module.to_string(),
                format!("{}/{}", line.publisher, line.number),
                line.name.clone(),
                line.last_failed.to_string(),
                line.attempts.to_string(),
                shortened(&line.error, BODY_SHOWN),
            ]
        }));
        aligned(&rows, &[4])
    })
}

fn letter_text(module: &str, letter: &DeadLetter) -> String {
    let rows = [
        ("letter", format!("{}/{}", letter.publisher, letter.number)),
        ("module", module.to_string()),
        ("event", letter.name.clone()),
        ("published", letter.at.to_string()),
        ("caused by", letter.cause.clone()),
        ("first failed", letter.first_failed.to_string()),
        ("last failed", letter.last_failed.to_string()),
        ("tries", letter.attempts.to_string()),
        ("error", letter.error.clone()),
        ("body", letter.body.clone()),
    ];
    pairs(&rows)
}

fn pairs(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows
        .iter()
        .map(|(name, value)| vec![name.to_string(), value.clone()])
        .collect();
    aligned(&rows, &[])
}

async fn flows(
    app: &App,
    loaded: Loaded,
    command: &FlowsCommand,
    json: bool,
) -> Result<String, CommandError> {
    let (module, operation, what) = match command {
        FlowsCommand::List { module, limit } => {
            let operation = Operation::ListFlows { limit: *limit };
            let answers = ask_each(app, loaded, module.as_ref(), &operation).await?;
            return Ok(flows_text(answers, json));
        }
        FlowsCommand::Show {
            module,
            flow,
            graph,
        } => {
            let operation = Operation::ShowFlow { flow: flow.clone() };
            let Answered::Flow { flow, steps } = ask_one(app, loaded, module, operation).await?
            else {
                unreachable!("a flow is answered by a flow");
            };
            if *graph {
                return Ok(flow_graph(module, &flow, &steps));
            }
            let value = serde_json::json!({ "flow": flow, "steps": steps });
            return Ok(printed(json, &value, |_| flow_text(module, &flow, &steps)));
        }
        FlowsCommand::Retry { module, flow } => {
            let flow = flow.clone();
            (module, Operation::RetryFlow { flow }, "goes on")
        }
        FlowsCommand::Cancel { module, flow } => {
            let flow = flow.clone();
            (
                module,
                Operation::CancelFlow { flow },
                "takes back what it did, and ends",
            )
        }
    };
    let answered = ask_one(app, loaded, module, operation).await?;
    Ok(done_text(
        &answered,
        json,
        &format!("flow of {module} {what}"),
    ))
}

fn flows_text(answers: Vec<(&'static str, Answered)>, json: bool) -> String {
    let mut flows = Vec::new();
    for (module, answer) in answers {
        let Answered::Flows(of_module) = answer else {
            unreachable!("flows are answered by flows");
        };
        flows.extend(of_module.into_iter().map(|line| Of { module, line }));
    }
    printed(json, &flows, |flows| {
        if flows.is_empty() {
            return "no flows\n".to_string();
        }
        let columns = ["MODULE", "FLOW", "COMMAND", "STARTED", "STATE", ""];
        let mut rows = vec![heading(&columns)];
        rows.extend(flows.iter().map(|Of { module, line }| {
            vec![
                module.to_string(),
                line.id.clone(),
                line.command.clone(),
                line.started_at.to_string(),
                line.stand.word().to_string(),
                shortened(reason(&line.stand), BODY_SHOWN),
            ]
        }));
        aligned(&rows, &[])
    })
}

fn reason(stand: &FlowStand) -> &str {
    match stand {
        FlowStand::Running => "",
        FlowStand::Undoing(reason) | FlowStand::Parked(reason) | FlowStand::Ended(reason) => reason,
    }
}

fn flow_text(module: &str, flow: &FlowLine, steps: &[FlowPart]) -> String {
    let state = match reason(&flow.stand) {
        "" => flow.stand.word().to_string(),
        reason => format!("{}: {reason}", flow.stand.word()),
    };
    let ended = flow.ended_at.map(|at| at.to_string());
    let mut text = pairs(&[
        ("flow", flow.id.clone()),
        ("command", format!("{module}.{}", flow.command)),
        ("version", flow.version.to_string()),
        ("state", state),
        ("started", flow.started_at.to_string()),
        ("ended", ended.unwrap_or_else(|| "-".to_string())),
    ]);
    if steps.is_empty() {
        text.push_str("no steps yet\n");
        return text;
    }
    let mut rows = vec![heading(&[
        "STEP", "KIND", "WHAT", "CAME TO", "TRIES", "TIME",
    ])];
    rows.extend(steps.iter().map(|step| {
        // A branch stands further in than what it branches from.
        let depth = step.path.matches('.').count();
        vec![
            format!("{}{}", "  ".repeat(depth), step.path),
            step.kind.clone(),
            step.label.clone(),
            shortened(&step.summary, BODY_SHOWN),
            step.attempts.to_string(),
            step.at.to_string(),
        ]
    }));
    text.push('\n');
    text.push_str(&aligned(&rows, &[4]));
    text
}

/// A Mermaid sequence diagram: what was asked of whom, and what the flow did by itself.
fn flow_graph(module: &str, flow: &FlowLine, steps: &[FlowPart]) -> String {
    // Mermaid ends a statement at a semicolon, and a comment begins with a hash.
    let plain = |text: &str| text.replace([';', '#', '\n'], " ");
    let mut text = String::from("sequenceDiagram\n");
    _ = writeln!(text, "    participant {module}");
    _ = writeln!(
        text,
        "    Note over {module}: {} {}",
        flow.command,
        &flow.id[..8]
    );
    for step in steps {
        let (label, summary) = (plain(&step.label), plain(&shortened(&step.summary, 60)));
        let asked = label.split_once('.').filter(|_| {
            // What is taken back was asked of somebody too.
            step.kind == "ask" || step.kind == "undo"
        });
        _ = match asked {
            Some((other, message)) => writeln!(
                text,
                "    {module}->>{other}: {} {message}\n    {other}-->>{module}: {summary}",
                step.path
            ),
            None => writeln!(
                text,
                "    Note over {module}: {} {} {label} {summary}",
                step.path, step.kind
            ),
        };
    }
    let end = format!("{} {}", flow.stand.word(), reason(&flow.stand));
    _ = writeln!(text, "    Note over {module}: {}", plain(end.trim()));
    text
}

async fn store(
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
