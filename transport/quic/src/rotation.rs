//! Replacing an application's authority while its processes run.
//!
//! ```text
//!             ca.key   next.key   ca.pem          issues   trusted
//! settled     old      -          old             old      old
//! prepare →   old      new        old, new        old      old, new
//! promote →   new      -          old, new        new      old, new
//! retire  →   new      -          new             new      new
//! ```
//!
//! Between the steps whoever rotates waits until all processes have seen the last one. Each step
//! takes effect with one rename, and every step can be taken again.

use std::fs::{File, TryLockError};

use crate::{
    Authority, AuthorityError,
    authority::{KEY_FILE, NEXT_KEY_FILE, ROOTS_FILE},
    ca::Ca,
    exclusive,
    fingerprint::fingerprint,
};

/// Held while rotating, so that only one command does.
const LOCK_FILE: &str = "rotation.lock";

/// How far a rotation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// One root is trusted, and it issues. A new key may be there already.
    Settled,
    /// A new root is trusted; the old one issues.
    Prepared,
    /// The new authority issues; the old one is still trusted.
    Promoted,
}

/// The right to rotate an authority, held by one command at a time.
#[derive(Debug)]
pub struct Rotation {
    authority: Authority,
    _lock: File,
}

impl Stage {
    /// How far the rotation of an authority has come.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] when the folder cannot be read.
    pub fn of(authority: &Authority) -> Result<Self, AuthorityError> {
        if authority.load()?.roots.len() == 1 {
            Ok(Self::Settled)
        } else if authority.path(NEXT_KEY_FILE).exists() {
            Ok(Self::Prepared)
        } else {
            Ok(Self::Promoted)
        }
    }
}

