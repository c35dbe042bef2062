//! Backups of one store: a copy in a file of its own, with its checksum beside it.
//!
//! `FILE` is a database that a module takes for its store; `FILE.sha256` is what `sha256sum`
//! writes, so that it can be checked anywhere. The copy appears under its name only when all of it
//! is on the disk, and is put in place only when all of it is what was written.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use modulith_contract::{Fault, Timestamp};
use redb::{Builder, DatabaseError, ReadOnlyDatabase, ReadableDatabase};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Store, about::About, open::FORMAT};
use crate::{
    Partition,
    storage::{Files, Part, sync_folder},
};

/// How much is read at once for a checksum.
const READ_BYTES: usize = 1 << 16;

/// A backup that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// The module whose store it holds.
    pub module: String,
    /// Where it is.
    pub file: PathBuf,
    /// How large it is.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The number of the last batch in it.
    pub sequence: u64,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is a file of that name.
    #[error("{} is there already; choose another name, or remove it", .0.display())]
    Exists(PathBuf),
    /// It cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Unwritable {
        /// What was to be written.
        file: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
    /// The store cannot be read, or the copy written.
    #[error(transparent)]
    Store(#[from] Fault),
}

/// A store that was put in place of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The module whose store it is.
    pub module: String,
    /// The number of the last batch in it.
    pub sequence: u64,
    /// Where the store that was there is now; none when there was none.
    pub before: Option<PathBuf>,
}

/// Why a backup was not put in place. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The module runs.
    #[error("the store of module {0} is in use; stop the process that hosts it, then try again")]
    InUse(String),
    /// The backup is not what was written.
    #[error(
        "{} is not what was backed up: its SHA-256 is {found}, and {expected} is written beside \
         it; take another backup",
        file.display()
    )]
    Altered {
        /// The backup.
        file: PathBuf,
        /// Its checksum.
        found: String,
        /// What it was when it was made.
        expected: String,
    },
    /// The checksum is not there or is none.
    #[error(
        "{} cannot be read as a checksum; a backup is restored together with the .sha256 written \
         beside it",
        .0.display()
    )]
    NoChecksum(PathBuf),
    /// The backup is no store.
    #[error("{} is no store: {reason}", file.display())]
    NoStore {
        /// The backup.
        file: PathBuf,
        /// What redb said.
        reason: String,
    },
    /// It is of another module.
    #[error("{} is a store of module {found}, not of {module}", file.display())]
    Misplaced {
        /// The backup.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose was wanted.
        module: String,
    },
    /// It is of another partition of the module, or was one of another number of them.
    #[error("{} is {found} of module {module}, not {expected}", file.display())]
    Divided {
        /// The backup.
        file: PathBuf,
        /// The module.
        module: String,
        /// What it is, in words.
        found: String,
        /// What was wanted, in words.
        expected: String,
    },
    /// It was written by a newer program.
    #[error(
        "{} has {what} {found}, newer than {known}, the last this program knows; restore it with \
         the newer program",
        file.display()
    )]
    Newer {
        /// The backup.
        file: PathBuf,
        /// What is newer: `version` (the module's) or `format` (the kernel's).
        what: &'static str,
        /// What it has.
        found: u32,
        /// What this program writes.
        known: u32,
    },
    /// A file cannot be read or written.
    #[error("cannot {attempt} {}: {source}", file.display())]
    System {
        /// What was being attempted.
        attempt: &'static str,
        /// With which file.
        file: PathBuf,
        /// What the disk said.
        source: io::Error,
    },
}

impl Store {
    /// Writes everything committed by now to `file`, and its checksum beside it. Commands and
    /// queries go on meanwhile. Nothing is left behind when it fails.
    pub(crate) fn back_up(&self, file: &Path) -> Result<Backup, BackupError> {
        let sum_file = beside(file, ".sha256");
        for there in [file, &sum_file] {
            if there.exists() {
                return Err(BackupError::Exists(there.to_path_buf()));
            }
        }
        let partial = beside(file, ".partial");
        // Left by a process that was killed while it made one.
        _ = fs::remove_file(&partial);
        let made = self.write_backup(file, &partial, &sum_file);
        if made.is_err() {
            _ = fs::remove_file(&partial);
            _ = fs::remove_file(&sum_file);
        }
        made
    }

    fn write_backup(
        &self,
        file: &Path,
        partial: &Path,
        sum_file: &Path,
    ) -> Result<Backup, BackupError> {
        let unwritable = |source| BackupError::Unwritable {
            file: file.to_path_buf(),
            source,
        };
        let sequence = self.copy_to(partial)?;
        let copied = File::open(partial).map_err(unwritable)?;
        copied.sync_all().map_err(unwritable)?;
        let (sha256, bytes) = sum(copied, &mut io::sink()).map_err(unwritable)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let mut written = File::create_new(sum_file).map_err(unwritable)?;
        writeln!(written, "{sha256}  {name}").map_err(unwritable)?;
        written.sync_all().map_err(unwritable)?;
        fs::rename(partial, file).map_err(unwritable)?;
        sync_folder(file.parent().unwrap_or(Path::new("."))).map_err(unwritable)?;
        Ok(Backup {
            module: self.partition.name(self.module),
            file: file.to_path_buf(),
            bytes,
            sha256,
            sequence,
        })
    }
}

