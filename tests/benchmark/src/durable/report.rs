//! What was measured, as a table for people, as Markdown and as JSON, all from the same rows.

use std::fmt::{self, Write};
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use clap::ValueEnum;
use serde::Serialize;

use super::disk;
use super::options::Options;
use crate::error::Error;
use crate::load::Figures;

/// Who competes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Who {
    /// Modulith with its defaults: a reply means that the change is on the disk.
    Modulith,
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// NATS JetStream.
    Nats,
    /// Modulith that promises less; for information.
    Relaxed,
}

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// Adding to a random row of many.
    Update,
    /// Appending to a log.
    Event,
}

/// At least how many times PostgreSQL's updates ours are to be, by callers.
const UPDATE_TARGETS: [(u16, f64); 4] = [(1, 1.1), (16, 1.7), (64, 3.5), (256, 10.0)];

/// At least how many times Redis' appends our events are to be, from that many callers up.
const EVENT_TARGET: (u16, f64) = (16, 1.0);

/// One turn of one contender.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    callers: u16,
    round: u16,
    work: Work,
    who: Who,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// How many commands shared a commit on average.
    per_commit: Option<f64>,
    syncs_each: Option<f64>,
}

/// The medians of all turns of one contender at one number of callers.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    median: Measured,
    /// Operations per second over those of PostgreSQL in the same round.
    times_postgres: Option<f64>,
    times_redis: Option<f64>,
    target: Option<Target>,
}

/// What a row is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Target {
    against: Who,
    at_least: f64,
    /// Unknown when the other is not there.
    met: Option<bool>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    seconds: f64,
    rounds: u16,
    cores: usize,
    file_system: String,
    /// The median time of an fdatasync of one page, in microseconds.
    sync_us: f64,
    /// How many processes wanted a core in the minute before; others than ours spoil the figures.
    load_before: String,
    load_after: String,
    /// Versions, and what was skipped.
    pub(crate) notes: Vec<String>,
    rows: Vec<Row>,
    turns: Vec<Measured>,
}

impl Measured {
    pub(crate) fn new(callers: u16, round: u16, work: Work, who: Who, figures: &Figures) -> Self {
        let took = &figures.took_ns;
        let ms = |ns: u64| ns as f64 / 1_000_000.0;
        let counts = figures.counts;
        let per_commit = counts.map(|counts| counts.commands as f64 / counts.commits as f64);
        let syncs_each = counts.map(|counts| counts.syncs as f64 / counts.commands as f64);
        Self {
            callers,
            round,
            work,
            who,
            per_second: figures.per_second(),
            p50_ms: ms(took.value_at_quantile(0.50)),
            p99_ms: ms(took.value_at_quantile(0.99)),
            max_ms: ms(took.max()),
            // Nothing at all was done: there is no average of it.
            per_commit: per_commit.filter(|average| average.is_finite()),
            syncs_each: syncs_each.filter(|average| average.is_finite()),
        }
    }

    fn is_of(&self, other: &Self) -> bool {
        (self.callers, self.work, self.who) == (other.callers, other.work, other.who)
    }

    /// How many times as many operations this turn had as another's of the same round.
    fn times(&self, who: Who, turns: &[Self]) -> Option<f64> {
        let same = (self.callers, self.work, self.round);
        let mut others = turns
            .iter()
            .filter(|turn| turn.who == who && (turn.callers, turn.work, turn.round) == same);
        others
            .next()
            .filter(|_| who != self.who)
            .map(|other| self.per_second / other.per_second)
    }
}

impl Row {
    /// Of one contender at one number of callers, from all turns of all.
    fn of(first: &Measured, turns: &[Measured]) -> Self {
        let own: Vec<_> = turns.iter().filter(|turn| turn.is_of(first)).collect();
        let each = |value: fn(&Measured) -> f64| median(own.iter().map(|turn| value(turn)));
        // A round in which a stall let nothing through has no averages.
        let some = |value: fn(&Measured) -> Option<f64>| {
            let known: Vec<_> = own.iter().filter_map(|turn| value(turn)).collect();
            (!known.is_empty()).then(|| median(known))
        };
        let times = |who| {
            let all: Option<Vec<_>> = own.iter().map(|turn| turn.times(who, turns)).collect();
            all.map(median)
        };
        let (times_postgres, times_redis) = (times(Who::Postgres), times(Who::Redis));
        let target = target(first).map(|(against, at_least)| {
            let times = if against == Who::Redis {
                times_redis
            } else {
                times_postgres
            };
            Target {
                against,
                at_least,
                met: times.map(|times| times >= at_least),
            }
        });
        let median = Measured {
            per_second: each(|turn| turn.per_second),
            p50_ms: each(|turn| turn.p50_ms),
            p99_ms: each(|turn| turn.p99_ms),
            max_ms: own.iter().map(|turn| turn.max_ms).fold(0.0, f64::max),
            per_commit: some(|turn| turn.per_commit),
            syncs_each: some(|turn| turn.syncs_each),
            ..first.clone()
        };
        Self {
            median,
            times_postgres,
            times_redis,
            target,
        }
    }

