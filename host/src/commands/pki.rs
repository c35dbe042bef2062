//! `pki`: the authority whose certificates processes show each other.

use std::{path::Path, time::Duration};

use clap::{Args, Subcommand};
use modulith_kernel::Timestamp;
use modulith_quic::{Authority, AuthorityError, Rotation, Stage};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::{CommandError, Common, pairs, printed};
use crate::{
    config::Config,
    run_folder::{Addresses, RunFolder},
    status::{self, CertificateNote, LAUNCHER},
    table::{aligned, heading, shortened},
};

/// How often they are asked.
const ASK_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(
    after_help = "Processes of one application show each other certificates of its own authority, in\n\
    DATA/pki. Certificates are valid for a day and renewed by themselves.\n\n\
    Examples:\n  \
    pki show           which roots are trusted, and what every running process shows\n  \
    pki rotate         makes a new authority take the place of the old one, while processes run\n  \
    pki rotate --step  one of its three steps, where other machines have copies of the folder\n  \
    pki retire         ends the trust in the old root, if `rotate` could not\n  \
    pki init           makes the authority before the first start\n\n\
    `rotate` goes on where it was broken off. It waits for all processes that run on this data\n\
    folder. Those that use a copy of DATA/pki it cannot see: with --step, have the copies follow\n\
    each of the three steps before the next.\n\
    Exit codes: 0 done, 1 a process does not follow, 2 could not begin."
)]
pub(crate) struct PkiArgs {
    #[command(subcommand)]
    pub(super) command: PkiCommand,
    #[command(flatten)]
    pub(super) common: Common,
}

#[derive(Debug, Subcommand)]
pub(super) enum PkiCommand {
    /// Makes the authority, unless there is one
    Init,
    /// Shows the roots that are trusted, and what running processes show
    Show,
    /// Replaces the authority by a new one while processes run, without a failed request
    Rotate {
        /// Does the next of the three steps alone, so that copies of DATA/pki can follow it
        #[arg(long)]
        step: bool,
        #[command(flatten)]
        patience: Patience,
    },
    /// Ends the trust in the root of the authority that was replaced
    Retire(Patience),
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Patience {
    // They look at the folder twice a second and replace their connections within another two.
    // What is in flight on the old ones may take as long as its deadline.
    /// How long running processes may take to follow each step
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u32,
}

/// Why a command about certificates fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PkiError {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(
        "certificates come from elsewhere (section [pki] of the configuration); whoever issues them \
         renews them and replaces roots"
    )]
    Foreign,
    #[error("there is no authority in {0}; `pki init` makes one, and so does the first start")]
    None(String),
    #[error(
        "after {seconds} s {what} by {}; see that they run and answer (`status`), then run the command \
         again: it goes on from here, and nothing is lost meanwhile",
        processes.join(", ")
    )]
    Behind {
        seconds: u32,
        what: &'static str,
        processes: Vec<String>,
    },
}

impl PkiError {
    pub(super) fn is_failure(&self) -> bool {
        matches!(self, Self::Behind { .. })
    }
}

pub(super) async fn obey(
    config: &Config,
    command: &PkiCommand,
    json: bool,
) -> Result<String, CommandError> {
    if config.pki.is_some() && !matches!(command, PkiCommand::Show) {
        return Err(PkiError::Foreign.into());
    }
    let done = match command {
        PkiCommand::Init => init(config)?,
        PkiCommand::Rotate { step, patience } => rotate(config, *step, *patience).await?,
        PkiCommand::Retire(patience) => retire(config, *patience).await?,
        PkiCommand::Show => return Ok(show(config, json)?),
    };
    Ok(printed(json, &done, |done| {
        pairs(&[
            ("done", done.done.to_string()),
            ("issuer", done.issuer.clone()),
            ("folder", config.pki_folder().display().to_string()),
        ])
    }))
}

/// What a command did.
#[derive(Debug, Serialize)]
struct Done {
    done: &'static str,
    /// The fingerprint of the root that issues now.
    issuer: String,
}

