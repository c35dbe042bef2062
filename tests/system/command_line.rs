//! The command line: what it prints, and what it says when something is not right.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    path::Path,
    process::{Command, Output, Stdio},
};

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use crate::{BOUTIQUE, config, one_process, start};

fn boutique(arguments: &[&str]) -> Output {
    Command::new(BOUTIQUE).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs it and checks that it ends with exit code 2 and an error of a line or two, saying all of
/// this.
#[track_caller]
fn refused(arguments: &[&str], says: &[&str]) -> String {
    let output = boutique(arguments);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    for part in says {
        assert!(error.contains(part), "{part:?} is not in:\n{error}");
    }
    assert!(!error.contains("panicked"), "{error}");
    error
}

fn file(folder: &TempDir, content: &str) -> String {
    let path = folder.path().join("app.toml");
    fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Checks that a configuration is refused, with these words.
#[track_caller]
fn refused_config(content: &str, says: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let path = file(&folder, content);
    let error = refused(&["check", "--config", &path], says);
    assert_eq!(
        refused(&["run", "--config", &path], says),
        error,
        "run and check say the same"
    );
    error
}

const OTHERS: &str = r#""catalog", "currency", "cart", "recommendation", "ad", "checkout", "payment", "shipping", "email""#;

#[test]
fn the_three_configurations_differ_in_placement_only() {
    for name in [
        "one-process.toml",
        "checkout-apart.toml",
        "every-module-apart.toml",
    ] {
        let path = config(name).display().to_string();
        let output = boutique(&["check", "--config", &path]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let content = fs::read_to_string(path).unwrap();
        let keys = content
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key);
        for key in keys {
            assert!(
                ["name", "data", "modules", "http"].contains(&key),
                "{name} sets {key}"
            );
        }
    }
}

#[test]
fn check_prints_the_placement_and_graph_a_diagram_of_it() {
    let path = config("checkout-apart.toml").display().to_string();
    let checked = text(&boutique(&["check", "--config", &path]).stdout);
    for part in [
        "orders",
        "checkout, payment",
        "payment (Charge, Refund)",
        "(OrderPlaced)",
    ] {
        assert!(checked.contains(part), "{part:?} is not in:\n{checked}");
    }
    let graph = text(&boutique(&["graph", "--config", &path]).stdout);
    for part in [
        "flowchart LR",
        "checkout --> payment",
        "checkout -. OrderPlaced .-> cart",
    ] {
        assert!(graph.contains(part), "{part:?} is not in:\n{graph}");
    }
}

#[test]
fn help_teaches() {
    let output = boutique(&["--help"]);
    assert!(output.status.success());
    for part in [
        "run",
        "check",
        "graph",
        "status",
        "scale",
        "restart",
        "events",
        "dead",
        "flows",
        "verify",
        "store",
        "--config",
        "--http",
        "Exit codes",
    ] {
        assert!(text(&output.stdout).contains(part), "{part}");
    }
}

#[test]
fn every_mistake_of_a_configuration_is_reported_at_once_with_its_line() {
    let error = refused_config(
        r#"[app]
dta = "data"
encode_always = "yes"

[process.shop]
modules = ["storefront", "crat", "catalog", "currency"]
http = "localhost"

[process.Orders]
modules = ["checkout", "payment", "catalog"]
replica = 2

[module.catlog]
"#,
        &[
            ":2: app.dta: unknown key, expected name, data, encode_always or tag_header; did you mean \"data\"?",
            ":3: app.encode_always: found \"yes\", expected true or false",
            ":6: process.shop.modules: found \"crat\", expected a module",
            "did you mean \"cart\"?",
            ":7: process.shop.http: found \"localhost\", expected an IP address and port",
            ":9: process.Orders: found the name \"Orders\", expected 1 to 32 lower-case letters",
            ":10: process.Orders.modules: module \"catalog\" is also in process \"shop\"",
            ":11: process.Orders.replica: unknown key",
            "module \"cart\" is in no process",
            ":13: module.catlog: unknown key",
        ],
    );
    assert!(error.lines().count() >= 10, "{error}");
}

#[test]
fn what_every_module_may_be_set_to_is_checked_too() {
    refused_config(
        "[module.cart]\ndurability = \"sometimes\"\n[module.ad]\ndurability = \"relaxed\"\n",
        &[
            "module.cart: unknown variant \"sometimes\", expected \"fsync\" or \"relaxed\"",
            "module.ad: module \"ad\" has no store to set durability for",
        ],
    );
}

#[test]
fn a_module_is_placed_once() {
    refused_config(
        &format!(
            "[process.a]\nmodules = [\"storefront\", {OTHERS}]\n[process.b]\nmodules = [\"cart\"]\n"
        ),
        &["module \"cart\" is also in process \"a\"; place it once"],
    );
    refused_config("[process.a]\nmodules = []\n", &["found an empty list"]);
    refused_config("[process.a]\n", &["process.a.modules: found nothing"]);
    refused_config(
        &format!("[process.a]\nmodules = [{OTHERS}]\n"),
        &["module \"storefront\" is in no process; add it to the modules of one of them"],
    );
}

#[test]
fn two_versions_need_a_split_that_names_both() {
    let twice = format!(
        "[process.a]\nmodules = [\"storefront\", {OTHERS}]\n[process.b]\nmodules = [\"currency\"]\n"
    );
    refused_config(
        &twice,
        &["or share it out: [traffic.\"currency\"] split = { a = 90, b = 10 }"],
    );
    refused_config(
        &format!("{twice}[traffic.\"currency\"]\nsplit = {{ a = 1 }}\n"),
        &["module \"currency\" is also in process \"a\""],
    );
    refused_config(
        &format!(
            "{}[traffic.\"cart\"]\nsplit = {{ a = 1, b = 1 }}\n",
            twice.replace("[\"currency\"]", "[\"cart\"]")
        ),
        &["module \"cart\" is also in process \"a\"; place it once"],
    );
}

#[test]
fn traffic_programs_and_names_are_checked_too() {
    refused_config(
        "[app]\ntag_header = \"X Tag\"\n[traffic.\"curency\"]\n[traffic.\"cart.AddItem\"]\nhedge_after_ms = 5\n",
        &[
            ":2: app.tag_header: found \"X Tag\", expected the name of a header",
            ":3: traffic.\"curency\": found \"curency\", expected a module",
            ":5: traffic.\"cart.AddItem\".hedge_after_ms: it is a command",
        ],
    );
    refused_config(
        &format!(
            "[process.a]\nmodules = [\"storefront\"]\nprogram = \"no/such\"\n[process.b]\nmodules = [{OTHERS}]\nreplicas = 2\ndns = \"orders:7401\"\n"
        ),
        &[
            ":3: process.a.program: found \"no/such\", expected the path of a program",
            ":7: process.b.dns: found \"orders:7401\", expected a name for each of its instances",
        ],
    );
}

#[test]
fn addresses_must_be_addresses_of_their_own() {
    refused_config(
        &format!(
            "[process.a]\nmodules = [\"storefront\"]\nhttp = \"127.0.0.1:1234\"\nadmin = \"127.0.0.1:1234\"\n\
             [process.b]\nmodules = [{OTHERS}]\nhttp = \"127.0.0.1:8080\"\nquic = \"nowhere\"\n"
        ),
        &[
            "127.0.0.1:1234 is also process.a.http; give each its own port",
            "process.b.http: only the process of module \"storefront\" serves HTTP",
            "process.b.quic: found \"nowhere\", expected an IP address and port",
        ],
    );
}

#[test]
fn replicas_are_a_number_and_have_no_fixed_address_of_their_own() {
    let all = format!("modules = [\"storefront\", {OTHERS}]");
    refused_config(
        &format!("[process.a]\n{all}\nnetwork_threads = 0\nspin_us = 1001\n"),
        &[
            ":3: process.a.network_threads: found 0, expected a number from 1 to 64",
            ":4: process.a.spin_us: found 1001, expected a number from 0 to 1000",
        ],
    );
    for (found, text) in [
        ("0", "0"),
        ("65", "65"),
        ("-1", "-1"),
        ("\"3\"", "\"3\""),
        ("1.5", "1.5"),
    ] {
        refused_config(
            &format!("[process.a]\n{all}\nreplicas = {found}\n"),
            &[&format!(
                ":3: process.a.replicas: found {text}, expected a number from 1 to 64"
            )],
        );
    }
    for key in ["quic", "admin"] {
        refused_config(
            &format!("[process.a]\n{all}\nreplicas = 2\n{key} = \"127.0.0.1:7401\"\n"),
            &[
                &format!(":4: process.a.{key}: a fixed port is for one instance"),
                &format!("leave {key} out"),
            ],
        );
    }
    let folder = TempDir::new().unwrap();
    let path = file(
        &folder,
        &format!("[process.a]\n{all}\nreplicas = 0x3\nquic = \"127.0.0.1:0\"\n"),
    );
    let checked = text(&boutique(&["check", "--config", &path]).stdout);
    assert!(checked.contains("  a x3  storefront, "), "{checked}");
    let graph = text(&boutique(&["graph", "--config", &path]).stdout);
    assert!(graph.contains("process_a[\"a x3\"]"), "{graph}");
    let run = ["run", "--config", &path, "--process", "a"];
    refused(
        &run,
        &["a has 3 instances; say which one with --replica, 0 to 2"],
    );
    refused(
        &[&run[..], &["--replica", "3"]].concat(),
        &["--replica 3: process a has 3 instances, expected 0 to 2"],
    );
}

#[test]
fn what_is_said_of_certificates_from_elsewhere_is_checked() {
    refused_config(
        &format!(
            "[pki]\ncertificate = \"tls.crt\"\nkey = 7\nroot = \"ca.crt\"\n\
             [process.a]\nmodules = [\"storefront\"]\nidentity = \"spiffe://x/a\"\n\
             [process.b]\nmodules = [{OTHERS}]\nidentity = \"spiffe://x/a\"\n"
        ),
        &[
            ":3: pki.key: found 7, expected a text in quotes",
            ":4: pki.root: unknown key",
            "pki.roots: found nothing, expected the path of a PEM file",
            "spiffe://x/a is also process.a.identity; a certificate is one process's",
        ],
    );
    refused_config(
        &format!(
            "[process.a]\nmodules = [\"storefront\"]\nidentity = \"spiffe://x/a\"\n\
             [process.b]\nmodules = [{OTHERS}]\nidentity = \"no name\"\n"
        ),
        &[
            "process.a.identity: is for certificates that come from elsewhere; add the section [pki]",
            "process.b.identity: found \"no name\", expected a URI",
        ],
    );
}

#[test]
fn settings_a_module_does_not_have_are_refused() {
    refused_config(
        "[module.catalog]\nprodcts = \"x\"\n",
        &[":2: module.catalog", "prodcts"],
    );
    refused_config("[module.cart]\nlines = 5\n", &["module.cart", "lines"]);
    refused_config("[app\n", &[":1"]);
}

#[test]
fn files_and_processes_that_are_not_there_are_named() {
    refused(
        &["run", "--config", "no/such/file.toml"],
        &["no/such/file.toml", "cannot be read"],
    );
    let path = config("checkout-apart.toml").display().to_string();
    refused(
        &["run", "--config", &path, "--process", "shp"],
        &["--process shp", "shop, orders"],
    );
    let folder = TempDir::new().unwrap();
    let data = folder.path().display().to_string();
    refused(
        &["status", "--data", &data],
        &["nothing runs on data folder", &data],
    );
    let products = format!("[module.catalog]\nproducts = \"{data}/none.toml\"\n");
    let path = file(&folder, &products);
    let data = folder.path().join("data").display().to_string();
    let arguments = [
        "run",
        "--config",
        &path,
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
    ];
    refused(&arguments, &["module catalog cannot start", "none.toml"]);
}

#[test]
fn a_port_in_use_is_said_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let data = folder.path().display().to_string();
    let says = ["in use by another program", "--http ADDRESS"];
    let error = refused(&["run", "--http", &address, "--data", &data], &says);
    assert_eq!(error.trim().lines().count(), 1, "{error}");

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let quic = taken.local_addr().unwrap();
    let path = file(
        &folder,
        &format!(
            "[process.a]\nmodules = [\"storefront\"]\n[process.b]\nmodules = [{OTHERS}]\nquic = \"{quic}\"\n"
        ),
    );
    let arguments = ["run", "--config", &path, "--process", "b", "--data", &data];
    refused(&arguments, &[&quic.to_string()]);
    // Under the launcher the reason comes through, and the other process is not left running.
    let arguments = [
        "run",
        "--config",
        &path,
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
    ];
    refused(&arguments, &[&quic.to_string(), "cannot start"]);
    // So it does where that process is all there is, with several instances.
    let path = file(
        &folder,
        &format!(
            "[process.a]\nmodules = [\"storefront\", {OTHERS}]\nreplicas = 2\n\
             [module.catalog]\nproducts = \"none.toml\"\n"
        ),
    );
    let arguments = [
        "run",
        "--config",
        &path,
        "--data",
        &data,
        "--http",
        "127.0.0.1:0",
    ];
    refused(&arguments, &["none.toml", "so the others are stopped"]);
}

#[test]
fn a_socket_that_is_handed_over_is_served_from() {
    let folder = TempDir::new().unwrap();
    for config in ["one-process.toml", "checkout-apart.toml"] {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let handed_over = FdMapping {
            parent_fd: socket.into(),
            child_fd: 3,
        };
        let mut command = Command::new(BOUTIQUE);
        command
            .args(["run", "--config"])
            .arg(crate::config(config))
            .arg("--data")
            .arg(folder.path().join(config))
            .env("LISTEN_FDS", "1")
            .fd_mappings(vec![handed_over])
            .unwrap()
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut shop = command.spawn().unwrap();
        drop(command);
        // The connection waits in the socket until somebody takes it.
        let page = ureq::get(format!("http://{address}/_healthz")).call();
        let body = page.map(|mut page| page.body_mut().read_to_string());
        shop.kill().unwrap();
        shop.wait().unwrap();
        assert_eq!(body.unwrap().unwrap(), "ok", "{config}");
    }
}

#[test]
fn a_data_folder_belongs_to_one_instance() {
    let shop = start(one_process());
    let data = shop.data().display().to_string();
    let says = ["held by another running instance", "--data DIR", &data];
    let error = refused(&["run", "--http", "127.0.0.1:0", "--data", &data], &says);
    assert_eq!(error.trim().lines().count(), 1, "{error}");
    // Another placement on the same folder meets the same stores.
    let path = config("checkout-apart.toml").display().to_string();
    let arguments = [
        "run",
        "--config",
        &path,
        "--process",
        "orders",
        "--data",
        &data,
    ];
    refused(
        &arguments,
        &["in use by another running instance", "--data DIR"],
    );
}

#[test]
fn status_shows_every_module_of_every_process() {
    for placement in [one_process(), crate::apart()] {
        let shop = start(placement);
        let data = shop.data().display().to_string();
        let output = boutique(&["status", "--data", &data]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let table = text(&output.stdout);
        for module in [
            "storefront",
            "catalog",
            "cart",
            "checkout",
            "payment",
            "email",
        ] {
            assert!(table.contains(module), "{module} is not in:\n{table}");
        }
        let json = boutique(&["status", "--json", "--data", &data]);
        assert!(
            text(&json.stdout).trim_start().starts_with('['),
            "{}",
            text(&json.stdout)
        );
    }
}

#[test]
fn keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let shop = start(crate::apart());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let pki = shop.data().join("pki");
    assert_eq!(mode(&pki.join("ca.key")), 0o600);
    assert_eq!(mode(&pki), 0o700);
}
