//! Files that exactly one of several processes creates or replaces, complete and readable by the
//! owner only.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// More than any key or bundle of certificates has, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Creates a folder for the owner only; one that exists is left as it is.
pub(crate) fn create_folder(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        created => created,
    }
}

/// Creates the file with this content unless there is one, and returns what it holds then.
///
/// The content is written under another name and linked to its own, which fails if that exists:
/// a rename would replace what another process has just created and started to use.
pub(crate) fn create(folder: &Path, name: &str, content: &str) -> io::Result<String> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let path = folder.join(name);
    if path.exists() {
        return read(&path);
    }
    let unique = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = folder.join(format!(".{name}.{}.{unique}", std::process::id()));
    let written = write(&temporary, content).and_then(|()| std::fs::hard_link(&temporary, &path));
    let removed = std::fs::remove_file(&temporary);
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.exists() => {}
        written => written.and(removed)?,
    }
    // The new name is as durable as the content once the folder is.
    File::open(folder)?.sync_all()?;
    read(&path)
}

/// Puts this content in the place of the file, whole or not at all, durably.
///
/// For one writer at a time. What a crash leaves behind is overwritten by the next attempt.
pub(crate) fn replace(folder: &Path, name: &str, content: &str) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write(&temporary, content)?;
    rename(folder, &format!(".{name}.new"), name)
}

/// Gives a file another name, in place of the file that has it, durably.
pub(crate) fn rename(folder: &Path, from: &str, to: &str) -> io::Result<()> {
    std::fs::rename(folder.join(from), folder.join(to))?;
    File::open(folder)?.sync_all()
}

/// Opens a file to be locked; its content means nothing.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Reads a file of text. One that is longer than any file here is an error.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    let read = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut content)?;
    if read as u64 > FILE_BYTES_MAX {
        let problem = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(content)
}

fn write(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
