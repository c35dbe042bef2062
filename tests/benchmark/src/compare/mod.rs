//! Everything beside whatever else does it, in one run: `benchmark compare`.
//!
//! Every contender's server is a process of its own (`serve`), its callers are tasks of one
//! thread of this one (`load`); contenders take turns, and medians count (`turns`). What is
//! compared: asking within a process (`local`, `store`), between two (`wire`), durable changes
//! (`durable`), the boutique's home page (`home`), the boutique in several placements (`shop`),
//! and more of everything (`scale`).

mod actors;
mod child;
mod divided;
mod durable;
mod echo;
mod frames;
mod grpc;
mod home;
mod identity;
mod local;
mod options;
mod ours;
mod plot;
mod report;
mod scale;
mod serve;
mod shop;
mod store;
mod tarpc;
mod turns;
mod wire;

use std::fs::{self, File};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use actix_rt::System;
use tempfile::TempDir;

pub(crate) use options::Options;
pub(crate) use serve::{Serve, serve};

use crate::error::{Error, causes, interrupted};
use options::ROUNDS;
use report::{Heat, Report};

/// Compares, and prints the tables.
pub(crate) fn run(options: &Options) -> ExitCode {
    let compared = System::new().block_on(async {
        tokio::select! {
            compared = compare(options) => compared,
            error = interrupted() => Err(error),
        }
    });
    match compared {
        Ok(report) => {
            print!("{}", report.markdown());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}{}", causes(&error));
            ExitCode::from(2)
        }
    }
}

async fn compare(options: &Options) -> Result<Report, Error> {
    let begun = Instant::now();
    prepare(options)?;
    let folder = TempDir::with_prefix_in("modulith-compare-", &options.folder)
        .map_err(Error::io("make a temporary folder"))?;
    let path = folder.path();
    let mut report = Report::new(options.seconds(), ROUNDS);
    let mut notes = Vec::new();
    if options.wants_part_of("local") {
        report.add(local::compare(options, path).await?);
    }
    if options.wants_part_of("store") {
        report.add(store::compare(options, path).await?);
    }
    if options.wants_part_of("wire") {
        report.add(wire::compare(options, path).await?);
    }
    if options.wants_part_of("durable") {
        report.add(durable::compare(options, &mut notes).await?);
    }
    if options.wants("shop-home") {
        report.add(home::compare(options, path, &mut notes).await?);
    }
    if options.wants_part_of("shop-pages") || options.wants_part_of("shop-orders") {
        report.add(shop::compare(options, path, &mut notes).await?);
    }
    if options.wants_part_of("scale") {
        report.add(scale::compare(options, path, begun, &mut notes).await?);
    }
    report.notes = notes;
    write_down(options, &report)?;
    Ok(report)
}

/// Makes the files before the run, so that a wrong path does not cost minutes.
fn prepare(options: &Options) -> Result<(), Error> {
    for path in options.json.iter().chain(&options.markdown) {
        File::create(path).map_err(unwritable(path))?;
    }
    if let Some(folder) = &options.plots {
        fs::create_dir_all(folder).map_err(unwritable(folder))?;
    }
    Ok(())
}

fn write_down(options: &Options, report: &Report) -> Result<(), Error> {
    let write = |path: &Path, text: &str| fs::write(path, text).map_err(unwritable(path));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report.rows());
        write(path, &json.map_err(Error::of("the report", "be written"))?)?;
    }
    if let Some(path) = &options.markdown {
        write(path, &report.markdown())?;
    }
    if let Some(folder) = &options.plots {
        for section in report.sections() {
            // Groups that differ by a number are no points of one curve.
            let heats = report
                .heats_of(section)
                .filter(|heat| heat.group() == section);
            let heats: Vec<&Heat> = heats.collect();
            if let Some(svg) = plot::latency(section, &heats) {
                write(&folder.join(format!("{section}.svg")), &svg)?;
            }
        }
    }
    Ok(())
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Unwritable { path, source }
}