    fn cells(&self) -> Cells {
        let Measured {
            callers,
            work,
            who,
            per_second,
            p50_ms,
            p99_ms,
            max_ms,
            per_commit,
            syncs_each,
            ..
        } = &self.median;
        let or_dash = |value: &Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        [
            callers.to_string(),
            name(*who, *work).to_owned(),
            format!("{per_second:.0}"),
            format!("{p50_ms:.2}"),
            format!("{p99_ms:.2}"),
            format!("{max_ms:.1}"),
            or_dash(per_commit, 1),
            or_dash(syncs_each, 3),
            or_dash(&self.times_postgres, 2),
            or_dash(&self.times_redis, 2),
            self.target
                .map(|target| target.to_string())
                .unwrap_or_default(),
        ]
    }
}

/// What a contender's operation is called where it comes from.
fn name(who: Who, work: Work) -> &'static str {
    match (who, work) {
        (Who::Modulith, Work::Update) => "Modulith, command that updates",
        (Who::Modulith, Work::Event) => "Modulith, command that publishes",
        (Who::Relaxed, _) => "Modulith, update, relaxed",
        (Who::Postgres, Work::Update) => "PostgreSQL UPDATE",
        (Who::Postgres, Work::Event) => "PostgreSQL INSERT",
        (Who::Redis, _) => "Redis XADD, fsync always",
        (Who::Nats, _) => "NATS JetStream publish",
    }
}

fn target(of: &Measured) -> Option<(Who, f64)> {
    match (of.who, of.work) {
        (Who::Modulith, Work::Update) => {
            let mut targets = UPDATE_TARGETS.iter();
            let found = targets.find(|(callers, _)| *callers == of.callers);
            found.map(|(_, at_least)| (Who::Postgres, *at_least))
        }
        (Who::Modulith, Work::Event) => {
            let (from, at_least) = EVENT_TARGET;
            (of.callers >= from).then_some((Who::Redis, at_least))
        }
        _ => None,
    }
}

/// The middle one; the upper of two.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let against = match self.against {
            Who::Redis => "Redis",
            _ => "PostgreSQL",
        };
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "not compared",
        };
        write!(f, ">= {} x {against}: {verdict}", self.at_least)
    }
}

/// One line of the table.
type Cells = [String; HEADS.len()];

const HEADS: [&str; 11] = [
    "callers",
    "who",
    "ops/s",
    "p50 ms",
    "p99 ms",
    "max ms",
    "ops/commit",
    "syncs/op",
    "x PostgreSQL",
    "x Redis",
    "target",
];

/// Which columns hold words and so begin at the left.
fn is_text(column: usize) -> bool {
    matches!(HEADS[column], "who" | "target")
}