fn init(config: &Config) -> Result<Done, PkiError> {
    let done = match Authority::exists(&config.pki_folder()) {
        true => "nothing: there is an authority already",
        false => "an authority was made",
    };
    let issuer = issuing(&config.authority()?)?;
    Ok(Done { done, issuer })
}

async fn rotate(config: &Config, step: bool, patience: Patience) -> Result<Done, PkiError> {
    let authority = existing(config)?;
    let rotation = Rotation::begin(&authority)?;
    let stage = rotation.stage()?;
    if stage != Stage::Promoted {
        let old = issuing(&authority)?;
        let new = rotation.prepare()?;
        let trusts = |note: &CertificateNote| note.roots.contains(&new);
        follow(
            &config.data,
            patience,
            "the new root is not trusted yet",
            trusts,
        )
        .await?;
        if step && stage == Stage::Settled {
            let done = "a new root is trusted; when all copies of the folder have it, go on";
            return Ok(Done { done, issuer: old });
        }
        rotation.promote()?;
    }
    if step && stage == Stage::Prepared {
        let issuer = issuing(&authority)?;
        renewed(config, &issuer, patience).await?;
        let done = "the new root issues; when all copies of the folder have it, go on";
        return Ok(Done { done, issuer });
    }
    finish(config, &authority, &rotation, patience).await
}

async fn retire(config: &Config, patience: Patience) -> Result<Done, PkiError> {
    let authority = existing(config)?;
    let rotation = Rotation::begin(&authority)?;
    if rotation.stage()? == Stage::Settled {
        let done = "nothing: one root alone is trusted";
        let issuer = issuing(&authority)?;
        return Ok(Done { done, issuer });
    }
    finish(config, &authority, &rotation, patience).await
}

/// Waits until nothing of the old root is in use, then ends the trust in it.
async fn finish(
    config: &Config,
    authority: &Authority,
    rotation: &Rotation,
    patience: Patience,
) -> Result<Done, PkiError> {
    if rotation.stage()? == Stage::Prepared {
        // Says what is to be done first.
        rotation.retire()?;
    }
    let issuer = issuing(authority)?;
    renewed(config, &issuer, patience).await?;
    rotation.retire()?;
    let only = [issuer.clone()];
    let forgot = |note: &CertificateNote| note.roots == only;
    follow(
        &config.data,
        patience,
        "the old root is still trusted",
        forgot,
    )
    .await?;
    let done = "the old root is retired, the new one issues";
    Ok(Done { done, issuer })
}

/// Waits until every process shows certificates of this root, on all its connections.
async fn renewed(config: &Config, issuer: &str, patience: Patience) -> Result<(), PkiError> {
    let is_new = |note: &CertificateNote| note.issuer.as_deref() == Some(issuer);
    let renewed = |note: &CertificateNote| is_new(note) && note.connections_outdated == 0;
    let what = "certificates of the old root are still in use";
    follow(&config.data, patience, what, renewed).await
}

fn existing(config: &Config) -> Result<Authority, PkiError> {
    let folder = config.pki_folder();
    if Authority::exists(&folder) {
        Ok(config.authority()?)
    } else {
        Err(PkiError::None(folder.display().to_string()))
    }
}

fn issuing(authority: &Authority) -> Result<String, PkiError> {
    let roots = authority.roots()?;
    let issuing = roots.into_iter().find(|root| root.issues);
    Ok(issuing.map(|root| root.fingerprint).unwrap_or_default())
}

/// Waits until something holds of every process that runs on a data folder.
async fn follow(
    data: &Path,
    Patience { wait: seconds }: Patience,
    what: &'static str,
    holds: impl Fn(&CertificateNote) -> bool,
) -> Result<(), PkiError> {
    let until = Instant::now() + Duration::from_secs(seconds.into());
    loop {
        let mut processes = behind(data, &holds);
        if processes.is_empty() {
            return Ok(());
        }
        if Instant::now() >= until {
            processes.sort();
            return Err(PkiError::Behind {
                seconds,
                what,
                processes,
            });
        }
        sleep(ASK_PAUSE).await;
    }
}

