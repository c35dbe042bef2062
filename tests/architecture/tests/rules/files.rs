//! Files say what they are for, and are the same on every machine.

use std::fs;

use architecture::Workspace;

use crate::pass;

#[test]
fn every_source_file_opens_by_saying_what_it_is_for() {
    let workspace = Workspace::load();
    let mut complaints = Vec::new();
    for one in &workspace.crates {
        for path in workspace.files_below(&format!("{}/src", one.folder)) {
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let code = fs::read_to_string(&path).expect("source is text");
            if !code.starts_with("//! ") {
                let short = workspace.short(&path);
                complaints.push(format!("{short} must open with `//!` and what it is for"));
            }
        }
    }
    pass(&complaints);
}

/// Folders that exist on the machine of whoever wrote a file, and nowhere else.
const PRIVATE_FOLDERS: &[&str] = &["/home/", "/root/", "/Users/", "/work/", "C:\\Users"];

#[test]
fn no_file_mentions_a_folder_of_somebodys_machine() {
    let workspace = Workspace::load();
    let root = workspace.root.display().to_string();
    let mut complaints = Vec::new();
    for path in workspace.files_below(".") {
        let short = workspace.short(&path);
        if short == "tests/architecture/tests/rules/files.rs" {
            continue;
        }
        // Pictures and the like are not text.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in (1..).zip(text.lines()) {
            let mut private = PRIVATE_FOLDERS
                .iter()
                .filter(|folder| begins_in(line, folder));
            if let Some(folder) = private.next() {
                complaints.push(format!(
                    "{short}:{number} mentions {folder}, which only you have"
                ));
            } else if line.contains(&root) {
                complaints.push(format!("{short}:{number} mentions {root}"));
            }
        }
    }
    pass(&complaints);
}

/// Whether a path in a line begins with a folder; `https://example.org/home/` does not.
fn begins_in(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_ascii_alphanumeric() || "._-~}$*/".contains(c))
    })
}

#[test]
fn a_path_is_told_from_an_address() {
    assert!(begins_in("see /home/ann/notes", "/home/"));
    assert!(begins_in("data = \"/root/data\"", "/root/"));
    assert!(!begins_in("https://example.org/home/ann", "/home/"));
    assert!(!begins_in("$HOME/work/x", "/work/"));
}
