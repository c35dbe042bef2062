//! What was measured, as rows for programs and as Markdown tables for people, from one source.

use std::fmt::Write;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::load::Figures;

/// What we are called among those who take part.
pub(crate) const OURS: &str = "modulith";

/// How the names of groups end in which our network threads look for news before they sleep.
pub(crate) const WITH_SPINNING: &str = "-spin";

/// What one contender did at one load: a turn, or the medians of several.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) who: String,
    /// Over how many connections, where that was tried out.
    pub(crate) connections: Option<u16>,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Of all processes involved, per request.
    pub(crate) cpu_us: Option<f64>,
    /// The most memory that was resident, of the server or of this process if there is none.
    pub(crate) peak_mib: Option<f64>,
    /// From the start to the first answer, where that was looked at.
    pub(crate) start_ms: Option<f64>,
}

/// Contenders at the same load.
#[derive(Debug, Clone)]
pub(crate) struct Heat {
    group: String,
    in_flight: u16,
    ours: Standing,
    /// Everybody else, each once: with the number of connections that was best.
    peers: Vec<Standing>,
}

/// We beside one of the others: an element of the JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    group: String,
    /// Requests per second.
    ours: f64,
    /// What we are called: with what is not our default.
    ours_name: String,
    /// Who the other is.
    peer: String,
    in_flight: u16,
    /// Our requests per second over the peer's.
    ratio: f64,
    peer_per_second: f64,
    peer_connections: Option<u16>,
    ours_p50_us: f64,
    ours_p99_us: f64,
    peer_p50_us: f64,
    peer_p99_us: f64,
    ours_cpu_us: Option<f64>,
    peer_cpu_us: Option<f64>,
    ours_peak_mib: Option<f64>,
    peer_peak_mib: Option<f64>,
    ours_start_ms: Option<f64>,
    peer_start_ms: Option<f64>,
    /// What the ratio is to be at least, where something was promised.
    target: Option<f64>,
    met: Option<bool>,
}

/// What the ratio is to be: group, peer, and from how many in flight up to which ratio holds.
/// The last that fits counts.
const TARGETS: [(&str, &str, u16, f64); 20] = [
    ("wire-64B", "tonic-tls", 1, 1.2),
    ("wire-64B", "tonic-tls", 16, 3.0),
    ("wire-64B", "tonic-tls", 64, 5.0),
    ("wire-64B", "tonic-tls", 256, 8.0),
    // With spinning: those of its own at 1 and 64; elsewhere what holds without.
    ("wire-64B-spin", "tonic-tls", 1, 5.0),
    ("wire-64B-spin", "tonic-tls", 16, 3.0),
    ("wire-64B-spin", "tonic-tls", 64, 12.0),
    ("wire-64B-spin", "tonic-tls", 256, 8.0),
    ("wire-1KiB", "tonic-tls", 64, 8.0),
    ("wire-1MiB", "tonic-tls", 1, 3.0),
    ("wire-64B", "tcp-tls", 16, 0.8),
    ("wire-1KiB", "tcp-tls", 16, 0.8),
    ("wire-1MiB", "tcp-tls", 8, 0.8),
    ("durable-update", "postgres", 1, 1.1),
    ("durable-update", "postgres", 16, 1.7),
    ("durable-update", "postgres", 64, 3.5),
    ("durable-update", "postgres", 256, 10.0),
    ("durable-event", "redis-streams", 16, 1.0),
    ("shop-home", "actix-web", 1, 0.25),
    // At most one and a half times as long.
    ("store-query", "redb", 1, 1.0 / 1.5),
];

fn target(group: &str, peer: &str, in_flight: u16) -> Option<f64> {
    let fits =
        |row: &&(&str, &str, u16, f64)| row.0 == group && row.1 == peer && row.2 <= in_flight;
    TARGETS.iter().rev().find(fits).map(|row| row.3)
}

impl Standing {
    /// Of one turn.
    pub(crate) fn new(who: &str, connections: Option<u16>, figures: &Figures) -> Self {
        let us = |ns: u64| ns as f64 / 1_000.0;
        let calls = figures.calls as f64;
        let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / calls;
        Self {
            who: who.to_owned(),
            connections,
            per_second: per_second(figures),
            p50_us: us(figures.took_ns.value_at_quantile(0.50)),
            p99_us: us(figures.took_ns.value_at_quantile(0.99)),
            // Nothing at all was done: there is no share of it.
            cpu_us: figures.cpu.map(each).filter(|cpu| cpu.is_finite()),
            peak_mib: figures.peak_bytes.map(mib),
            start_ms: None,
        }
    }