impl Report {
    /// A report without rows, of a run on a folder's disk.
    pub(crate) fn new(options: &Options, folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            seconds: options.measured().as_secs_f64(),
            rounds: options.rounds,
            cores: available_parallelism().map_or(1, usize::from),
            file_system: disk::file_system(folder),
            sync_us: disk::sync_us(folder)?,
            load_before: load_average(),
            load_after: String::new(),
            notes: Vec::new(),
            rows: Vec::new(),
            turns: Vec::new(),
        })
    }

    /// Adds what was measured up to now.
    pub(crate) fn add(&mut self, turns: &[Measured]) {
        self.load_after = load_average();
        let firsts = turns.iter().filter(|turn| turn.round == 1);
        self.rows.extend(firsts.map(|first| Row::of(first, turns)));
        self.turns.extend_from_slice(turns);
    }

    /// The run in a sentence.
    fn about(&self) -> String {
        let Self {
            seconds,
            rounds,
            cores,
            file_system,
            sync_us,
            load_before,
            load_after,
            ..
        } = self;
        format!(
            "Medians of {rounds} rounds of {seconds} s each, max over all; {cores} cores, \
             {file_system}, an fdatasync of one page takes {sync_us:.0} us; load average {load_before} \
             before, {load_after} after."
        )
    }

    /// The table and its circumstances, for docs/benchmarks.md.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.about());
        for note in &self.notes {
            text += &format!("{note}.\n");
        }
        text += &format!("\n| {} |\n|", HEADS.join(" | "));
        for column in 0..HEADS.len() {
            text += if is_text(column) { " --- |" } else { " ---: |" };
        }
        text.push('\n');
        for row in &self.rows {
            text += &format!("| {} |\n", row.cells().join(" | "));
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.about())?;
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        let mut lines = vec![HEADS.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| lines.iter().map(|line| line[column].len()).max();
        let widths: Vec<_> = (0..HEADS.len()).filter_map(width).collect();
        for (number, line) in lines.iter().enumerate() {
            let before = number
                .checked_sub(2)
                .map(|before| &self.rows[before].median);
            let this = number.checked_sub(1).map(|this| &self.rows[this].median);
            if before.map(|row| row.callers) != this.map(|row| row.callers) {
                writeln!(f)?;
            }
            writeln!(f, "{}", aligned(line, &widths).trim_end())?;
        }
        Ok(())
    }
}

/// The load average of the last minute, as Linux tells it.
fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split_whitespace().next();
    minute.unwrap_or("unknown").to_owned()
}

fn aligned(line: &Cells, widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
        // Writing to a string cannot fail.
        _ = if is_text(column) {
            write!(text, "{cell:<width$}  ")
        } else {
            write!(text, "{cell:>width$}  ")
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(round: u16, who: Who, per_second: f64) -> Measured {
        Measured {
            callers: 64,
            round,
            work: Work::Update,
            who,
            per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            max_ms: f64::from(round),
            per_commit: (who == Who::Modulith).then_some(32.0),
            syncs_each: (who == Who::Modulith).then_some(0.031),
        }
    }

    fn report(turns: &[Measured]) -> Report {
        let mut report = Report {
            seconds: 2.0,
            rounds: 3,
            cores: 2,
            file_system: "ext4".to_owned(),
            sync_us: 125.0,
            load_before: "0.10".to_owned(),
            load_after: String::new(),
            notes: vec!["PostgreSQL 15".to_owned()],
            rows: Vec::new(),
            turns: Vec::new(),
        };
        report.add(turns);
        report
    }

    /// The machine has a bad moment in the second round, which both feel.
    fn turns() -> Vec<Measured> {
        let rounds = [(1, 90.0, 20.0), (2, 9.0, 2.0), (3, 80.0, 20.0)];
        let both = rounds.map(|(round, ours, theirs)| {
            [
                turn(round, Who::Modulith, ours),
                turn(round, Who::Postgres, theirs),
            ]
        });
        both.into_iter().flatten().collect()
    }

    #[test]
    fn only_turns_of_the_same_round_are_compared() {
        let report = report(&turns());
        let ours = &report.rows[0];
        assert_eq!(ours.median.per_second, 80.0);
        assert_eq!(ours.median.max_ms, 3.0);
        assert_eq!(ours.times_postgres, Some(4.5));
        assert_eq!(ours.target.map(|target| target.met), Some(Some(true)));
        assert_eq!(report.rows[1].times_postgres, None);
    }

    #[test]
    fn without_a_rival_there_is_no_verdict() {
        let report = report(&[turn(1, Who::Modulith, 90.0)]);
        let target = report.rows[0].target.unwrap();
        assert_eq!(target.to_string(), ">= 3.5 x PostgreSQL: not compared");
    }

    #[test]
    fn table_and_markdown_have_the_same_cells() {
        let report = report(&turns());
        let lines: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
        let cells = [
            "64",
            "Modulith,",
            "command",
            "that",
            "updates",
            "80",
            "1.00",
            "2.00",
            "3.0",
            "32.0",
            "0.031",
            "4.50",
            "-",
        ];
        let ours: Vec<_> = lines[4].split_whitespace().take(cells.len()).collect();
        assert_eq!(ours, cells);
        let markdown = report.markdown();
        let row = "| 64 | Modulith, command that updates | 80 | 1.00 | 2.00 | 3.0 | 32.0 | 0.031 \
                   | 4.50 | - | >= 3.5 x PostgreSQL: met |";
        assert!(markdown.contains(row), "{markdown}");
    }
}
