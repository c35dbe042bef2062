//! Which letters were written twice.
//!
//! A letter is written under its order's number, and then noted as sent. Who dies between the two
//! writes it again, under the same name, so that nobody sees it. Once noted it is never written
//! again: so a letter that was there long before a death must not change after it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    time::{Duration, SystemTime},
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
    written: SystemTime,
    /// It was noted before the last death.
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
    pub(super) fn look(&mut self, findings: &mut Findings) {
        let now = SystemTime::now();
        for path in letter_files(&self.folder) {
            let Ok(file) = fs::metadata(&path) else {
                continue;
            };
            let written = file.modified().unwrap_or(now);
            let age = now.duration_since(written).unwrap_or_default();
            let seen = Seen {
                inode: file.ino(),
                written,
                is_noted: age > NOTED_MAX,
            };
            if let Some(before) = self.seen.insert(path.clone(), seen)
                && (before.inode, before.written) != (seen.inode, seen.written)
            {
                findings.check(!before.is_noted, || {
                    format!("{}: written again long after it was sent", path.display())
                });
                self.written_twice.insert(path);
            }
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

    /// What is found when a letter of some age is written again.
    fn again(age: Duration) -> (usize, usize) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("order.eml");
        fs::write(&path, "letter").unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
        let mut letters = Letters::in_folder(folder.path().to_path_buf());
        let mut findings = Findings::default();
        letters.look(&mut findings);
        letters.look(&mut findings);
        assert_eq!(letters.written_twice(), 0);
        fs::write(folder.path().join("new"), "letter").unwrap();
        fs::rename(folder.path().join("new"), &path).unwrap();
        letters.look(&mut findings);
        (letters.written_twice(), findings.violations.len())
    }

    #[test]
    fn a_letter_is_written_again_only_if_it_may_not_have_been_noted() {
        assert_eq!(again(Duration::ZERO), (1, 0));
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
