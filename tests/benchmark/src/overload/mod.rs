//! Too much at once: what the boutique still does when it is asked for more than it can do.
//!
//! First its peak is looked for by clients who wait for their answers (a closed loop). Then
//! requests arrive on a schedule that waits for nobody (an open loop), at shares and multiples of
//! that peak; what counts is how many are served in time, and how fast.

mod drive;
mod mix;
mod report;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use actix_rt::System;
use clap::Args;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::boutique::{self, Boutique, ONE_PROCESS};
use crate::error::{Error, causes, interrupted};
use crate::http;
use drive::Visitors;
use report::{Peak, Report, Step};

/// How many clients wait for their answers at once when the peak is looked for.
const CLIENTS: [u16; 5] = [4, 16, 64, 128, 256];
const QUICK_CLIENTS: [u16; 2] = [16, 64];

/// What is offered, in peaks.
const TIMES: [f64; 5] = [0.5, 1.0, 1.5, 2.0, 3.0];

/// How long each load is kept up.
const SECONDS: f64 = 5.0;
const QUICK_SECONDS: f64 = 1.0;

/// How long everything is done before anything counts.
const WARM_UP: Duration = Duration::from_secs(1);

/// How long the shop is left alone between two loads.
const REST: Duration = Duration::from_millis(500);

/// The arguments of `benchmark overload`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where the shop is, such as http://127.0.0.1:8080; without it, the boutique that was built
    /// beside this program is started on an empty folder
    #[arg(long)]
    url: Option<String>,

    /// How long each load is kept up; without it 5 s, or 1 s when quick
    #[arg(long, value_name = "N", value_parser = seconds)]
    seconds: Option<f64>,

    /// A fifth as long, and fewer steps to the peak: a check and not a measurement
    #[arg(long)]
    quick: bool,

    /// Where to write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Overloads, and prints the table.
pub(crate) fn run(options: &Options) -> ExitCode {
    let measured = System::new().block_on(async {
        tokio::select! {
            measured = measure(options) => measured,
            error = interrupted() => Err(error),
        }
    });
    match measured {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}{}", causes(&error));
            ExitCode::from(2)
        }
    }
}

async fn measure(options: &Options) -> Result<Report, Error> {
    let unwritable = |source| Error::Unwritable {
        path: options.json.clone().unwrap_or_default(),
        source,
    };
    // Before the run, so that a wrong path does not cost a minute.
    let json = options.json.as_ref().map(File::create);
    let json = json.transpose().map_err(unwritable)?;
    let folder = TempDir::with_prefix("modulith-overload-").map_err(Error::io("make a folder"))?;
    let report = match &options.url {
        Some(url) => load(url, options).await?,
        None => {
            let program = boutique::program().ok_or(Error::NotBuilt)?;
            let shop = Boutique::start(&program, &folder.path().join("shop"), ONE_PROCESS).await?;
            load(&shop.url, options).await?
        }
    };
    if let Some(file) = json {
        serde_json::to_writer_pretty(file, &report).map_err(|error| unwritable(error.into()))?;
    }
    Ok(report)
}

async fn load(url: &str, options: &Options) -> Result<Report, Error> {
    let seconds = if options.quick {
        QUICK_SECONDS
    } else {
        SECONDS
    };
    let seconds = options.seconds.unwrap_or(seconds);
    let duration = Duration::from_secs_f64(seconds);
    let visitors = Visitors::new(http::address(url)?);
    let clients: &[u16] = if options.quick {
        &QUICK_CLIENTS
    } else {
        &CLIENTS
    };
    visitors.closed(clients[0], WARM_UP.min(duration)).await;
    let mut peak = Peak::default();
    for &clients in clients {
        eprintln!("{clients} clients, each waiting for its answer");
        let seen = visitors.closed(clients, duration).await;
        peak = peak.or_better(clients, &seen, duration);
    }
    if peak.per_second == 0.0 {
        return Err(Error::WrongReply("the shop"));
    }
    let mut steps = Vec::new();
    for times in TIMES {
        sleep(REST.min(duration)).await;
        let per_second = peak.per_second * times;
        eprintln!("{per_second:.0} requests per second, {times} times the peak");
        let seen = visitors.open(per_second, duration).await;
        steps.push(Step::new(times, &seen, duration, &peak));
    }
    Ok(Report::new(url, seconds, peak, steps))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=600.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.1 to 600".to_owned()),
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

    #[test]
    fn a_bad_argument_is_refused_with_its_name() {
        assert!(Line::try_parse_from(["overload", "--quick"]).is_ok());
        let error = Line::try_parse_from(["overload", "--seconds", "0"]).unwrap_err();
        assert!(error.to_string().contains("--seconds"), "{error}");
    }
}
