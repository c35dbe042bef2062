//! Who may import whom.

use architecture::{Crate, Import, Workspace, is_meant};

use crate::pass;

/// Importer, what of ours it may import, and why no more.
const MAY_IMPORT: &[(&str, &[&str], &str)] = &[
    (
        "app",
        &["host", "modules/*"],
        "the application names its modules and wires nothing else",
    ),
    (
        "host",
        &[
            "host/edge",
            "kernel",
            "transport/mesh",
            "transport/quic",
            "transport/wire",
        ],
        "the host runs any application: it knows no module",
    ),
    (
        "host/edge",
        &["kernel"],
        "the edge brings HTTP to ports, whatever is behind them",
    ),
    (
        "kernel",
        &["kernel/contract"],
        "the kernel knows neither network nor application",
    ),
    (
        "kernel/contract",
        &["kernel/derive"],
        "every contract is compiled against this crate",
    ),
    ("kernel/derive", &[], "a derive knows only syntax"),
    (
        "kernel/testkit",
        &["kernel"],
        "the testkit runs any module: it knows none",
    ),
    (
        "modules/*",
        &["kernel", "modules/*/contract"],
        "a module knows another only through its contract",
    ),
    (
        "modules/storefront",
        &["host/edge", "kernel", "modules/*/contract"],
        "the storefront is the one module that speaks HTTP",
    ),
    (
        "modules/*/contract",
        &["kernel/contract", "modules/*/contract"],
        "a contract is plain data, and so is all it is made of",
    ),
    (
        "tests/architecture",
        &["kernel", "modules/*"],
        "it reads declarations, and nothing imports it",
    ),
    (
        "tests/benchmark",
        &[
            "kernel",
            "kernel/contract",
            "transport/quic",
            "transport/wire",
        ],
        "it meets the application over HTTP, as a shopper does, and the kernel and the transport \
         with modules of its own",
    ),
    (
        "tests/faults",
        &[
            "kernel",
            "kernel/contract",
            "modules/*",
            "modules/*/contract",
        ],
        "it simulates the real modules, and nothing imports it",
    ),
    (
        "transport/mesh",
        &["kernel/contract"],
        "decisions alone: it knows faults, and neither network nor modules",
    ),
    (
        "transport/quic",
        &["kernel/contract", "transport/wire"],
        "the transport carries bytes: it knows neither kernel nor modules",
    ),
    (
        "transport/wire",
        &[],
        "the protocol is a pure state machine",
    ),
];

/// What tests may import besides.
const TESTS_MAY_IMPORT: &[(&str, &[&str])] = &[
    ("app", &["kernel/testkit"]),
    ("host", &["kernel/testkit"]),
    ("kernel", &["kernel/testkit"]),
    // Derives are tried out on the traits they implement.
    ("kernel/derive", &["kernel/contract"]),
    ("modules/*", &["kernel/testkit"]),
];

#[test]
fn crates_import_only_whom_they_may() {
    let workspace = Workspace::load();
    let complaints = workspace.crates.iter().flat_map(check);
    pass(&complaints.collect::<Vec<_>>());
}

#[test]
fn an_edge_that_is_not_allowed_is_named_with_its_rule() {
    let cart = |import: Import| Crate::made_up("cart", "modules/cart", vec![import]);
    let ours = |folder: &str, for_tests| Import {
        name: "x".to_string(),
        folder: Some(folder.to_string()),
        for_tests,
    };
    let complaint = "modules/cart must not import modules/catalog: a module knows another only \
                     through its contract (it may import kernel, modules/*/contract)";
    assert_eq!(check(&cart(ours("modules/catalog", false))), [complaint]);
    assert_eq!(check(&cart(ours("kernel/testkit", false))).len(), 1);
    for allowed in [
        ours("modules/catalog/contract", false),
        ours("kernel", false),
        ours("kernel/testkit", true),
    ] {
        assert_eq!(check(&cart(allowed)), [""; 0]);
    }
    let stray = Crate::made_up("stray", "lib/stray", vec![]);
    assert!(check(&stray)[0].contains("has no row"));
}

fn check(importer: &Crate) -> Vec<String> {
    let folder = &importer.folder;
    let rows = MAY_IMPORT.iter().filter(|row| is_meant(folder, row.0));
    // The row that names the folder itself goes before one with a star.
    let Some((_, may, why)) = rows.max_by_key(|row| row.0 == folder) else {
        return vec![format!(
            "{folder} has no row in MAY_IMPORT (tests/architecture): say whom it may import, and \
             why; a new direction needs an ADR"
        )];
    };
    let ours = importer.imports.iter().filter_map(|import| {
        let imported = import.folder.as_ref()?;
        let allowed = may.iter().any(|pattern| is_meant(imported, pattern))
            || (import.for_tests && tests_may(folder, imported));
        let may = if may.is_empty() {
            "nothing of ours".to_string()
        } else {
            may.join(", ")
        };
        (!allowed)
            .then(|| format!("{folder} must not import {imported}: {why} (it may import {may})"))
    });
    ours.collect()
}

fn tests_may(folder: &str, imported: &str) -> bool {
    let mut rows = TESTS_MAY_IMPORT
        .iter()
        .filter(|row| is_meant(folder, row.0));
    rows.any(|row| row.1.contains(&imported))
}