    /// Of several turns of the same contender, figure by figure.
    pub(crate) fn median(turns: &[Self]) -> Self {
        let first = turns.first().expect("everybody had a turn");
        let of = |figure: fn(&Self) -> f64| median(turns.iter().map(figure));
        let some = |figure: fn(&Self) -> Option<f64>| {
            let known: Vec<_> = turns.iter().filter_map(figure).collect();
            (!known.is_empty()).then(|| median(known))
        };
        Self {
            who: first.who.clone(),
            connections: first.connections,
            per_second: of(|turn| turn.per_second),
            p50_us: of(|turn| turn.p50_us),
            p99_us: of(|turn| turn.p99_us),
            cpu_us: some(|turn| turn.cpu_us),
            peak_mib: some(|turn| turn.peak_mib),
            start_ms: some(|turn| turn.start_ms),
        }
    }

    /// The same under another name.
    pub(crate) fn named(self, who: impl Into<String>) -> Self {
        Self {
            who: who.into(),
            ..self
        }
    }
}

/// In a window that was too short for anything to end, as many as those under way took time for.
fn per_second(figures: &Figures) -> f64 {
    if figures.calls > 0 {
        return figures.per_second();
    }
    let (under_way, each_ns) = (figures.took_ns.len() as f64, figures.took_ns.mean());
    under_way * 1e9 / each_ns
}

/// The middle one; the upper of two.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Bytes in MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Heat {
    /// Of everybody's medians, of which one are ours.
    pub(crate) fn new(group: String, in_flight: u16, standings: Vec<Standing>) -> Self {
        let (ours, others): (Vec<_>, Vec<_>) =
            standings.into_iter().partition(|one| one.who == OURS);
        let ours = ours.into_iter().next().expect("we take part in every heat");
        let mut peers: Vec<Standing> = Vec::new();
        for other in others {
            match peers.iter_mut().find(|peer| peer.who == other.who) {
                None => peers.push(other),
                Some(peer) if peer.per_second < other.per_second => *peer = other,
                Some(_) => {}
            }
        }
        Self {
            group,
            in_flight,
            ours,
            peers,
        }
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    fn section(&self) -> &str {
        section_and_number(&self.group).0
    }

    pub(crate) fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// We first, then everybody else.
    pub(crate) fn standings(&self) -> impl Iterator<Item = &Standing> {
        std::iter::once(&self.ours).chain(&self.peers)
    }

    /// We beside each of the others.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        self.peers.iter().map(|peer| self.row(peer))
    }

    fn row(&self, peer: &Standing) -> Row {
        let ours = &self.ours;
        let ratio = ours.per_second / peer.per_second;
        let target = target(&self.group, &peer.who, self.in_flight);
        Row {
            group: self.group.clone(),
            ours: ours.per_second,
            ours_name: self.our_name(),
            peer: peer.who.clone(),
            in_flight: self.in_flight,
            ratio,
            peer_per_second: peer.per_second,
            peer_connections: peer.connections,
            ours_p50_us: ours.p50_us,
            ours_p99_us: ours.p99_us,
            peer_p50_us: peer.p50_us,
            peer_p99_us: peer.p99_us,
            ours_cpu_us: ours.cpu_us,
            peer_cpu_us: peer.cpu_us,
            ours_peak_mib: ours.peak_mib,
            peer_peak_mib: peer.peak_mib,
            ours_start_ms: ours.start_ms,
            peer_start_ms: peer.start_ms,
            target,
            met: target.map(|target| ratio >= target),
        }
    }

    fn our_name(&self) -> String {
        let is_spinning = self.group.ends_with(WITH_SPINNING);
        let settings = if is_spinning { " with spinning" } else { "" };
        format!("{}{settings}", self.ours.who)
    }

    fn cells(&self, standing: &Standing) -> Vec<String> {
        let or_dash = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), short);
        let is_ours = std::ptr::eq(standing, &self.ours);
        let mut who = if is_ours {
            self.our_name()
        } else {
            standing.who.clone()
        };
        let (_, number) = section_and_number(&self.group);
        if let Some(number) = number.filter(|_| is_ours) {
            // Writing to a string cannot fail.
            _ = write!(who, ", {number}");
        }
        if let Some(connections) = standing.connections {
            _ = write!(who, ", {connections} conn.");
        }
        let row = (!is_ours).then(|| self.row(standing));
        let verdict = row.as_ref().and_then(|row| {
            let met = if row.met? { "met" } else { "NOT MET" };
            Some(format!(">= {}: {met}", rounded(row.target?)))
        });
        vec![
            self.in_flight.to_string(),
            who,
            short(standing.per_second),
            short(standing.p50_us),
            short(standing.p99_us),
            or_dash(standing.cpu_us),
            or_dash(standing.peak_mib),
            or_dash(standing.start_ms),
            row.map(|row| format!("{:.2}", row.ratio))
                .unwrap_or_default(),
            verdict.unwrap_or_default(),
        ]
    }
}

