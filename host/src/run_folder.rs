//! `DATA/run`: which processes run on this data folder, and where each can be reached.
//!
//! Every process locks a file of its own for as long as it lives, and writes down its addresses
//! once it is ready. Neighbours read those when they connect, so ports can be left out of the
//! configuration, and a restarted process is found at its new one.

use std::{
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

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
        match lock.try_lock() {
            Ok(()) => Ok(Claim { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(ClaimError::Held {
                data: self.data.clone(),
                name: name.to_string(),
            }),
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Writes something down under a name, whole or not at all.
    pub(crate) fn write<T: Serialize>(&self, name: &str, value: &T) -> io::Result<()> {
        let temporary = self.path(name, "new");
        let mut file = File::create(&temporary)?;
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
        let Ok(entries) = fs::read_dir(self.folder()) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| {
                let name = entry.ok()?.file_name().into_string().ok()?;
                Some(name.strip_suffix(".json")?.to_string())
            })
            .collect();
        names.sort();
        names
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
    fn what_is_written_can_be_read_until_it_is_forgotten() {
        let data = tempfile::tempdir().unwrap();
        let folder = RunFolder::of(data.path());
        let _held = folder.claim("shop").unwrap();
        assert_eq!(folder.read::<u32>("shop"), None);
        folder.write("shop", &7).unwrap();
        assert_eq!(folder.read("shop"), Some(7));
        assert_eq!(folder.names(), ["shop"]);
        folder.forget("shop");
        assert_eq!(folder.names(), [""; 0]);
    }
}
