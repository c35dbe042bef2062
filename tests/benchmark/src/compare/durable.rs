//! Durable changes: the contenders of `benchmark durable`, among the others' tables.

use super::options::{Options, ROUNDS};
use super::report::{Heat, OURS, Standing};
use crate::durable::{self, Turn, Who, Work};
use crate::error::Error;

/// How many ask at once.
const IN_FLIGHT: [u16; 4] = [1, 16, 64, 256];

/// Compares. Inside an actix system.
pub(crate) async fn compare(
    options: &Options,
    notes: &mut Vec<String>,
) -> Result<Vec<Heat>, Error> {
    let seconds = options.seconds();
    let durable = durable::Options::beside_others(seconds, ROUNDS, &IN_FLIGHT, &options.folder);
    let turns = durable::turns(&durable, notes).await?;
    let mut heats = Vec::new();
    for (work, group) in [
        (Work::Update, "durable-update"),
        (Work::Event, "durable-event"),
    ] {
        for callers in IN_FLIGHT.into_iter().filter(|_| options.wants(group)) {
            let of_heat = turns
                .iter()
                .filter(|turn| (turn.work, turn.callers) == (work, callers));
            heats.push(Heat::new(group.to_owned(), callers, medians(of_heat)));
        }
    }
    Ok(heats)
}

/// The medians of everybody who had a turn, in the order of their first.
fn medians<'a>(turns: impl Iterator<Item = &'a Turn>) -> Vec<Standing> {
    let mut all: Vec<(Who, Vec<Standing>)> = Vec::new();
    for turn in turns {
        let standing = Standing::new(name(turn.who), None, &turn.figures);
        match all.iter_mut().find(|(who, _)| *who == turn.who) {
            Some((_, standings)) => standings.push(standing),
            None => all.push((turn.who, vec![standing])),
        }
    }
    all.iter()
        .map(|(_, turns)| Standing::median(turns))
        .collect()
}

fn name(who: Who) -> &'static str {
    match who {
        Who::Modulith => OURS,
        Who::Postgres => "postgres",
        Who::Redis => "redis-streams",
        Who::Nats => "nats",
        Who::Relaxed => "relaxed",
    }
}