/// Puts a backup in place of the store of a module, or of one of its partitions, below the folder `data`, while nothing runs on
/// it. The store that was there stays beside it, under another name.
///
/// `version` is the newest version of the module's store that the program knows.
///
/// # Errors
/// [`RestoreError`], and then nothing has changed.
pub fn restore(
    data: &Path,
    module: &str,
    partition: Partition,
    version: u32,
    file: &Path,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let files = Files::below(data);
    let wanted = Wanted {
        module,
        partition,
        version,
    };
    let place = files.path(&partition.name(module));
    let partial = place.with_file_name("store.redb.restoring");
    let restored = put_in_place(&files, &wanted, file, &partial, now);
    if restored.is_err() {
        _ = fs::remove_file(&partial);
    }
    restored
}

/// What a backup has to be.
struct Wanted<'a> {
    module: &'a str,
    partition: Partition,
    version: u32,
}

fn put_in_place(
    files: &Files,
    wanted: &Wanted<'_>,
    file: &Path,
    partial: &Path,
    now: Timestamp,
) -> Result<Restored, RestoreError> {
    let name = wanted.partition.name(wanted.module);
    let place = files.path(&name);
    let folder = place.parent().unwrap_or(Path::new("."));
    let failed = |attempt, file: &Path| {
        let file = file.to_path_buf();
        move |source| RestoreError::System {
            attempt,
            file,
            source,
        }
    };
    let sum_file = beside(file, ".sha256");
    let backup = File::open(file).map_err(failed("read", file))?;
    let expected = fs::read_to_string(&sum_file)
        .ok()
        .and_then(|line| Some(line.split_whitespace().next()?.to_lowercase()))
        .filter(|sum| sum.len() == 64)
        .ok_or(RestoreError::NoChecksum(sum_file))?;
    // Held to the end, so that no process opens the store meanwhile.
    let _held = hold(&place, &name)?;
    fs::create_dir_all(folder).map_err(failed("make", folder))?;
    let mut copied = File::create(partial).map_err(failed("write", partial))?;
    let (found, _) = sum(backup, &mut copied).map_err(failed("copy", file))?;
    if found != expected {
        return Err(RestoreError::Altered {
            file: file.to_path_buf(),
            found,
            expected,
        });
    }
    copied.sync_all().map_err(failed("write", partial))?;
    let sequence = inspect(partial, file, wanted)?;
    let suffix = format!(".before-restore-{now}").replace(':', "");
    let mut before = None;
    // The place is never empty: a module that found nothing there would begin anew.
    let journal = files.path_of(&name, Part::Journal);
    for there in [&journal, &place].into_iter().filter(|file| file.exists()) {
        let aside = beside(there, &suffix);
        fs::copy(there, &aside).map_err(failed("set aside", there))?;
        let copied = File::open(&aside).and_then(|file| file.sync_all());
        copied.map_err(failed("set aside", there))?;
        before = Some(aside);
    }
    fs::rename(partial, &place).map_err(failed("put in place", &place))?;
    // It is of the store that is gone, and would be ignored.
    _ = fs::remove_file(journal);
    sync_folder(folder).map_err(failed("write", folder))?;
    Ok(Restored {
        module: name,
        sequence,
        before,
    })
}

/// Keeps others from opening the store. One that redb cannot open for another reason is no
/// obstacle: that may be why it is being replaced.
fn hold(place: &Path, module: &str) -> Result<Option<redb::Database>, RestoreError> {
    if !place.exists() {
        return Ok(None);
    }
    match redb::Database::open(place) {
        Ok(database) => Ok(Some(database)),
        Err(DatabaseError::DatabaseAlreadyOpen) => Err(RestoreError::InUse(module.to_string())),
        Err(_) => Ok(None),
    }
}

/// Whose store it is, and whether this program knows it. Gives the number of its last batch.
fn inspect(partial: &Path, file: &Path, wanted: &Wanted<'_>) -> Result<u64, RestoreError> {
    let Wanted {
        module,
        partition,
        version,
    } = *wanted;
    let no_store = |reason: String| RestoreError::NoStore {
        file: file.to_path_buf(),
        reason,
    };
    let read = |database: &ReadOnlyDatabase| -> Result<About, redb::Error> {
        About::of(&database.begin_read()?)
    };
    let database = Builder::new()
        .open_read_only(partial)
        .map_err(|error| no_store(error.to_string()))?;
    let about = read(&database).map_err(|error| no_store(error.to_string()))?;
    let owner = about
        .module
        .ok_or_else(|| no_store("it says of no module that it is its".to_string()))?;
    if owner != module {
        return Err(RestoreError::Misplaced {
            file: file.to_path_buf(),
            found: owner,
            module: module.to_string(),
        });
    }
    if about.partition != partition.words() {
        let words = |(index, count): (u32, u32)| match count {
            1 => "the whole".to_string(),
            _ => format!("partition {index} of {count}"),
        };
        return Err(RestoreError::Divided {
            file: file.to_path_buf(),
            module: module.to_string(),
            found: words(about.partition),
            expected: words(partition.words()),
        });
    }
    for (what, found, known) in [
        ("format", about.format, FORMAT),
        ("version", about.version, version),
    ] {
        if let Some(found) = found.filter(|found| *found > known) {
            let file = file.to_path_buf();
            return Err(RestoreError::Newer {
                file,
                what,
                found,
                known,
            });
        }
    }
    Ok(about.sequence)
}

/// Copies everything, and gives its SHA-256 and its length.
fn sum(mut from: File, to: &mut dyn Write) -> io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
    let digits = digest.finalize();
    let digits = digits.iter().map(|byte| format!("{byte:02x}"));
    Ok((digits.collect(), bytes))
}

/// The path with something behind its file name.
fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}
