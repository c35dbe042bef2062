//! What can be set about a run, and within which limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, value_parser};

use super::report::Who;

/// How long each caller count of each contender is measured unless told otherwise, in seconds.
const SECONDS: f64 = 2.0;

/// The same for a run that only shows that everything works, and roughly where it stands.
const QUICK_SECONDS: f64 = 0.2;

/// The arguments of `benchmark durable`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Measure for a fifth of a second each instead of two: a check, not a measurement
    #[arg(long, conflicts_with = "seconds")]
    quick: bool,

    /// How long to measure each contender at each number of callers in each round
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<f64>,

    /// How many callers ask at once, each waiting for its answer before it asks again
    #[arg(long, value_name = "N,N", value_delimiter = ',', default_values_t = [1, 16, 64, 256],
        value_parser = value_parser!(u16).range(1..=4096))]
    pub(crate) callers: Vec<u16>,

    /// How often each contender has its turn; medians are reported
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u16).range(1..=99))]
    pub(crate) rounds: u16,

    /// Below which folder everybody keeps data; decides the disk
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    pub(crate) folder: PathBuf,

    /// Measure only one contender, for profiling
    #[arg(long, value_name = "WHO")]
    only: Option<Who>,

    /// Print the table as Markdown
    #[arg(long)]
    pub(crate) markdown: bool,

    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Leave one contender out
    #[arg(skip)]
    without: Option<Who>,
}

impl Options {
    /// For a comparison with others: not with ourselves when we promise less.
    pub(crate) fn beside_others(seconds: f64, rounds: u16, callers: &[u16], folder: &Path) -> Self {
        Self {
            quick: false,
            seconds: Some(seconds),
            callers: callers.to_vec(),
            rounds,
            folder: folder.to_path_buf(),
            only: None,
            markdown: false,
            json: None,
            without: Some(Who::Relaxed),
        }
    }

    /// How long to measure.
    pub(crate) fn measured(&self) -> Duration {
        let seconds = if self.quick { QUICK_SECONDS } else { SECONDS };
        Duration::from_secs_f64(self.seconds.unwrap_or(seconds))
    }

    /// Whether a contender takes part.
    pub(crate) fn wants(&self, who: Who) -> bool {
        self.only.is_none_or(|only| only == who) && self.without != Some(who)
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.05..=3_600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.05 to 3600".to_owned()),
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
        let words = ["durable"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options)
    }

    #[test]
    fn without_arguments_everything_has_a_default() {
        let options = parse("").unwrap();
        assert_eq!(options.callers, [1, 16, 64, 256]);
        assert_eq!(
            (options.rounds, options.measured()),
            (3, Duration::from_secs(2))
        );
        let quick = parse("--quick --callers 1,64").unwrap();
        assert_eq!(quick.callers, [1, 64]);
        assert_eq!(quick.measured(), Duration::from_millis(200));
    }

    #[test]
    fn a_bad_argument_is_refused_with_its_name() {
        for (line, named) in [
            ("--seconds 0", "--seconds"),
            ("--seconds NaN", "--seconds"),
            ("--callers 1,0", "--callers"),
            ("--rounds 0", "--rounds"),
            ("--quick --seconds 1", "--quick"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(named), "{line}: {error}");
        }
    }
}
