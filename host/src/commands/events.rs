//! `events`: a module's log, so far and as it grows.

use std::{fmt::Write, time::Duration};

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, EVENTS_LISTED_MAX, EventLine, Operation};

use super::{BODY_SHOWN, Chosen, CommandError, Common, Of, ask_each, print, printed};
use crate::{
    App,
    config::Loaded,
    operate::{OperateError, Operators},
    table::{aligned, heading, shortened},
};

/// How often `events tail` looks for more, and for a process that went away.
const TAIL_PAUSE: Duration = Duration::from_millis(300);

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    events list checkout --limit 5       the last five events of checkout\n  \
    events list checkout --after 40      those that follow number 40\n  \
    events tail checkout                 new ones as they come, until Ctrl-C\n  \
    events tail checkout --json | jq .   the same, a JSON document a line")]
pub(crate) struct EventsArgs {
    #[command(subcommand)]
    pub(super) command: EventsCommand,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum EventsCommand {
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

pub(super) async fn list(
    app: &App,
    loaded: Loaded,
    of: &Chosen,
    after: Option<u64>,
    limit: usize,
    json: bool,
) -> Result<String, CommandError> {
    let limit = limit.min(EVENTS_LISTED_MAX);
    check_after(after, loaded.config.partitions_of(of.module), of)?;
    let operation = Operation::ListEvents { after, limit };
    let answers = ask_each(app, loaded, Some(of), &operation).await?;
    let logs: Vec<_> = answers.into_iter().map(log).collect();
    if let [(name, head, events)] = logs.as_slice() {
        return Ok(printed(json, events, |events| {
            list_text(name, *head, events)
        }));
    }
    if json {
        let lines = logs.into_iter().flat_map(|(module, _, events)| {
            let of = move |line| Of {
                module: module.clone(),
                line,
            };
            events.into_iter().map(of)
        });
        return Ok(printed(json, &lines.collect::<Vec<_>>(), |_| String::new()));
    }
    let texts = logs.iter().map(|(name, head, events)| {
        let text = list_text(name, *head, events);
        format!("{name}\n{text}")
    });
    Ok(texts.collect::<Vec<_>>().join("\n"))
}

/// Numbers are those of one log.
fn check_after(after: Option<u64>, count: u16, of: &Chosen) -> Result<(), OperateError> {
    if after.is_some() && of.partition.is_none() && count > 1 {
        let module = of.module.to_string();
        return Err(OperateError::WhichPartition { module, count });
    }
    Ok(())
}

fn log((name, answered): (String, Answered)) -> (String, u64, Vec<EventLine>) {
    match answered {
        Answered::Events { head, events } => (name, head, events),
        _ => unreachable!("events are answered by events"),
    }
}

fn list_text(name: &str, head: u64, events: &[EventLine]) -> String {
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
        None => _ = writeln!(text, "nothing; the last event of {name} is number {head}"),
    }
    text
}

fn event_row(event: &EventLine, characters_max: usize) -> Vec<String> {
    vec![
        event.number.to_string(),
        event.at.to_string(),
        event.name.clone(),
        shortened(&event.body, characters_max),
    ]
}

pub(super) async fn tail(
    app: &App,
    first: Operators,
    reload: impl Fn() -> Option<Loaded>,
    of: &Chosen,
    after: Option<u64>,
    json: bool,
) -> Result<u8, CommandError> {
    if first.is_at_rest() {
        first.end().await;
        return Err(CommandError::NothingToFollow);
    }
    check_after(after, first.count(of.module), of)?;
    let names = of.names(&first)?;
    let mut logs: Vec<_> = names.into_iter().map(|name| (name, after)).collect();
    let mut operators = first;
    let mut was_away = false;
    loop {
        match follow(&operators, &mut logs, json).await {
            Ok(true) => was_away = false,
            Ok(false) => {
                was_away = false;
                tokio::time::sleep(TAIL_PAUSE).await;
            }
            Err(CommandError::Operate(OperateError::Operation(error))) => {
                return Err(OperateError::from(error).into());
            }
            Err(CommandError::Operate(error)) => {
                if !was_away {
                    eprintln!("{error}; waiting for it");
                }
                was_away = true;
                tokio::time::sleep(TAIL_PAUSE).await;
                // Its process may have another address by now; or all have stopped.
                match reload().map(|loaded| Operators::find(app, loaded, &[of.module])) {
                    Some(Ok(found)) if found.is_at_rest() => {
                        found.end().await;
                        eprintln!("the application has stopped");
                        return Ok(0);
                    }
                    Some(Ok(found)) => operators = found,
                    _ => {}
                }
            }
            Err(other) => return Err(other),
        }
    }
}

/// Prints what is new in each log, and notes how far it was read. False when there was nothing.
async fn follow(
    operators: &Operators,
    logs: &mut [(String, Option<u64>)],
    json: bool,
) -> Result<bool, CommandError> {
    let several = logs.len() > 1;
    let mut any = false;
    for (name, after) in logs {
        let limit = if after.is_none() {
            0
        } else {
            EVENTS_LISTED_MAX
        };
        let operation = Operation::ListEvents {
            after: *after,
            limit,
        };
        let answered = operators.ask(name, operation).await?;
        let (_, head, events) = log((name.clone(), answered));
        for event in &events {
            print(&tail_line(several.then_some(name), event, json))?;
        }
        *after = Some(events.last().map_or(after.unwrap_or(head), |e| e.number));
        any |= !events.is_empty();
    }
    Ok(any)
}

/// A line for an event, with the name of its log when there are several.
fn tail_line(name: Option<&String>, event: &EventLine, json: bool) -> String {
    if json {
        let line = match name {
            Some(name) => serde_json::to_string(&Of {
                module: name.clone(),
                line: event,
            }),
            None => serde_json::to_string(event),
        };
        return format!("{}\n", line.expect("an event line is plain data"));
    }
    let row = event_row(event, usize::MAX).join("  ");
    match name {
        Some(name) => format!("{name}  {row}\n"),
        None => format!("{row}\n"),
    }
}
