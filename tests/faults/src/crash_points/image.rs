//! What a crash leaves of files: built up step by step, so that the next point is one step away.

use std::collections::BTreeMap;

use clap::ValueEnum;
use fastrand::Rng;

use super::recorder::{Files, Step, What};
use crate::bytes::Bytes;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

/// What a crash does with what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Kind {
    /// It is all there: the process was killed, and the operating system lives.
    Kept,
    /// None of it is there.
    Dropped,
    /// Some of it is there, and the last of that is cut at a sector.
    Torn,
    /// As torn; and during the start that follows there is another crash like it.
    Twice,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept",
            Self::Dropped => "dropped",
            Self::Torn => "torn",
            Self::Twice => "twice",
        })
    }
}

/// The files after so many steps.
#[derive(Debug, Default)]
pub(super) struct Image {
    /// By module and part, in an order that is always the same.
    files: BTreeMap<String, [File; 2]>,
}

#[derive(Debug, Default)]
struct File {
    now: Bytes,
    synced: Bytes,
    since: Vec<What>,
}

impl Image {
    /// Begins with files that were there, and on the disk.
    pub(super) fn of(files: &Files) -> Self {
        let file = |bytes: &Bytes| File {
            now: bytes.clone(),
            synced: bytes.clone(),
            since: Vec::new(),
        };
        let parts = |(module, parts): (&String, &[Bytes; 2])| {
            (module.clone(), [file(&parts[0]), file(&parts[1])])
        };
        Self {
            files: files.iter().map(parts).collect(),
        }
    }

    /// Takes one step more.
    pub(super) fn step(&mut self, step: &Step) {
        let parts = self.files.entry(step.module.to_string()).or_default();
        let file = &mut parts[step.part as usize];
        match &step.what {
            What::Write(offset, data) => file.now.write(*offset, data),
            What::Length(len) => file.now.set_len(*len),
            What::Sync => {
                file.synced = file.now.clone();
                file.since.clear();
                return;
            }
        }
        file.since.push(step.what.clone());
    }

    /// What a crash now leaves.
    pub(super) fn after(&self, kind: Kind, seed: u64) -> Files {
        let mut rng = Rng::with_seed(seed);
        let mut left = |file: &File| match kind {
            Kind::Kept => file.now.clone(),
            Kind::Dropped => file.synced.clone(),
            Kind::Torn | Kind::Twice => file.torn(&mut rng),
        };
        let parts = |(module, parts): (&String, &[File; 2])| {
            (module.clone(), [left(&parts[0]), left(&parts[1])])
        };
        self.files.iter().map(parts).collect()
    }
}

impl File {
    /// Some of what was written since the last sync, in order, the last of it cut at a sector.
    fn torn(&self, rng: &mut Rng) -> Bytes {
        // Mostly there, mostly not, or as a coin falls: each is the likeliest to break something.
        let odds = [0.1, 0.5, 0.9][rng.usize(..3)];
        let kept = self.since.iter().filter(|_| rng.f64() < odds);
        let kept: Vec<_> = kept.collect();
        let mut left = self.synced.clone();
        for (place, what) in kept.iter().enumerate() {
            match what {
                What::Length(len) => left.set_len(*len),
                What::Write(offset, data) if place + 1 == kept.len() => {
                    let sectors = data.len().div_ceil(SECTOR);
                    let bytes = (rng.usize(..=sectors) * SECTOR).min(data.len());
                    left.write(*offset, &data[..bytes]);
                }
                What::Write(offset, data) => left.write(*offset, data),
                What::Sync => {}
            }
        }
        left
    }
}
