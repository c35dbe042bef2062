//! Durable changes per second, beside PostgreSQL, Redis and NATS on the same disk in the same run.
//!
//! Contenders take turns, round by round, so that whatever else the machine does meets all of
//! them; only figures of the same round are compared.

mod disk;
pub(crate) mod ledger;
mod nats;
mod options;
pub(crate) mod ours;
mod postgres;
mod redis;
mod report;

pub(crate) use options::Options;
pub(crate) use report::{Who, Work};

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use actix_rt::System;
use modulith_kernel::Durability;
use tempfile::TempDir;

use crate::error::{Error, causes, interrupted};
use crate::load::{Contender, Figures, Window};
use crate::server::Server;
use nats::Nats;
use ours::Ours;
use postgres::Postgres;
use redis::Redis;
use report::{Measured, Report};

/// The part of the measured time that goes before it, to get everybody going.
const WARM_UP: f64 = 0.2;

/// Measures, and prints the report.
pub(crate) fn run(options: &Options) -> ExitCode {
    let measured = System::new().block_on(async {
        tokio::select! {
            measured = measure(options) => measured,
            error = interrupted() => Err(error),
        }
    });
    match measured {
        Ok(report) if options.markdown => print!("{}", report.markdown()),
        Ok(report) => print!("{report}"),
        Err(error) => {
            eprintln!("error: {error}{}", causes(&error));
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

async fn measure(options: &Options) -> Result<Report, Error> {
    let json = options.json.as_deref().map(create).transpose()?;
    let folder = temporary_folder(&options.folder)?;
    let mut report = Report::new(options, folder.path())?;
    let field = Field::start(options, folder.path(), &mut report.notes).await?;
    let turns = field.take_turns(options).await;
    field.stop().await;
    let turns: Vec<_> = turns?.into_iter().map(|turn| turn.measured()).collect();
    report.add(&turns);
    if let Some((path, file)) = json {
        serde_json::to_writer_pretty(file, &report).map_err(|error| Error::Unwritable {
            path: path.to_path_buf(),
            source: error.into(),
        })?;
    }
    Ok(report)
}

/// Has everybody take their turns, for whoever makes a report of their own. Inside an actix system.
///
/// # Errors
/// The first thing that broke.
pub(crate) async fn turns(options: &Options, notes: &mut Vec<String>) -> Result<Vec<Turn>, Error> {
    let folder = temporary_folder(&options.folder)?;
    let field = Field::start(options, folder.path(), notes).await?;
    let turns = field.take_turns(options).await;
    field.stop().await;
    turns
}

fn temporary_folder(below: &Path) -> Result<TempDir, Error> {
    let folder = TempDir::with_prefix_in("modulith-durable-", below)
        .map_err(Error::io("make a temporary folder"))?;
    // PostgreSQL may run as another user, who must find the way to its own folder.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))
        .map_err(Error::io("open the temporary folder to PostgreSQL"))?;
    Ok(folder)
}

/// One turn of one contender, with all its figures.
pub(crate) struct Turn {
    pub(crate) callers: u16,
    round: u16,
    pub(crate) work: Work,
    pub(crate) who: Who,
    pub(crate) figures: Figures,
}

impl Turn {
    fn measured(&self) -> Measured {
        Measured::new(self.callers, self.round, self.work, self.who, &self.figures)
    }
}

/// Made before the run, so that a wrong path does not cost minutes.
fn create(path: &Path) -> Result<(&Path, File), Error> {
    let file = File::create(path).map_err(|source| Error::Unwritable {
        path: path.to_path_buf(),
        source,
    })?;
    Ok((path, file))
}

/// All that compete, in the order of their turns.
#[derive(Default)]
struct Field {
    entrants: Vec<Entrant>,
    nodes: Vec<Ours>,
    /// Here alone, so that they end with the run even if it is interrupted while callers call.
    servers: Vec<Server>,
}

/// One who competes in one kind of work.
struct Entrant {
    who: Who,
    work: Work,
    measure: Box<dyn Fn(Window) -> Measuring>,
}

type Measuring = Pin<Box<dyn Future<Output = Result<Figures, Error>>>>;

impl Field {
    /// Starts everybody who is wanted and installed, and notes who is not installed.
    async fn start(
        options: &Options,
        folder: &Path,
        notes: &mut Vec<String>,
    ) -> Result<Self, Error> {
        eprintln!(
            "starting and filling the contenders below {}",
            folder.display()
        );
        let mut field = Self::default();
        if options.wants(Who::Modulith) {
            let ours = Ours::start(&folder.join("fsync"), Durability::Fsync).await?;
            field.enter(Who::Modulith, Work::Update, ours::Updates(ours.clone()));
            field.enter(Who::Modulith, Work::Event, ours::Events(ours.clone()));
            field.nodes.push(ours);
        }
        if options.wants(Who::Postgres) {
            field.enter_postgres(options, folder, notes).await?;
        }
        if options.wants(Who::Redis) {
            field.enter_redis(folder, notes).await?;
        }
        if options.wants(Who::Nats) {
            field.enter_nats(folder, notes).await?;
        }
        if options.wants(Who::Relaxed) {
            let ours = Ours::start(&folder.join("relaxed"), Durability::Relaxed).await?;
            field.enter(Who::Relaxed, Work::Update, ours::Updates(ours.clone()));
            field.nodes.push(ours);
        }
        // Whoever is compared goes right after each other.
        field.entrants.sort_by_key(|entrant| entrant.work);
        Ok(field)
    }

    async fn enter_postgres(
        &mut self,
        options: &Options,
        folder: &Path,
        notes: &mut Vec<String>,
    ) -> Result<(), Error> {
        let Some(programs) = postgres::Programs::find() else {
            skip("PostgreSQL", "postgresql", notes);
            return Ok(());
        };
        let callers_max = options.callers.iter().copied().max().unwrap_or(1);
        let (postgres, server) =
            Postgres::start(&programs, &folder.join("postgres"), callers_max).await?;
        self.servers.push(server);
        let updates = postgres::Updates(postgres.clone());
        self.enter(Who::Postgres, Work::Update, updates);
        self.enter(Who::Postgres, Work::Event, postgres::Inserts(postgres));
        notes.push(programs.version);
        Ok(())
    }

    async fn enter_redis(&mut self, folder: &Path, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some((program, version)) = redis::find_program() else {
            skip("Redis", "redis-server", notes);
            return Ok(());
        };
        let (redis, server) = Redis::start(&program, &folder.join("redis")).await?;
        self.servers.push(server);
        self.enter(Who::Redis, Work::Event, redis::Appends(redis));
        notes.push(version);
        Ok(())
    }

    async fn enter_nats(&mut self, folder: &Path, notes: &mut Vec<String>) -> Result<(), Error> {
        let Some(program) = nats::Program::find() else {
            skip("NATS", "nats-server", notes);
            return Ok(());
        };
        let (nats, server) = Nats::start(&program, &folder.join("nats")).await?;
        notes.push(format!("{}, {}", program.version, nats.promise()));
        self.servers.push(server);
        self.enter(Who::Nats, Work::Event, nats::Publishes(nats));
        Ok(())
    }

    fn enter<C: Contender>(&mut self, who: Who, work: Work, contender: C) {
        let measure = Box::new(move |window| -> Measuring {
            Box::pin(crate::load::run(contender.clone(), window))
        });
        self.entrants.push(Entrant { who, work, measure });
    }

    /// Measures everybody at each number of callers, round after round.
    async fn take_turns(&self, options: &Options) -> Result<Vec<Turn>, Error> {
        let mut turns = Vec::new();
        let window = |callers| Window {
            callers,
            warm_up: options.measured().mul_f64(WARM_UP),
            measured: options.measured(),
            chunk: 1,
        };
        for &callers in &options.callers {
            for round in 1..=options.rounds {
                eprintln!("{callers} callers, round {round} of {}", options.rounds);
                for Entrant { who, work, measure } in &self.entrants {
                    turns.push(Turn {
                        callers,
                        round,
                        work: *work,
                        who: *who,
                        figures: measure(window(callers)).await?,
                    });
                }
            }
        }
        Ok(turns)
    }

    async fn stop(self) {
        for node in &self.nodes {
            node.stop().await;
        }
    }
}

/// Says aloud, and notes for the report, that a contender is not there.
fn skip(name: &str, package: &str, notes: &mut Vec<String>) {
    let note = format!("SKIPPED: {name} is not installed (apt-get install {package})");
    eprintln!("{note}");
    notes.push(note);
}
