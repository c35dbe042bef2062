//! `flows`: where the flows of a module stand, and what to do about one.

use std::fmt::Write;

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, FlowLine, FlowPart, FlowStand, Operation};

use super::{
    BODY_SHOWN, CommandError, Common, Of, ask_each, ask_having, chosen, done_text, pairs, printed,
};
use crate::{
    App,
    config::Loaded,
    table::{aligned, heading, shortened},
};

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
    pub(super) command: FlowsCommand,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum FlowsCommand {
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

pub(super) async fn obey(
    app: &App,
    loaded: Loaded,
    command: &FlowsCommand,
    common: &Common,
) -> Result<String, CommandError> {
    let json = common.json;
    let (module, flow, operation, what) = match command {
        FlowsCommand::List { module, limit } => {
            let operation = Operation::ListFlows { limit: *limit };
            let of = module.as_ref().map(|module| chosen(app, module, common));
            let answers = ask_each(app, loaded, of.transpose()?.as_ref(), &operation).await?;
            return Ok(flows_text(answers, json));
        }
        FlowsCommand::Show {
            module,
            flow,
            graph,
        } => {
            let question = Operation::ShowFlow { flow: flow.clone() };
            let of = chosen(app, module, common)?;
            let (name, answered) =
                ask_having(app, loaded, &of, &question, question.clone()).await?;
            let Answered::Flow { flow, steps } = answered else {
                unreachable!("a flow is answered by a flow");
            };
            if *graph {
                return Ok(flow_graph(of.module, &flow, &steps));
            }
            let value = serde_json::json!({ "flow": flow, "steps": steps });
            return Ok(printed(json, &value, |_| flow_text(&name, &flow, &steps)));
        }
        FlowsCommand::Retry { module, flow } => {
            let operation = Operation::RetryFlow { flow: flow.clone() };
            (module, flow, operation, "goes on")
        }
        FlowsCommand::Cancel { module, flow } => {
            let operation = Operation::CancelFlow { flow: flow.clone() };
            (module, flow, operation, "takes back what it did, and ends")
        }
    };
    let of = chosen(app, module, common)?;
    let question = Operation::ShowFlow { flow: flow.clone() };
    let (module, answered) = ask_having(app, loaded, &of, &question, operation).await?;
    Ok(done_text(
        &answered,
        json,
        &format!("flow of {module} {what}"),
    ))
}

fn flows_text(answers: Vec<(String, Answered)>, json: bool) -> String {
    let mut flows = Vec::new();
    for (module, answer) in answers {
        let Answered::Flows(of_module) = answer else {
            unreachable!("flows are answered by flows");
        };
        flows.extend(of_module.into_iter().map(|line| Of {
            module: module.clone(),
            line,
        }));
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
