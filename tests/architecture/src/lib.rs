//! The workspace as data: its crates, where they are, and what they import.
//!
//! Read from `cargo metadata`, so it is what cargo builds and not what somebody wrote down. The
//! rules about it are in `tests/rules`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// The crates of this repository.
#[derive(Debug)]
pub struct Workspace {
    /// The repository's folder.
    pub root: PathBuf,
    /// Its crates, by folder.
    pub crates: Vec<Crate>,
    /// For every package cargo builds, what it is built from.
    built_from: BTreeMap<String, Vec<String>>,
    /// The names of those packages.
    names: BTreeMap<String, String>,
}

/// One crate.
#[derive(Debug)]
pub struct Crate {
    /// Its name in `Cargo.toml`.
    pub name: String,
    /// Its folder below the root, such as `modules/cart`.
    pub folder: String,
    /// What its `Cargo.toml` lists.
    pub imports: Vec<Import>,
    id: String,
}

/// A line under `[dependencies]`, or a kind of it.
#[derive(Debug)]
pub struct Import {
    /// The package's name.
    pub name: String,
    /// The folder of a crate of ours; none for a guest.
    pub folder: Option<String>,
    /// Whether only tests may use it.
    pub for_tests: bool,
}

impl Workspace {
    /// Asks cargo.
    ///
    /// # Panics
    /// When cargo cannot say.
    pub fn load() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--offline"])
            // What other platforms need was never downloaded, and need not be.
            .args(["--filter-platform", &host_platform()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo can be started");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo metadata: {errors}");
        let metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
        Self::read(&metadata)
    }

    fn read(metadata: &Value) -> Self {
        let root = PathBuf::from(text(&metadata["workspace_root"]));
        let members: BTreeSet<&str> = list(&metadata["workspace_members"]).map(text).collect();
        let packages = || list(&metadata["packages"]);
        let mut crates: Vec<Crate> = packages()
            .filter(|package| members.contains(text(&package["id"])))
            .map(|package| Crate::read(package, &root))
            .collect();
        crates.sort_by(|a, b| a.folder.cmp(&b.folder));
        let names = packages().map(|package| (owned(&package["id"]), owned(&package["name"])));
        let nodes = list(&metadata["resolve"]["nodes"]);
        let built_from = nodes.map(|node| {
            let built = list(&node["deps"]).filter(|dependency| {
                // A dependency without a kind is an ordinary one.
                list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev")
            });
            let ids = built.map(|dependency| owned(&dependency["pkg"]));
            (owned(&node["id"]), ids.collect())
        });
        Self {
            root,
            crates,
            built_from: built_from.collect(),
            names: names.collect(),
        }
    }

    /// The names of every package that building a crate builds.
    pub fn closure(&self, of: &Crate) -> BTreeSet<&str> {
        let mut seen = BTreeSet::from([of.id.as_str()]);
        let mut open = vec![of.id.as_str()];
        while let Some(id) = open.pop() {
            for next in self.built_from.get(id).into_iter().flatten() {
                if seen.insert(next) {
                    open.push(next);
                }
            }
        }
        let names = seen.into_iter().filter_map(|id| self.names.get(id));
        names.map(String::as_str).collect()
    }

    /// Every file below a folder of the repository, without what is built or hidden.
    ///
    /// # Panics
    /// When a folder cannot be read.
    pub fn files_below(&self, folder: &str) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let folder = self.root.join(folder);
        walk(&folder, &mut files).expect("the repository can be read");
        files.sort();
        files
    }

    /// A path as it is written in messages: from the root.
    pub fn short(&self, path: &Path) -> String {
        let short = path.strip_prefix(&self.root).unwrap_or(path);
        short.display().to_string()
    }
}

impl Crate {
    /// A crate that is not there, to try a rule on.
    pub fn made_up(name: &str, folder: &str, imports: Vec<Import>) -> Self {
        Self {
            name: name.to_string(),
            folder: folder.to_string(),
            imports,
            id: String::new(),
        }
    }

    fn read(package: &Value, root: &Path) -> Self {
        let manifest = Path::new(text(&package["manifest_path"]));
        let below = |path: &Path| {
            let path = path.strip_prefix(root).ok()?;
            Some(path.display().to_string().replace('\\', "/"))
        };
        let imports = list(&package["dependencies"]).map(|import| Import {
            name: owned(&import["name"]),
            folder: import["path"].as_str().and_then(|p| below(Path::new(p))),
            for_tests: import["kind"] == "dev",
        });
        Self {
            name: owned(&package["name"]),
            folder: manifest.parent().and_then(below).unwrap_or_default(),
            imports: imports.collect(),
            id: owned(&package["id"]),
        }
    }
}

/// Whether a folder is one that a pattern means; `*` stands for one name.
pub fn is_meant(folder: &str, pattern: &str) -> bool {
    let (names, wanted) = (folder.split('/'), pattern.split('/'));
    names.clone().count() == wanted.clone().count()
        && names
            .zip(wanted)
            .all(|(name, want)| want == "*" || want == name)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == "target" || (name.starts_with('.') && name != ".ci") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn owned(value: &Value) -> String {
    text(value).to_string()
}

/// The platform this machine builds for, as rustc names it.
fn host_platform() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .expect("rustc says what it is");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_string()
}
