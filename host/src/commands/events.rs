//! `events`: a module's log, so far and as it grows.

use std::{fmt::Write, time::Duration};

use clap::{Args, Subcommand};
use modulith_kernel::{Answered, EVENTS_LISTED_MAX, EventLine, Operation};

use super::{BODY_SHOWN, CommandError, Common, ask_one, named, print, printed};
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

pub(super) async fn tail(
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
