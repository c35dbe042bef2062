//! Which letters were written twice.
//!
//! A letter is written under its order's number, and then noted as sent. Who dies between the two
//! writes it again, under the same name, so that nobody sees it. Once noted it is never written
//! again: so a letter that is the same after two deaths, the second long after the first, must not
//! change after that.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use crate::{real::books::letter_files, shop::audit::Findings};

/// How long a letter may take to be noted: a commit, on a busy machine.
const NOTED_MAX: Duration = Duration::from_secs(5);

pub(super) struct Letters {
    folder: PathBuf,
    seen: BTreeMap<PathBuf, Seen>,
    written_twice: BTreeSet<PathBuf>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// Another file under the same name has another.
    inode: u64,
    written: Option<SystemTime>,
    /// When it was first seen like this.
    since: Instant,
    /// It must have been noted before the last death.
    is_noted: bool,
}

impl Letters {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Self {
            folder,
            seen: BTreeMap::new(),
            written_twice: BTreeSet::new(),
        }
    }

    /// Looks at all letters while nobody writes any: after a death and before the next start.
    pub(super) fn look(&mut self, now: Instant, findings: &mut Findings) {
        for path in letter_files(&self.folder) {
            let Ok(file) = fs::metadata(&path) else {
                continue;
            };
            let mut seen = Seen {
                inode: file.ino(),
                written: file.modified().ok(),
                since: now,
                is_noted: false,
            };
            if let Some(before) = self.seen.get(&path) {
                if (before.inode, before.written) == (seen.inode, seen.written) {
                    seen.since = before.since;
                    seen.is_noted = now.duration_since(before.since) > NOTED_MAX;
                } else {
                    findings.check(!before.is_noted, || {
                        format!("{}: written again long after it was sent", path.display())
                    });
                    self.written_twice.insert(path.clone());
                }
            }
            self.seen.insert(path, seen);
        }
    }

    /// In the end every letter that was begun is whole.
    pub(super) fn none_is_half(&self, findings: &mut Findings) {
        let whole = letter_files(&self.folder).len();
        let all = fs::read_dir(&self.folder).into_iter().flatten().count();
        findings.check(all == whole, || {
            format!("{} letters were begun and never finished", all - whole)
        });
    }

    pub(super) fn written_twice(&self) -> usize {
        self.written_twice.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when a letter that was there so long between two deaths is written again.
    fn again(after: Duration) -> (usize, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.eml");
        fs::write(&path, "letter").unwrap();
        let mut letters = Letters::in_folder(folder.path().to_path_buf());
        let mut findings = Findings::default();
        let first = Instant::now();
        letters.look(first, &mut findings);
        letters.look(first + after, &mut findings);
        assert_eq!(letters.written_twice(), 0);
        fs::write(folder.path().join("new"), "letter").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        letters.look(first + after, &mut findings);
        (letters.written_twice(), findings.violations.len())
    }

    #[test]
    fn a_letter_is_written_again_only_if_it_may_not_have_been_noted() {
        assert_eq!(again(Duration::from_secs(1)), (1, 0));
        assert_eq!(again(Duration::from_secs(60)), (1, 1));
    }

    #[test]
    fn half_a_letter_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("order.eml"), "").unwrap();
        let letters = Letters::in_folder(folder.path().to_path_buf());
        let mut findings = Findings::default();
        letters.none_is_half(&mut findings);
        assert_eq!(findings.violations.len(), 0);
        fs::write(folder.path().join("other.eml.tmp"), "").unwrap();
        letters.none_is_half(&mut findings);
        assert_eq!(findings.violations.len(), 1);
    }
}
