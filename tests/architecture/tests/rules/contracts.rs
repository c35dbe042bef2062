//! Contracts are plain data: whoever compiles against one compiles no actor, store or socket.

use architecture::{Workspace, is_meant};

use crate::pass;

const FORBIDDEN: &[&str] = &[
    "actix",
    "actix-rt",
    "actix-web",
    "bincode",
    "futures-util",
    "mio",
    "modulith-kernel",
    "quinn",
    "redb",
    "rustls",
    "tokio",
];

#[test]
fn contracts_compile_without_actors_stores_and_sockets() {
    let workspace = Workspace::load();
    let mut complaints = Vec::new();
    let contracts = workspace.crates.iter().filter(|one| {
        one.folder == "kernel/contract" || is_meant(&one.folder, "modules/*/contract")
    });
    let mut count = 0;
    for contract in contracts {
        count += 1;
        let closure = workspace.closure(contract);
        assert!(closure.contains("serde"), "{closure:?} is a closure");
        for found in FORBIDDEN.iter().filter(|name| closure.contains(*name)) {
            let name = &contract.name;
            complaints.push(format!(
                "{name} pulls in {found}; see `cargo tree -p {name} -e normal -i {found}`"
            ));
        }
    }
    pass(&complaints);
    assert!(count >= 10, "{count} contracts were found");
}

#[test]
fn the_check_sees_what_it_looks_for() {
    let workspace = Workspace::load();
    let mut crates = workspace.crates.iter();
    let kernel = crates.find(|one| one.folder == "kernel");
    let closure = workspace.closure(kernel.expect("there is a kernel"));
    for name in ["actix", "redb", "tokio", "bincode"] {
        assert!(closure.contains(name), "the kernel is built from {name}");
    }
    assert!(!closure.contains("quinn"), "the kernel knows no network");
}
