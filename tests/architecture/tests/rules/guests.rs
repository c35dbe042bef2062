//! The guest list: each crate from outside, and where it is at home.
//!
//! A crate imported in one place can be replaced in one place. Whoever brings a new guest adds a
//! line here and looks at what it pulls in (`cargo tree -i`).

use std::fs;

use architecture::{Workspace, is_meant};

use crate::pass;

/// Guest, its homes, and what it is here for.
const GUESTS: &[(&str, &[&str], &str)] = &[
    // At home in one place.
    (
        "actix",
        &["kernel", "kernel/testkit", "tests/benchmark"],
        "actors, not on show; bare in the benchmark, to compare with",
    ),
    (
        "actix-web",
        &["host/edge", "tests/benchmark"],
        "HTTP in; bare in the benchmark, to compare with",
    ),
    (
        "arc-swap",
        &["host", "kernel"],
        "a value that is replaced while it is used",
    ),
    ("bincode", &["kernel"], "the encoding, in codec.rs alone"),
    ("rand", &["kernel"], "randomness, through Environment alone"),
    (
        "redb",
        &["kernel", "tests/benchmark"],
        "stores; bare in the benchmark, to compare with",
    ),
    (
        "sha2",
        &["kernel"],
        "telling commands apart; checksums of backups",
    ),
    ("quinn", &["transport/quic"], "QUIC"),
    (
        "socket2",
        &["transport/quic"],
        "sockets that share an address",
    ),
    (
        "rcgen",
        &["transport/quic", "tests/benchmark"],
        "certificates, ours and the rivals'",
    ),
    ("ring", &["transport/quic"], "the one crypto provider"),
    ("rustls", &["transport/quic"], "TLS"),
    ("rustls-webpki", &["transport/quic"], "who a certificate is"),
    ("bytes", &["transport/quic", "transport/wire"], "frames"),
    (
        "foldhash",
        &["transport/wire", "kernel", "host"],
        "tables that every message is looked up in",
    ),
    ("proc-macro2", &["kernel/derive"], "derives"),
    ("quote", &["kernel/derive"], "derives"),
    ("syn", &["kernel/derive"], "derives"),
    ("hickory-resolver", &["host"], "DNS"),
    (
        "command-fds",
        &["app", "host"],
        "handing a listener to a process",
    ),
    (
        "listenfd",
        &["host"],
        "taking a listener that was handed over",
    ),
    ("strsim", &["host"], "did you mean …?"),
    ("tracing-subscriber", &["host"], "where logs go"),
    ("lettre", &["modules/email"], "mail"),
    ("maud", &["modules/storefront"], "pages"),
    ("uuid", &["modules/storefront"], "shoppers' names, as UUIDs"),
    (
        "crc32fast",
        &["kernel"],
        "whether a journal record is whole",
    ),
    (
        "rustix",
        &[
            "host",
            "kernel",
            "kernel/testkit",
            "tests/benchmark",
            "tests/faults",
        ],
        "dropping a file from memory after its disk failed; signals, to end processes",
    ),
    ("awc", &["tests/benchmark"], "HTTP out, fast"),
    ("indicatif", &["tests/benchmark"], "progress"),
    ("kameo", &["tests/benchmark"], "a rival: actors"),
    ("prost", &["tests/benchmark"], "a rival's messages"),
    ("ractor", &["tests/benchmark"], "a rival: actors"),
    ("tarpc", &["tests/benchmark"], "a rival: requests over TCP"),
    ("tokio-postgres", &["tests/benchmark"], "a rival's client"),
    (
        "tokio-rustls",
        &["tests/benchmark"],
        "TLS over TCP, the limit to compare with",
    ),
    ("tonic", &["tests/benchmark"], "a rival: gRPC"),
    ("tonic-prost", &["tests/benchmark"], "a rival's messages"),
    // At home in a few.
    (
        "actix-rt",
        &["host", "tests/benchmark"],
        "the runtime an application starts",
    ),
    (
        "clap",
        &["host", "tests/benchmark", "tests/faults"],
        "command lines",
    ),
    (
        "fastrand",
        &["host", "transport/quic", "tests/benchmark", "tests/faults"],
        "jitter, load and dice; never secrets",
    ),
    ("hdrhistogram", &["tests/benchmark"], "latencies"),
    (
        "serde_json",
        &["host", "host/edge", "kernel", "tests/*"],
        "JSON",
    ),
    (
        "tempfile",
        &["kernel/testkit", "tests/benchmark", "tests/faults"],
        "folders of tests and of rivals",
    ),
    (
        "toml",
        &["host", "modules/catalog"],
        "configuration, and the products",
    ),
    ("ureq", &["host", "tests/faults"], "HTTP out, plain"),
    (
        "tokio",
        &[
            "host",
            "host/edge",
            "kernel",
            "kernel/testkit",
            "modules/*",
            "tests/benchmark",
            "tests/faults",
            "transport/quic",
        ],
        "waiting; contracts never wait",
    ),
    (
        "futures-util",
        &[
            "host",
            "host/edge",
            "kernel",
            "kernel/testkit",
            "modules/*",
            "tests/benchmark",
            "tests/faults",
            "transport/quic",
        ],
        "waiting for several at once",
    ),
    // At home wherever code is.
    (
        "serde",
        &[
            "host",
            "host/edge",
            "kernel",
            "kernel/contract",
            "modules/*",
            "modules/*/contract",
            "tests/*",
        ],
        "data in and out",
    ),
    (
        "thiserror",
        &[
            "host",
            "host/edge",
            "kernel",
            "modules/*",
            "tests/*",
            "transport/*",
        ],
        "errors",
    ),
    (
        "tracing",
        &["host", "host/edge", "kernel", "modules/*", "transport/*"],
        "logs",
    ),
];