impl Rotation {
    /// Begins, or goes on where the last one ended.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Busy`] while another command rotates.
    pub fn begin(authority: &Authority) -> Result<Self, AuthorityError> {
        let failed = || authority.failed("lock", LOCK_FILE);
        let lock = exclusive::open(&authority.path(LOCK_FILE)).map_err(failed())?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                authority: authority.clone(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(AuthorityError::Busy {
                folder: authority.folder().display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(failed()(error)),
        }
    }

    /// How far it has come.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] when the folder cannot be read.
    pub fn stage(&self) -> Result<Stage, AuthorityError> {
        Stage::of(&self.authority)
    }

    /// Makes a new authority and has it trusted. Gives its fingerprint.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Order`] while an old root waits to be retired.
    pub fn prepare(&self) -> Result<String, AuthorityError> {
        if self.stage()? == Stage::Promoted {
            let problem = "the old root of the last rotation is still trusted; retire it first";
            return Err(AuthorityError::Order(problem));
        }
        let authority = &self.authority;
        if !authority.path(NEXT_KEY_FILE).exists() {
            self.replace(NEXT_KEY_FILE, &Ca::new_key()?)?;
        }
        let next = Ca::from_key(&authority.read(NEXT_KEY_FILE)?)?;
        if !authority.read_roots()?.contains(next.certificate()) {
            let roots = authority.read(ROOTS_FILE)? + &next.certificate_pem()?;
            self.replace(ROOTS_FILE, &roots)?;
        }
        Ok(fingerprint(next.certificate()))
    }

    /// Has the new authority issue. Its predecessor's key is gone with that.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Order`] unless a new one was prepared.
    pub fn promote(&self) -> Result<(), AuthorityError> {
        let authority = &self.authority;
        let unprepared = AuthorityError::Order("no new root was prepared; rotate first");
        if !authority.path(NEXT_KEY_FILE).exists() {
            return Err(unprepared);
        }
        let next = Ca::from_key(&authority.read(NEXT_KEY_FILE)?)?;
        if !authority.read_roots()?.contains(next.certificate()) {
            return Err(unprepared);
        }
        exclusive::rename(authority.folder(), NEXT_KEY_FILE, KEY_FILE)
            .map_err(authority.failed("replace", KEY_FILE))
    }

    /// Ends the trust in every root but the one that issues.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Order`] while the new one does not issue yet.
    pub fn retire(&self) -> Result<(), AuthorityError> {
        match self.stage()? {
            Stage::Settled => Ok(()),
            Stage::Prepared => {
                let problem = "the new root does not issue yet; rotate first";
                Err(AuthorityError::Order(problem))
            }
            Stage::Promoted => {
                let issuing = self.authority.load()?.issuing;
                self.replace(ROOTS_FILE, &issuing.certificate_pem()?)
            }
        }
    }

    fn replace(&self, file: &str, content: &str) -> Result<(), AuthorityError> {
        exclusive::replace(self.authority.folder(), file, content)
            .map_err(self.authority.failed("replace", file))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn trusted(authority: &Authority) -> Vec<(bool, String)> {
        let roots = authority.roots().unwrap().into_iter();
        roots.map(|root| (root.issues, root.fingerprint)).collect()
    }

    #[test]
    fn a_rotation_goes_from_one_root_to_another_and_can_be_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let rotation = Rotation::begin(&authority).unwrap();
        for _ in 0..2 {
            let old = trusted(&authority)[0].1.clone();
            assert_eq!(rotation.stage().unwrap(), Stage::Settled);
            let new = rotation.prepare().unwrap();
            assert_eq!(
                rotation.prepare().unwrap(),
                new,
                "taken again, it is the same"
            );
            let both = [(true, old.clone()), (false, new.clone())];
            assert_eq!(trusted(&authority), both);
            rotation.promote().unwrap();
            assert_eq!(trusted(&authority), [(false, old), (true, new.clone())]);
            rotation.retire().unwrap();
            rotation.retire().unwrap();
            assert_eq!(trusted(&authority), [(true, new)]);
        }
        let key = folder.path().join(KEY_FILE);
        let mode = std::fs::metadata(key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn steps_out_of_order_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let rotation = Rotation::begin(&authority).unwrap();
        assert!(matches!(rotation.promote(), Err(AuthorityError::Order(_))));
        rotation.prepare().unwrap();
        assert!(matches!(rotation.retire(), Err(AuthorityError::Order(_))));
        rotation.promote().unwrap();
        assert!(matches!(rotation.prepare(), Err(AuthorityError::Order(_))));
    }

    #[test]
    fn one_command_rotates_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let rotation = Rotation::begin(&authority).unwrap();
        let second = Rotation::begin(&authority);
        assert!(
            matches!(second, Err(AuthorityError::Busy { .. })),
            "{second:?}"
        );
        drop(rotation);
        assert!(Rotation::begin(&authority).is_ok());
    }

    /// Killed after the new key was written and before it was trusted, or with half a file written.
    #[test]
    fn a_crash_between_the_files_of_a_step_leaves_a_folder_that_works_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let old = trusted(&authority);
        let next = Ca::new_key().unwrap();
        std::fs::write(folder.path().join(NEXT_KEY_FILE), &next).unwrap();
        std::fs::write(folder.path().join(".ca.pem.new"), "-----BEGIN CERT").unwrap();
        let opened = Authority::open(folder.path()).unwrap();
        assert_eq!(trusted(&opened), old);
        let rotation = Rotation::begin(&opened).unwrap();
        assert_eq!(rotation.stage().unwrap(), Stage::Settled);
        assert!(
            matches!(rotation.promote(), Err(AuthorityError::Order(_))),
            "nobody trusts it yet"
        );
        let prepared = rotation.prepare().unwrap();
        let expected = fingerprint(Ca::from_key(&next).unwrap().certificate());
        assert_eq!(prepared, expected, "the key that was there is used");
        rotation.promote().unwrap();
        rotation.retire().unwrap();
        assert_eq!(trusted(&authority), [(true, expected)]);
    }
}
