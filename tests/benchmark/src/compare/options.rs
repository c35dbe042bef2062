//! What can be set about a comparison, and within which limits.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::load::Window;

/// How long each contender is measured in each round, in seconds.
const SECONDS: f64 = 0.8;

/// The same for a run that only shows that everything works, and roughly where it stands.
const QUICK_SECONDS: f64 = 0.06;

/// The part of the measured time that goes before it, to get everybody going.
const WARM_UP: f64 = 0.25;

/// How often everybody has a turn; the medians count.
pub(crate) const ROUNDS: u16 = 3;

/// What is compared: the beginnings of all groups' names.
pub(crate) const SECTIONS: [&str; 6] = ["local", "store", "wire", "durable", "shop", "scale"];

/// The arguments of `benchmark compare`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Measure a tenth as long: under two minutes, a check and not a measurement
    #[arg(long)]
    pub(crate) quick: bool,

    /// Compare only groups whose names begin so: local, store, wire, wire-64B, durable, shop, scale;
    /// may be given more than once
    #[arg(long, value_name = "GROUP", value_parser = group)]
    only: Vec<String>,

    /// How long our network threads look for news before they sleep, on both sides, in
    /// microseconds; a whole run measures wire-64B without and with 200
    #[arg(long, value_name = "MICROS", value_parser = spin)]
    pub(crate) spin: Option<Duration>,

    /// Where to write the rows as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where to write the tables as Markdown, which are printed anyway
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// In which folder to draw latency against load, an SVG file for each group
    #[arg(long, value_name = "DIR")]
    pub(crate) plots: Option<PathBuf>,

    /// Below which folder everybody keeps data; decides the disk
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) folder: PathBuf,

    /// How long to measure each contender in each round
    #[arg(long, value_name = "N", hide = true, value_parser = seconds)]
    seconds: Option<f64>,
}

impl Options {
    /// Whether any group takes part whose name begins so.
    pub(crate) fn wants_part_of(&self, beginning: &str) -> bool {
        let fits =
            |only: &String| only.starts_with(beginning) || beginning.starts_with(only.as_str());
        self.only.is_empty() || self.only.iter().any(fits)
    }

    /// Whether a group takes part.
    pub(crate) fn wants(&self, group: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|only| group.starts_with(only.as_str()))
    }

    /// How long each turn is, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        let seconds = if self.quick { QUICK_SECONDS } else { SECONDS };
        self.seconds.unwrap_or(seconds)
    }

    /// One turn of a number of callers.
    pub(crate) fn window(&self, callers: u16, chunk: u32) -> Window {
        window(self.seconds(), callers, chunk)
    }
}

/// One turn of a number of callers.
pub(crate) fn window(seconds: f64, callers: u16, chunk: u32) -> Window {
    let measured = Duration::from_secs_f64(seconds);
    Window {
        callers,
        warm_up: measured.mul_f64(WARM_UP),
        measured,
        chunk,
    }
}

fn group(text: &str) -> Result<String, String> {
    if SECTIONS.iter().any(|section| text.starts_with(section)) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "expected the beginning of a group: {}",
            SECTIONS.join(", ")
        ))
    }
}

fn spin(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(micros) if (0..=10_000).contains(&micros) => Ok(Duration::from_micros(micros)),
        _ => Err("expected microseconds from 0 to 10000".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.01 to 60".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn parse(line: &str) -> Result<Options, clap::Error> {
        let words = ["compare"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options)
    }

    #[test]
    fn without_arguments_everything_is_compared() {
        let options = parse("").unwrap();
        assert!(
            SECTIONS
                .iter()
                .all(|section| options.wants_part_of(section))
        );
        assert_eq!(options.window(1, 1).measured, Duration::from_millis(800));
        let quick = parse("--quick --only wire-64B --only shop").unwrap();
        assert!(quick.wants_part_of("wire") && !quick.wants_part_of("local"));
        assert!(quick.wants("wire-64B") && !quick.wants("wire-1KiB"));
        assert!(quick.wants("shop-pages-2"));
        assert_eq!(quick.window(1, 1).measured, Duration::from_millis(60));
    }

    #[test]
    fn a_bad_argument_is_refused_with_its_name() {
        for (line, named) in [
            ("--only wir", "--only"),
            ("--seconds 0", "--seconds"),
            ("--spin 10001", "--spin"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