/// The processes of which it does not hold, or cannot be told.
fn behind(data: &Path, holds: impl Fn(&CertificateNote) -> bool) -> Vec<String> {
    let run = RunFolder::of(data);
    let mut names = run.held();
    names.retain(|name| {
        // One that starts or stops has nothing written down: it is waited for.
        let note = run.read::<Addresses>(name);
        match note.and_then(|note| status::fetch(note.admin)) {
            // A process that speaks with no other needs no certificate.
            Some(status) => status.certificate.is_some_and(|note| !holds(&note)),
            None => name != LAUNCHER,
        }
    });
    names
}

/// What `show` shows.
#[derive(Debug, Serialize)]
struct Shown {
    /// How far a rotation has come; none when certificates come from elsewhere.
    rotation: Option<&'static str>,
    roots: Vec<RootShown>,
    processes: Vec<ProcessShown>,
}

#[derive(Debug, Serialize)]
struct RootShown {
    subject: String,
    fingerprint: String,
    valid_until: Timestamp,
    issues: bool,
}

#[derive(Debug, Serialize)]
struct ProcessShown {
    process: String,
    #[serde(flatten)]
    certificate: CertificateNote,
}

fn show(config: &Config, json: bool) -> Result<String, PkiError> {
    let processes = status::collect(&config.data).into_iter();
    let shown = processes.filter_map(|status| {
        Some(ProcessShown {
            process: status.process,
            certificate: status.certificate?,
        })
    });
    let processes = shown.collect();
    let (rotation, roots) = match &config.pki {
        Some(_) => (None, Vec::new()),
        None => own(&existing(config)?)?,
    };
    let shown = Shown {
        rotation,
        roots,
        processes,
    };
    Ok(printed(json, &shown, show_text))
}

fn own(authority: &Authority) -> Result<(Option<&'static str>, Vec<RootShown>), PkiError> {
    let roots = authority.roots()?.into_iter().map(|root| RootShown {
        subject: root.subject,
        fingerprint: root.fingerprint,
        valid_until: Timestamp(root.valid_until.saturating_mul(1000)),
        issues: root.issues,
    });
    let rotation = match Stage::of(authority)? {
        Stage::Settled => "none",
        Stage::Prepared => "prepared",
        Stage::Promoted => "promoted",
    };
    Ok((Some(rotation), roots.collect()))
}

fn show_text(shown: &Shown) -> String {
    let mut text = match shown.rotation {
        Some(_) => roots_text(&shown.roots),
        None => {
            "certificates come from elsewhere (section [pki] of the configuration)\n".to_string()
        }
    };
    match shown.rotation {
        Some("prepared") => {
            text.push_str("a rotation is under way; `pki rotate` goes on with it\n");
        }
        Some("promoted") => {
            text.push_str("the old root is still trusted; `pki retire` ends that\n");
        }
        _ => {}
    }
    if shown.processes.is_empty() {
        return text;
    }
    let names = [
        "PROCESS",
        "ISSUER",
        "CERTIFICATE UNTIL",
        "ROOTS",
        "OUTDATED",
    ];
    let mut rows = vec![heading(&names)];
    rows.extend(shown.processes.iter().map(|process| {
        let note = &process.certificate;
        let issuer = note.issuer.as_deref().unwrap_or("elsewhere");
        vec![
            process.process.clone(),
            shortened(issuer, FINGERPRINT_SHOWN),
            note.valid_until.to_string(),
            note.roots.len().to_string(),
            note.connections_outdated.to_string(),
        ]
    }));
    text.push('\n');
    text.push_str(&aligned(&rows, &[3, 4]));
    text
}

/// How much of a fingerprint tells two roots apart in a table, in characters.
const FINGERPRINT_SHOWN: usize = 17;

fn roots_text(roots: &[RootShown]) -> String {
    let mut rows = vec![heading(&["ROOT", "VALID UNTIL", "ISSUES", "SHA-256"])];
    rows.extend(roots.iter().map(|root| {
        let issues = if root.issues { "yes" } else { "no" };
        vec![
            root.subject.clone(),
            root.valid_until.to_string(),
            issues.to_string(),
            root.fingerprint.clone(),
        ]
    }));
    aligned(&rows, &[])
}
