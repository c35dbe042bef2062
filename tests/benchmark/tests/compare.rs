//! The comparison as it is run, with turns too short to say anything about speed.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// How long a turn is, in seconds.
const TURN: &str = "0.03";

fn compare(folder: &Path, only: &[&str], more: &[&str]) -> Output {
    let file = |name: &str| folder.join(name).display().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_benchmark"));
    command.args(["compare", "--quick", "--seconds", TURN]);
    command.args(only.iter().flat_map(|group| ["--only", group]));
    command.args(more);
    command.args(["--folder", &folder.display().to_string()]);
    command.args(["--json", &file("rows.json")]);
    command.args(["--markdown", &file("tables.md")]);
    command.args(["--plots", &file("plots")]);
    command.output().unwrap()
}

fn rows(folder: &Path) -> Vec<Value> {
    let json = fs::read(folder.join("rows.json")).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// Runs, checks what all rows have in common, and returns them.
fn compared(folder: &Path, only: &[&str]) -> Vec<Value> {
    compared_with(folder, only, &[])
}

/// The same with further arguments.
fn compared_with(folder: &Path, only: &[&str], more: &[&str]) -> Vec<Value> {
    let output = compare(folder, only, more);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let rows = rows(folder);
    for row in &rows {
        let number = |key: &str| {
            row[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{key}: {row:#}"))
        };
        let ratio = number("ours") / number("peer_per_second");
        assert!(number("ours") > 0.0, "{row:#}");
        assert!((number("ratio") - ratio).abs() <= ratio * 1e-9, "{row:#}");
        assert!(number("in_flight") >= 1.0, "{row:#}");
        assert!(
            row["group"].is_string() && row["peer"].is_string(),
            "{row:#}"
        );
    }
    // The tables were printed too.
    let tables = fs::read_to_string(folder.join("tables.md")).unwrap();
    assert_eq!(tables, String::from_utf8_lossy(&output.stdout));
    rows
}

fn names<'a>(rows: &'a [Value], key: &str) -> BTreeSet<&'a str> {
    rows.iter().map(|row| row[key].as_str().unwrap()).collect()
}

#[test]
fn within_a_process_everybody_is_compared_at_every_load() {
    let folder = tempfile::tempdir().unwrap();
    let rows = compared(folder.path(), &["local"]);

    assert_eq!(rows.len(), 2 * 4 * 4);
    assert_eq!(
        names(&rows, "group"),
        BTreeSet::from(["local-command", "local-query"])
    );
    let peers = BTreeSet::from(["actix", "direct", "kameo", "ractor"]);
    assert_eq!(names(&rows, "peer"), peers);
    for group in ["local-command", "local-query"] {
        let svg = folder.path().join(format!("plots/{group}.svg"));
        let svg = fs::read_to_string(svg).unwrap();
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        assert_eq!(svg.matches("<polyline").count(), 2 * 5);
    }
}

#[test]
fn between_processes_everybody_answers_and_a_group_can_be_chosen_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rows = compared(folder.path(), &["wire-1MiB"]);

    assert_eq!(names(&rows, "group"), BTreeSet::from(["wire-1MiB"]));
    let peers = BTreeSet::from(["tarpc", "tcp", "tcp-tls", "tonic", "tonic-tls", "unix"]);
    assert_eq!(names(&rows, "peer"), peers);
    let in_flight: BTreeSet<_> = rows.iter().map(|row| row["in_flight"].as_u64()).collect();
    assert_eq!(in_flight, BTreeSet::from([Some(1), Some(8)]));
    for row in &rows {
        let is_tonic = row["peer"].as_str().unwrap().starts_with("tonic");
        assert_eq!(row["peer_connections"].is_u64(), is_tonic, "{row:#}");
    }
    // Servers, sockets and stores are gone with the run.
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("modulith-compare-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn everybody_answers_us_spinning_too_which_has_a_name_and_targets_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let rows = compared_with(folder.path(), &["wire-64B"], &["--spin", "50"]);

    assert_eq!(names(&rows, "group"), BTreeSet::from(["wire-64B-spin"]));
    assert_eq!(
        names(&rows, "ours_name"),
        BTreeSet::from(["modulith with spinning"])
    );
    let peers = BTreeSet::from(["tarpc", "tcp", "tcp-tls", "tonic", "tonic-tls", "unix"]);
    assert_eq!(names(&rows, "peer"), peers);
    for row in &rows {
        assert_eq!(
            row["target"].is_f64(),
            row["peer"] == "tonic-tls",
            "{row:#}"
        );
    }
}

#[test]
fn a_query_from_a_store_is_set_beside_the_bare_read() {
    let folder = tempfile::tempdir().unwrap();
    let rows = compared(folder.path(), &["store"]);
    assert_eq!(names(&rows, "group"), BTreeSet::from(["store-query"]));
    assert_eq!(names(&rows, "peer"), BTreeSet::from(["redb"]));
    assert_eq!(names(&rows, "ours_name"), BTreeSet::from(["modulith"]));
    assert_eq!(rows.len(), 2);
}

#[test]
fn many_modules_partitions_and_connections_are_set_beside_one() {
    let folder = tempfile::tempdir().unwrap();
    let rows = compared(
        folder.path(),
        &["scale-modules", "scale-partitions", "scale-connections"],
    );

    let groups = BTreeSet::from([
        "scale-connections-100",
        "scale-modules-50",
        "scale-partitions-4",
    ]);
    assert_eq!(names(&rows, "group"), groups);
    assert_eq!(
        names(&rows, "peer"),
        BTreeSet::from(["1-connection", "1-module", "1-partition"])
    );
    for row in &rows {
        assert!(row["ours_start_ms"].as_f64().unwrap() > 0.0, "{row:#}");
        assert!(row["ours_peak_mib"].as_f64().unwrap() > 0.0, "{row:#}");
    }
}

#[test]
fn what_cannot_be_compared_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let output = compare(folder.path(), &["wir"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.contains("local, store, wire, durable, shop, scale"),
        "{told}"
    );

    let missing = folder.path().join("missing");
    let output = compare(&missing, &["local"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        told.starts_with("error: cannot write the report to "),
        "{told}"
    );
}
