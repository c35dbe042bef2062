//! What can be set about a run, and within which limits.

use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{Args, value_parser};

use super::client::Origin;

/// The arguments of `benchmark shop`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where the shop is, such as http://127.0.0.1:8080
    #[arg(long)]
    pub(crate) url: Origin,

    /// How many shoppers shop at once, each waiting for its answer before it goes on
    #[arg(long, value_name = "N")]
    pub(crate) shoppers: NonZeroU16,

    /// How long they shop, at most a day; requests under way at the end are waited for
    #[arg(long, value_name = "S", value_parser = value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,

    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// What the shoppers' choices are drawn from; the same seed, the same choices
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// How long a shopper thinks between visits on average, at most a minute
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = value_parser!(u32).range(..=60_000))]
    pub(crate) think_ms: u32,
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
        Line::try_parse_from(["shop"].into_iter().chain(line.split(' '))).map(|line| line.options)
    }

    #[test]
    fn the_shortest_line_thinks_not_at_all_and_writes_no_file() {
        let options = parse("--url http://localhost:8080 --shoppers 5 --seconds 10").unwrap();

        assert_eq!(options.url.to_string(), "http://localhost:8080");
        assert_eq!(
            (options.shoppers.get(), options.seconds, options.think_ms),
            (5, 10, 0)
        );
        assert!(options.json.is_none() && options.seed.is_none());
    }

    #[test]
    fn a_bad_argument_is_refused_with_its_name_and_exit_code_2() {
        for (line, named) in [
            ("--shoppers 5 --seconds 10", "--url"),
            (
                "--url localhost:8080 --shoppers 5 --seconds 10",
                "http://HOST",
            ),
            (
                "--url https://shop --shoppers 5 --seconds 10",
                "http://HOST",
            ),
            (
                "--url http://shop/de --shoppers 5 --seconds 10",
                "http://HOST",
            ),
            ("--url http://shop --shoppers 0 --seconds 10", "--shoppers"),
            ("--url http://shop --shoppers 5 --seconds 0", "--seconds"),
            (
                "--url http://shop --shoppers 5 --seconds 1 --think-ms 60001",
                "--think-ms",
            ),
        ] {
            let error = parse(line).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }
}
