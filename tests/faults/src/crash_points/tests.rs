//! The checks are checked: what is broken on purpose is found out, and nothing else is.

use super::*;

/// The seed of what is torn in these tests.
const SEED: u64 = 1;

/// Crashes at every so-manieth point of a run that is broken in some way, until this is found.
fn violations(sabotage: Sabotage, every: usize, until: Option<&str>) -> Vec<String> {
    let run = script::record(Size { rounds: 1 }, sabotage);
    let mut image = Image::default();
    let mut found = Vec::new();
    for after in 0..=run.steps.len() {
        if let Some(step) = after.checked_sub(1).and_then(|last| run.steps.get(last)) {
            image.step(step);
        }
        if after % every > 0 {
            continue;
        }
        for kind in [Kind::Kept, Kind::Dropped, Kind::Torn, Kind::Twice] {
            let point = Point {
                after,
                kind,
                seed: SEED,
            };
            let findings = check_guarded(&run, &image, point, sabotage);
            found.extend(findings.iter().map(|found| format!("{point:?}: {found}")));
            if until.is_some_and(|what| findings.iter().any(|found| found.contains(what))) {
                return found;
            }
        }
    }
    found
}

fn check_found(sabotage: Sabotage, what: &str) {
    let found = violations(sabotage, 13, Some(what));
    let as_expected = found.iter().any(|found| found.contains(what));
    assert!(as_expected, "{sabotage:?} shows as {found:#?}");
}

#[test]
fn a_run_that_nothing_is_wrong_with_survives_every_crash() {
    assert_eq!(violations(Sabotage::None, 5, None), [""; 0]);
}

#[test]
fn a_run_recorded_again_is_the_same() {
    let steps = || {
        let run = script::record(Size { rounds: 1 }, Sabotage::None);
        run.steps
            .iter()
            .map(|step| format!("{step:?}"))
            .collect::<Vec<_>>()
    };
    assert!(steps() == steps(), "a point would not be found again");
}

#[test]
fn a_sync_that_lies_is_found_out() {
    check_found(Sabotage::Syncs, "was told of, and is missing");
}

#[test]
fn a_journal_that_is_not_replayed_is_found_out() {
    check_found(Sabotage::Replay, "was told of, and is missing");
}

#[test]
fn an_inbox_that_forgets_is_found_out() {
    check_found(Sabotage::Inbox, "was posted 2 times");
}

#[test]
fn a_cursor_that_is_not_in_the_effects_commit_is_found_out() {
    check_found(Sabotage::Cursor, "was heard of");
}

#[test]
fn an_undo_that_is_skipped_is_found_out() {
    check_found(
        Sabotage::Undo,
        "came to Counts { begun: 1, ended: 0, undone: 1 }",
    );
}
