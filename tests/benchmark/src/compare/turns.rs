//! Taking turns: everybody once, then everybody again, and the medians of what each did.
//!
//! Whatever else the machine does meets all contenders of a heat.

use std::io::{self, IsTerminal};
use std::pin::Pin;

use indicatif::{ProgressBar, ProgressStyle};

use super::options::{Options, ROUNDS};
use super::report::{Heat, OURS, Standing};
use crate::error::Error;
use crate::load::{self, Contender, Figures, Window};

type Measuring = Pin<Box<dyn Future<Output = Result<Figures, Error>>>>;

/// One who takes part.
pub(crate) struct Entrant {
    who: &'static str,
    connections: Option<u16>,
    measure: Box<dyn Fn(Window) -> Measuring>,
}

impl Entrant {
    /// Us.
    pub(crate) fn ours(contender: impl Contender) -> Self {
        Self::peer(OURS, contender)
    }

    /// Somebody else, by the name that reports know.
    pub(crate) fn peer(who: &'static str, contender: impl Contender) -> Self {
        let measure =
            Box::new(move |window| -> Measuring { Box::pin(load::run(contender.clone(), window)) });
        Self {
            who,
            connections: None,
            measure,
        }
    }

    /// Whether it is one of us, or one who encrypts as we do.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.who == OURS || self.who.ends_with("-tls")
    }

    /// The same one may enter with several numbers of connections; the best of them counts.
    pub(crate) fn with_connections(mut self, connections: u16) -> Self {
        self.connections = Some(connections);
        self
    }
}

/// Those who are compared with each other, and at what.
pub(crate) struct Field {
    pub(crate) group: String,
    pub(crate) callers: u16,
    /// How many calls are timed together.
    pub(crate) chunk: u32,
    pub(crate) entrants: Vec<Entrant>,
}

/// Has every field take its turns, one field after the other.
pub(crate) async fn take(fields: Vec<Field>, options: &Options) -> Result<Vec<Heat>, Error> {
    let turns = fields
        .iter()
        .map(|field| field.entrants.len())
        .sum::<usize>()
        * usize::from(ROUNDS);
    let progress = Progress::new(turns);
    let mut heats = Vec::with_capacity(fields.len());
    for field in fields {
        let window = options.window(field.callers, field.chunk);
        let mut turns = vec![Vec::new(); field.entrants.len()];
        for round in 1..=ROUNDS {
            for (entrant, turns) in field.entrants.iter().zip(&mut turns) {
                progress.step(&field, entrant, round);
                let figures = (entrant.measure)(window).await?;
                turns.push(Standing::new(entrant.who, entrant.connections, &figures));
            }
        }
        let standings = turns.iter().map(|turns| Standing::median(turns));
        heats.push(Heat::new(field.group, field.callers, standings.collect()));
    }
    Ok(heats)
}

/// How far the turns are: a bar, or a line per field where a bar cannot be drawn.
struct Progress(Option<ProgressBar>);

impl Progress {
    fn new(turns: usize) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} left  {msg}");
            ProgressBar::new(turns as u64).with_style(style.expect("the template is valid"))
        });
        Self(bar)
    }

    fn step(&self, field: &Field, entrant: &Entrant, round: u16) {
        let at = format!("{}, {} in flight", field.group, field.callers);
        match &self.0 {
            Some(bar) => {
                bar.set_message(format!("{at}: {}", entrant.who));
                bar.inc(1);
            }
            None if round == 1 && entrant.who == OURS => eprintln!("{at}"),
            None => {}
        }
    }
}

/// Clears the bar away; tables follow.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
