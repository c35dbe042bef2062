//! The boutique in one process, in two and in ten: what splitting costs.
//!
//! Each placement is the real program on an empty data folder, loaded by the shoppers of
//! `benchmark shop`; what it is compared with is the same program in one process.

use std::path::Path;
use std::process::Command;
use std::thread;

use tokio::sync::oneshot;

use super::options::Options;
use super::report::{Heat, OURS, Standing, mib};
use crate::boutique::{self, Boutique, NOT_BUILT};
use crate::error::Error;
use crate::shop;

/// How many shop at once.
const SHOPPERS: u16 = 50;

/// How long they shop, and how often in each placement.
const SECONDS: (u32, u16) = (10, 3);

/// The same for a quick run.
const QUICK_SECONDS: (u32, u16) = (2, 1);

/// Placements by their number of processes, as they are shipped. The first is compared with.
const PLACEMENTS: [(&str, &str); 3] = [
    ("1", include_str!("../../../../app/config/one-process.toml")),
    (
        "2",
        include_str!("../../../../app/config/checkout-apart.toml"),
    ),
    (
        "10",
        include_str!("../../../../app/config/every-module-apart.toml"),
    ),
];

/// What we are compared with.
const BASE: &str = "one-process";

/// What the shoppers of one turn saw.
struct Trial {
    pages: Standing,
    orders: Standing,
    /// How many requests modules answered for each of the shoppers' requests.
    asks: f64,
}

/// Compares. Inside an actix system.
pub(crate) async fn compare(
    options: &Options,
    folder: &Path,
    notes: &mut Vec<String>,
) -> Result<Vec<Heat>, Error> {
    let Some(program) = boutique::program() else {
        eprintln!("{NOT_BUILT}");
        notes.push(NOT_BUILT.to_owned());
        return Ok(Vec::new());
    };
    let (seconds, rounds) = if options.quick {
        QUICK_SECONDS
    } else {
        SECONDS
    };
    let mut trials: Vec<Vec<Trial>> = PLACEMENTS.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for ((processes, config), trials) in PLACEMENTS.into_iter().zip(&mut trials) {
            eprintln!("the shop in {processes} processes, round {round} of {rounds}");
            let folder = folder.join(format!("shop-{processes}-{round}"));
            trials.push(shop_in(&program, &folder, config, seconds).await?);
        }
    }
    let pages: Vec<_> = trials
        .iter()
        .map(|all| medians(all, |t| &t.pages))
        .collect();
    let orders: Vec<_> = trials
        .iter()
        .map(|all| medians(all, |t| &t.orders))
        .collect();
    notes.extend(cost_of_splitting(&trials, &pages));
    let mut heats = Vec::new();
    for (figure, standings) in [("pages", pages), ("orders", orders)] {
        let base = standings[0].clone().named(BASE);
        for ((processes, _), split) in PLACEMENTS.into_iter().zip(standings).skip(1) {
            let group = format!("shop-{figure}-{processes}");
            let both = vec![split.named(OURS), base.clone()];
            heats.push(Heat::new(group, SHOPPERS, both));
        }
    }
    heats.retain(|heat| options.wants(heat.group()));
    Ok(heats)
}

fn medians(trials: &[Trial], of: fn(&Trial) -> &Standing) -> Standing {
    let turns: Vec<_> = trials.iter().map(|trial| of(trial).clone()).collect();
    Standing::median(&turns)
}

/// In ten processes every ask between modules is a hop, in one none is.
fn cost_of_splitting(trials: &[Vec<Trial>], pages: &[Standing]) -> Option<String> {
    let (one, ten) = (pages.first()?.cpu_us?, pages.last()?.cpu_us?);
    let asks = trials.last()?.iter().map(|trial| trial.asks);
    let hops = asks.sum::<f64>() / trials.last()?.len() as f64;
    let each = (ten - one) / hops;
    let times = ten / one;
    Some(format!(
        "Ten processes take {ten:.0} µs of CPU for a page where one takes {one:.0}, {times:.2} times \
         as much: {each:.1} µs for each of {hops:.1} hops"
    ))
}

async fn shop_in(
    program: &Path,
    folder: &Path,
    config: &str,
    seconds: u32,
) -> Result<Trial, Error> {
    let boutique = Boutique::start(program, folder, config).await?;
    let processes = boutique.processes();
    let before = processes.cpu_of_servers();
    let report = load(&boutique.url, seconds).await?;
    let used = before.zip(processes.cpu_of_servers());
    let peak_mib = processes.peak_bytes().map(mib);
    let total = &report.total;
    let cpu_us = used.map(|(before, after)| {
        after.saturating_sub(before).as_secs_f64() * 1e6 / total.requests as f64
    });
    let standing = |row: &shop::Row, per_second| Standing {
        who: BASE.to_owned(),
        connections: None,
        per_second,
        p50_us: row.p50_ms * 1e3,
        p99_us: row.p99_ms * 1e3,
        cpu_us,
        peak_mib,
        start_ms: None,
    };
    Ok(Trial {
        pages: standing(total, total.rps),
        orders: Standing {
            // It is not known which part of it went into orders.
            cpu_us: None,
            ..standing(report.checkout(), report.orders as f64 / report.seconds)
        },
        asks: asks(program, &boutique.data)? / total.requests as f64,
    })
}

/// Shops, on a thread of its own because the shoppers have an actix system of theirs.
async fn load(url: &str, seconds: u32) -> Result<shop::Report, Error> {
    let options = shop::Options {
        url: url
            .parse()
            .map_err(Error::of("the shop", "say where it is"))?,
        shoppers: SHOPPERS.try_into().expect("there are shoppers"),
        seconds,
        json: None,
        seed: None,
        think_ms: 0,
    };
    let (done, report) = oneshot::channel();
    let shop = move || {
        // Nobody waits for it once the run was interrupted.
        _ = done.send(shop::measure(&options).map_err(|error| error.to_string()));
    };
    thread::Builder::new()
        .name("shoppers".to_owned())
        .spawn(shop)
        .map_err(Error::io("start the shoppers' thread"))?;
    let report = report.await.map_err(|_| Error::CallersLost)?;
    report.map_err(Error::of("the shop", "be loaded"))
}

/// How many commands and queries all modules were asked since they started.
fn asks(program: &Path, data: &Path) -> Result<f64, Error> {
    let output = Command::new(program)
        .args(["status", "--json", "--data"])
        .arg(data)
        .output()
        .map_err(Error::io("ask how the shop stands"))?;
    let status: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(Error::of("the shop", "say how it stands"))?;
    let processes = status.as_array().into_iter().flatten();
    let modules = processes.flat_map(|process| process["modules"].as_array().into_iter().flatten());
    let asked = modules.flat_map(|module| [&module["commands"], &module["queries"]]);
    Ok(asked.filter_map(serde_json::Value::as_f64).sum())
}
