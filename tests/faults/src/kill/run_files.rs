//! `DATA/run/*.json`: who runs, or has run, and where the pages are.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use tokio::time::sleep;

use crate::real::Shop;

/// How often run files are looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// A run file, as far as it is needed: those of processes have both.
#[derive(Deserialize)]
pub(super) struct Note {
    pub(super) pid: u32,
    http: Option<String>,
}

/// What processes wrote down, by their names. Some may have ended since.
pub(super) fn notes(data: &Path) -> Vec<(String, Note)> {
    let entries = fs::read_dir(data.join("run")).into_iter().flatten();
    let mut notes: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
            let note = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
            Some((name.to_string(), note))
        })
        .collect();
    notes.sort_by(|(one, _), (other, _)| one.cmp(other));
    notes
}

/// Tells the shop where the pages are, from now on.
pub(super) async fn look_for_pages(data: PathBuf, shop: Shop) {
    loop {
        if let Some(address) = notes(&data).into_iter().find_map(|(_, note)| note.http) {
            shop.moves_to(&address);
        }
        sleep(GLANCE).await;
    }
}