/// Guest, and whose tests it visits besides its homes.
const TEST_GUESTS: &[(&str, &[&str])] = &[
    ("fastrand", &["transport/mesh"]),
    ("hickory-proto", &["host"]),
    ("hdrhistogram", &["transport/quic"]),
    (
        "proptest",
        &[
            "host",
            "kernel",
            "modules/*",
            "transport/mesh",
            "transport/wire",
        ],
    ),
    ("rcgen", &["app"]),
    ("serde", &["kernel/derive"]),
    (
        "tempfile",
        &[
            "app",
            "host",
            "kernel",
            "modules/*",
            "tests/*",
            "transport/quic",
        ],
    ),
    ("toml", &["modules/*"]),
    ("trybuild", &["kernel/derive"]),
    ("ureq", &["app"]),
];

#[test]
fn guests_stay_in_their_homes() {
    let workspace = Workspace::load();
    let mut complaints = Vec::new();
    for host in &workspace.crates {
        let folder = &host.folder;
        for import in host.imports.iter().filter(|import| import.folder.is_none()) {
            let name = import.name.as_str();
            let homes = GUESTS
                .iter()
                .find(|row| row.0 == name)
                .map_or(&[][..], |row| row.1);
            let visits = TEST_GUESTS.iter().find(|row| row.0 == name);
            let visits = visits
                .filter(|_| import.for_tests)
                .map_or(&[][..], |row| row.1);
            let mut places = homes.iter().chain(visits);
            if places.any(|place| is_meant(folder, place)) {
                continue;
            }
            complaints.push(if homes.is_empty() && visits.is_empty() {
                format!(
                    "{folder} imports {name}, which is not on the guest list \
                     (tests/architecture/tests/rules/guests.rs): look at what it pulls in, then \
                     add a line that says what it is for"
                )
            } else {
                format!(
                    "{folder} must not import {name}: its home is {}",
                    homes.join(", ")
                )
            });
        }
    }
    pass(&complaints);
}

#[test]
fn nobody_is_on_the_guest_list_who_does_not_come() {
    let workspace = Workspace::load();
    let comes = |name: &str| {
        let mut imports = workspace.crates.iter().flat_map(|host| &host.imports);
        imports.any(|import| import.name == name)
    };
    let listed = GUESTS.iter().map(|row| row.0);
    let gone = listed.filter(|name| !comes(name));
    let complaints = gone.map(|name| format!("{name} is on the guest list and nobody imports it"));
    pass(&complaints.collect::<Vec<_>>());
}

#[test]
fn only_the_codec_knows_bincode() {
    let workspace = Workspace::load();
    let mut complaints = Vec::new();
    for path in workspace.files_below(".") {
        let short = workspace.short(&path);
        let is_code = short.ends_with(".rs") && !short.starts_with("tests/architecture/");
        if !is_code || short == "kernel/src/codec.rs" {
            continue;
        }
        let code = fs::read_to_string(&path).expect("source is text");
        if code.contains("bincode::") {
            complaints.push(format!(
                "{short} uses bincode; only kernel/src/codec.rs may"
            ));
        }
    }
    pass(&complaints);
}
