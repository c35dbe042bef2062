//! `DATA/run`: which processes run on this data folder, and where each can be reached.
//!
//! Every instance of a process locks a file of its own for as long as it lives, and writes down its
//! addresses once it is ready. Neighbours read those (`directory`), so ports can be left out of the
//! configuration, and an instance that was restarted is found at its new one.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
    time::SystemTime,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// How often a name that is held is tried again, and the pause between, before it counts as held:
/// whoever looks whether it is holds it for a moment, and one that was killed until it is buried.
const CLAIM_TRIES: u32 = 10;
const CLAIM_PAUSE: Duration = Duration::from_millis(30);

/// The folder, below the data folder.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    data: PathBuf,
}

/// Where a running process can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    pub(crate) pid: u32,
    pub(crate) quic: Option<SocketAddr>,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

/// What a running process writes down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    #[serde(flatten)]
    pub(crate) addresses: Addresses,
    /// Whose instance it is.
    pub(crate) process: String,
    /// Which one, from 0.
    pub(crate) replica: u16,
    /// How many there were to be when it started.
    pub(crate) replicas: u16,
    /// Whether it is about to stop: it finishes what reached it, and nobody should call it anew.
    pub(crate) is_draining: bool,
    /// What it hosts.
    pub(crate) modules: Vec<String>,
    /// Whoever sends it may give orders.
    pub(crate) token: String,
}

/// A name held by this process until it ends.
#[derive(Debug)]
pub(crate) struct Claim {
    _lock: File,
}

/// Why a name cannot be held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    #[error(
        "data folder {} is held by another running instance of {name}; stop it, or choose \
         another folder with --data DIR",
        data.display()
    )]
    Held { data: PathBuf, name: String },
    #[error("data folder {} cannot be used", data.display())]
    Unusable { data: PathBuf, source: io::Error },
}

impl RunFolder {
    pub(crate) fn of(data: &Path) -> Self {
        Self {
            data: data.to_path_buf(),
        }
    }

    /// Holds a name, or says that somebody else does.
    #[expect(
        clippy::disallowed_methods,
        reason = "a process that is only starting serves nobody yet"
    )]
    pub(crate) fn claim(&self, name: &str) -> Result<Claim, ClaimError> {
        let unusable = |source| ClaimError::Unusable {
            data: self.data.clone(),
            source,
        };
        // Orders and addresses are nobody else's business.
        let created = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.folder());
        created.map_err(unusable)?;
        let lock = File::create(self.path(name, "lock")).map_err(unusable)?;
        let tried = (0..CLAIM_TRIES).find_map(|_| match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                std::thread::sleep(CLAIM_PAUSE);
                None
            }
            done => Some(done),
        });
        match tried {
            Some(Ok(())) => Ok(Claim { _lock: lock }),
            Some(Err(TryLockError::Error(source))) => Err(unusable(source)),
            Some(Err(TryLockError::WouldBlock)) | None => Err(ClaimError::Held {
                data: self.data.clone(),
                name: name.to_string(),
            }),
        }
    }

    /// Writes something down under a name, whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let temporary = self.path(name, "new");
        // Left by a process that was killed while it wrote.
        _ = fs::remove_file(&temporary);
        let mut options = OpenOptions::new();
        // There is a token in it.
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        fs::rename(temporary, self.path(name, "json"))
    }

    /// Reads what was written under a name; none when there is nothing to be understood.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let bytes = fs::read(self.path(name, "json")).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The names under which something is written.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names_of(".json")
    }

    /// The names that are held now, by processes that run, start or stop.
    pub(crate) fn held(&self) -> Vec<String> {
        let mut names = self.names_of(".lock");
        names.retain(|name| self.is_held(name));
        names
    }

    /// Whether a name is held now.
    pub(crate) fn is_held(&self, name: &str) -> bool {
        let lock = File::open(self.path(name, "lock"));
        let tried = lock.map(|lock| lock.try_lock_shared());
        matches!(tried, Ok(Err(TryLockError::WouldBlock)))
    }

    fn names_of(&self, ending: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some(name.strip_suffix(ending)?.to_string())
            })
            .collect();
        names.sort();
        names
    }

    /// When something was last written or forgotten; none while there is no folder.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        fs::metadata(self.folder()).ok()?.modified().ok()
    }

    /// Forgets what was written under a name.
    pub(crate) fn forget(&self, name: &str) {
        // Already gone is as good.
        _ = fs::remove_file(self.path(name, "json"));
    }

    fn folder(&self) -> PathBuf {
        self.data.join("run")
    }

    fn path(&self, name: &str, ending: &str) -> PathBuf {
        self.folder().join(format!("{name}.{ending}"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_name_is_held_by_one_at_a_time() {
        let data = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(data.path());
        let held = folder.claim("shop").unwrap();
        let error = folder.claim("shop").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("held by another running instance of shop"),
            "{error}"
        );
        assert!(folder.claim("orders").is_ok());
        drop(held);
        assert!(folder.claim("shop").is_ok());
    }

    #[test]
    fn who_holds_a_name_can_be_seen() {
        let data = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(data.path());
        assert_eq!(folder.held(), [""; 0]);
        let held = folder.claim("shop").unwrap();
        assert_eq!(folder.held(), ["shop"]);
        drop(held);
        assert_eq!(folder.held(), [""; 0]);
    }

    #[test]
    fn what_is_written_can_be_read_until_it_is_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(data.path());
        let _held = folder.claim("shop").unwrap();
        assert_eq!(folder.read::<u32>("shop"), None);
        folder.write("shop", &7).unwrap();
        assert_eq!(folder.read("shop"), Some(7));
        assert_eq!(folder.names(), ["shop"]);
        let mode = fs::metadata(folder.path("shop", "json")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o777, 0o600);
        folder.forget("shop");
        assert_eq!(folder.names(), [""; 0]);
    }
}
