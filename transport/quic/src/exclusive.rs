//! Files that exactly one of several processes creates, complete and readable by the owner only.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// More than any key or certificate here has, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;

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

pub(crate) fn read(path: &Path) -> io::Result<String> {
    let mut content = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut content)?;
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