/// Three digits that count: more would only look exact.
fn short(value: f64) -> String {
    match value {
        _ if !value.is_finite() => "-".to_owned(),
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// As it was promised, to two digits behind the point.
fn rounded(target: f64) -> f64 {
    (target * 100.0).round() / 100.0
}

/// The heads of a table, of which `start ms` is left out where nobody has one.
const HEADS: [&str; 10] = [
    "in flight",
    "who",
    "requests/s",
    "p50 µs",
    "p99 µs",
    "CPU µs/request",
    "peak MiB",
    "start ms",
    "ours is x",
    "target",
];

/// Where `start ms` is among the heads.
const START: usize = 7;

/// Which columns hold words and so begin at the left.
fn is_text(column: usize) -> bool {
    matches!(HEADS[column], "who" | "target")
}

/// A whole run.
pub(crate) struct Report {
    about: String,
    /// Versions, what was skipped, and what was found besides.
    pub(crate) notes: Vec<String>,
    heats: Vec<Heat>,
}

impl Report {
    pub(crate) fn new(seconds: f64, rounds: u16) -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        let load = load_average();
        let about = format!(
            "Medians of {rounds} turns of {seconds} s each; {cores} cores; load average {load} before."
        );
        Self {
            about,
            notes: Vec::new(),
            heats: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, heats: Vec<Heat>) {
        self.heats.extend(heats);
    }

    /// For programs.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.heats.iter().flat_map(Heat::rows).collect()
    }

    /// For people, and for docs/benchmarks.md: a table for each group.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.about);
        for note in &self.notes {
            _ = writeln!(text, "{note}.");
        }
        for section in self.sections() {
            let heats: Vec<_> = self.heats_of(section).collect();
            _ = write!(text, "\n### `{section}`\n\n{}", table(&heats));
        }
        text
    }

    /// The tables' names, each once, in the order of the run.
    pub(crate) fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<&str> = Vec::new();
        for heat in &self.heats {
            if !sections.contains(&heat.section()) {
                sections.push(heat.section());
            }
        }
        sections
    }

    /// The heats of a table.
    pub(crate) fn heats_of(&self, section: &str) -> impl Iterator<Item = &Heat> {
        self.heats
            .iter()
            .filter(move |heat| heat.section() == section)
    }
}

/// Takes `scale-rows-1000` apart: groups that differ by a number share a table.
fn section_and_number(group: &str) -> (&str, Option<&str>) {
    let numbered = group.rsplit_once('-');
    let numbered = numbered.filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    match numbered {
        Some((section, number)) => (section, Some(number)),
        None => (group, None),
    }
}

fn table(heats: &[&Heat]) -> String {
    let mut standings = heats.iter().flat_map(|heat| heat.standings());
    let has_start = standings.any(|standing| standing.start_ms.is_some());
    let columns: Vec<_> = (0..HEADS.len())
        .filter(|column| has_start || *column != START)
        .collect();
    let line = |cells: &[String]| {
        let cells: Vec<_> = columns
            .iter()
            .map(|column| cells[*column].as_str())
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let mut text = line(&HEADS.map(str::to_owned));
    let rule = |column: &usize| if is_text(*column) { "---" } else { "---:" };
    let rules: Vec<_> = columns.iter().map(rule).collect();
    text += &format!("| {} |\n", rules.join(" | "));
    for heat in heats {
        for standing in heat.standings() {
            text += &line(&heat.cells(standing));
        }
    }
    text
}

/// The load average of the last minute, as Linux tells it: others than ours spoil the figures.
fn load_average() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split_whitespace().next();
    minute.unwrap_or("unknown").to_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn standing(who: &str, per_second: f64) -> Standing {
        Standing {
            who: who.to_owned(),
            connections: None,
            per_second,
            p50_us: 100.0,
            p99_us: 250.0,
            cpu_us: Some(2.5),
            peak_mib: None,
            start_ms: None,
        }
    }

    pub(crate) fn heat(in_flight: u16) -> Heat {
        let tonic = |connections, per_second| Standing {
            connections: Some(connections),
            ..standing("tonic-tls", per_second)
        };
        let standings = vec![
            tonic(1, 10_000.0),
            standing(OURS, 120_000.0),
            tonic(2, 20_000.0),
            tonic(4, 15_000.0),
            standing("unix", 240_000.0),
        ];
        Heat::new("wire-64B".to_owned(), in_flight, standings)
    }

    #[test]
    fn a_peer_is_compared_with_at_its_best_number_of_connections() {
        let rows: Vec<_> = heat(64).rows().collect();
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (row.peer.as_str(), row.peer_connections, row.ratio))
            .collect();
        assert_eq!(seen, [("tonic-tls", Some(2), 6.0), ("unix", None, 0.5)]);
        assert_eq!((rows[0].target, rows[0].met), (Some(5.0), Some(true)));
        assert_eq!((rows[1].target, rows[1].met), (None, None));
    }

    #[test]
    fn a_target_holds_until_the_next_higher_load() {
        assert_eq!(target("wire-64B", "tonic-tls", 1), Some(1.2));
        assert_eq!(target("wire-64B", "tonic-tls", 63), Some(3.0));
        assert_eq!(target("wire-64B", "tonic-tls", 256), Some(8.0));
        assert_eq!(target("wire-1KiB", "tonic-tls", 16), None);
        assert_eq!(target("wire-64B", "tarpc", 64), None);
    }

    #[test]
    fn medians_are_taken_figure_by_figure_and_missing_ones_left_out() {
        let turn = |per_second, cpu_us| Standing {
            cpu_us,
            ..standing(OURS, per_second)
        };
        let turns = [turn(3.0, None), turn(1.0, Some(9.0)), turn(2.0, Some(7.0))];
        let median = Standing::median(&turns);
        assert_eq!((median.per_second, median.cpu_us), (2.0, Some(9.0)));
        assert_eq!(median.start_ms, None);
    }

    #[test]
    fn tables_have_a_line_for_everybody_and_the_verdict_where_it_belongs() {
        let mut report = Report::new(0.5, 3);
        report
            .notes
            .push("SKIPPED: NATS is not installed".to_owned());
        report.add(vec![heat(64)]);
        let markdown = report.markdown();
        for line in [
            "SKIPPED: NATS is not installed.",
            "### `wire-64B`",
            "| in flight | who | requests/s | p50 µs | p99 µs | CPU µs/request | peak MiB | ours is x | target |",
            "| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
            "| 64 | modulith | 120000 | 100 | 250 | 2.50 | - |  |  |",
            "| 64 | tonic-tls, 2 conn. | 20000 | 100 | 250 | 2.50 | - | 6.00 | >= 5: met |",
            "| 64 | unix | 240000 | 100 | 250 | 2.50 | - | 0.50 |  |",
        ] {
            assert!(markdown.lines().any(|l| l == line), "{line}\n{markdown}");
        }
    }

    #[test]
    fn groups_that_differ_by_a_number_share_a_table() {
        let at = |group: &str| {
            let both = vec![standing(OURS, 9.0), standing("1-module", 10.0)];
            Heat::new(group.to_owned(), 64, both)
        };
        let mut report = Report::new(0.5, 3);
        report.add(vec![at("scale-modules-10"), at("scale-modules-50")]);
        assert_eq!(report.sections(), ["scale-modules"]);
        let markdown = report.markdown();
        assert!(
            markdown.contains("| 64 | modulith, 50 | 9.00 |"),
            "{markdown}"
        );
        assert_eq!(section_and_number("wire-64B"), ("wire-64B", None));
    }

    #[test]
    fn spinning_shows_in_the_name_and_has_targets_of_its_own() {
        let both = vec![standing(OURS, 60.0), standing("tonic-tls", 10.0)];
        let heat = Heat::new("wire-64B-spin".to_owned(), 1, both);
        let row = heat.rows().next().unwrap();
        assert_eq!(row.ours_name, "modulith with spinning");
        assert_eq!((row.target, row.met), (Some(5.0), Some(true)));
        let table = table(&[&heat]);
        assert!(
            table.contains("| 1 | modulith with spinning | 60.0 |"),
            "{table}"
        );
    }

    #[test]
    fn rows_have_the_keys_that_programs_look_for() {
        let mut report = Report::new(0.5, 3);
        report.add(vec![heat(1)]);
        let json = serde_json::to_value(report.rows()).unwrap();
        assert_eq!(json[1]["group"], "wire-64B");
        assert_eq!(json[1]["peer"], "unix");
        assert_eq!(json[1]["in_flight"], 1);
        assert_eq!(json[1]["ours"], 120_000.0);
        assert_eq!(json[1]["ratio"], 0.5);
    }
}
