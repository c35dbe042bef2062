//! From a file to a checked configuration.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Config, ConfigError, ConfigErrors, HTTP_DEFAULT, LOOPBACK_ANY, NETWORK_THREADS, ProcessConfig,
    REPLICAS, SPIN_US,
    error::{did_you_mean, one_of},
    pki,
    table::{Reader, found},
    traffic::{self, Placed},
};
use crate::{App, app::Hosting};

/// The folder of everything that lasts, unless the configuration says otherwise.
const DATA_DEFAULT: &str = "data";

/// A configuration, and for each module what adds it to a node.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) hostings: BTreeMap<&'static str, Hosting>,
}

/// One process with everything, for an application started without a file.
pub(crate) fn without_file(app: &App) -> Result<Loaded, ConfigErrors> {
    let mut reader = Reader::new("");
    let hostings = hostings(&mut reader, app, &DeTable::new());
    let config = Config {
        application: app.name.to_string(),
        data: DATA_DEFAULT.into(),
        encode_always: false,
        processes: vec![everything(app)],
        traffic: Vec::new(),
        tag_header: None,
        pki: None,
        partitions: divided(&hostings),
        file: None,
    };
    finish(reader, None, Loaded { config, hostings })
}

/// Reads and checks a file.
pub(crate) fn load(app: &App, file: &Path) -> Result<Loaded, ConfigErrors> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        let problem = format!("cannot be read: {error}");
        let errors = vec![ConfigError::problem(None, "", problem)];
        ConfigErrors {
            file: Some(file.to_path_buf()),
            errors,
        }
    })?;
    parse(app, &text, Some(file.to_path_buf()))
}

fn parse(app: &App, text: &str, file: Option<PathBuf>) -> Result<Loaded, ConfigErrors> {
    let mut reader = Reader::new(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let line = |error: &toml::de::Error| error.span().map(|span| reader.line_at(span.start));
        let problem = |error: &toml::de::Error| error.message().trim().to_string();
        let errors = errors
            .iter()
            .map(|e| ConfigError::problem(line(e), "", problem(e)))
            .collect();
        return Err(ConfigErrors { file, errors });
    }
    let root = root.get_ref();
    reader.known_keys("", root, &["app", "pki", "process", "module", "traffic"]);
    let (application, data, encode_always) = app_section(&mut reader, app, root);
    let tag_header = traffic::tag_header(&mut reader, root);
    let pki = pki::section(&mut reader, root);
    let processes = process_sections(&mut reader, app, root);
    pki::check_identities(&mut reader, root, &processes);
    let manifests: Vec<_> = app.modules.iter().map(|it| it.manifest.clone()).collect();
    let traffic = traffic::sections(&mut reader, &manifests, &processes, root);
    let modules = root
        .get("module")
        .and_then(|value| reader.table("module", value));
    let hostings = hostings(&mut reader, app, modules.unwrap_or(&DeTable::new()));
    let config = Config {
        application,
        data,
        encode_always,
        processes,
        traffic,
        tag_header,
        pki,
        partitions: divided(&hostings),
        file: file.clone(),
    };
    finish(reader, file, Loaded { config, hostings })
}

fn finish(
    reader: Reader<'_>,
    file: Option<PathBuf>,
    loaded: Loaded,
) -> Result<Loaded, ConfigErrors> {
    let mut errors = reader.errors;
    if errors.is_empty() {
        return Ok(loaded);
    }
    errors.sort_by_key(|error| error.line.unwrap_or(usize::MAX));
    Err(ConfigErrors { file, errors })
}

fn everything(app: &App) -> ProcessConfig {
    ProcessConfig {
        name: app.name.to_string(),
        modules: app.module_names(),
        replicas: 1,
        dns: None,
        program: None,
        http: app.pages_module().map(|_| HTTP_DEFAULT),
        quic: None,
        admin: LOOPBACK_ANY,
        network_threads: 1,
        spin_us: 0,
        identity: None,
    }
}

fn app_section(reader: &mut Reader<'_>, app: &App, root: &DeTable<'_>) -> (String, PathBuf, bool) {
    let default = (app.name.to_string(), PathBuf::from(DATA_DEFAULT), false);
    let Some(section) = root.get("app").and_then(|value| reader.table("app", value)) else {
        return default;
    };
    reader.known_keys(
        "app",
        section,
        &["name", "data", "encode_always", "tag_header"],
    );
    let name = reader.text("app", section, "name");
    if let Some(name) = name {
        let text = Spanned::new(name.span(), name.get_ref().as_str().unwrap_or_default());
        check_name(reader, "app.name", &text);
    }
    let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(String::from);
    let data = reader.text("app", section, "data").and_then(text);
    (
        name.and_then(text).unwrap_or(default.0),
        data.map_or(default.1, PathBuf::from),
        reader.switch("app", section, "encode_always"),
    )
}

fn process_sections(reader: &mut Reader<'_>, app: &App, root: &DeTable<'_>) -> Vec<ProcessConfig> {
    let Some(value) = root.get("process") else {
        return vec![everything(app)];
    };
    let Some(sections) = reader.table("process", value) else {
        return Vec::new();
    };
    // A table forgets the order of its keys; the order of the file is the one people know.
    let mut sections: Vec<_> = sections.iter().collect();
    sections.sort_by_key(|(name, _)| name.span().start);
    let mut placed = Placed::new(app, root);
    let mut listening = BTreeMap::new();
    let mut identities = BTreeMap::new();
    let mut processes = Vec::new();
    for (name, value) in sections {
        let key = format!("process.{}", name.get_ref());
        check_name(reader, &key, name);
        if let Some(section) = reader.table(&key, value) {
            let mut process = process_section(reader, app, name, section, &mut placed);
            process.identity = pki::identity(reader, &key, section, &mut identities);
            check_addresses(reader, &process, name, &mut listening);
            processes.push(process);
        }
    }
    for module in app.module_names() {
        if !placed.is_placed(module) {
            let problem = format!(
                "module \"{module}\" is in no process; add it to the modules of one of them"
            );
            reader
                .errors
                .push(ConfigError::problem(reader.line(value), "process", problem));
        }
    }
    processes
}

/// The names of the application and its processes are part of file names and certificates.
fn check_name<T: AsRef<str>>(reader: &mut Reader<'_>, key: &str, name: &Spanned<T>) {
    let text = name.get_ref().as_ref();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=32).contains(&text.len())
        && text.bytes().all(plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if !fits {
        let expected = "1 to 32 lower-case letters, digits or inner dashes";
        let found = format!("the name {text:?}");
        reader.errors.push(ConfigError::expected(
            reader.line(name),
            key,
            found,
            expected,
        ));
    }
}

fn process_section<T: AsRef<str>>(
    reader: &mut Reader<'_>,
    app: &App,
    name: &Spanned<T>,
    section: &DeTable<'_>,
    placed: &mut Placed,
) -> ProcessConfig {
    let own_name = name.get_ref().as_ref().to_string();
    let path = format!("process.{own_name}");
    reader.known_keys(
        &path,
        section,
        &[
            "modules",
            "replicas",
            "http",
            "quic",
            "admin",
            "identity",
            "dns",
            "program",
            "network_threads",
            "spin_us",
        ],
    );
    let modules = modules_of(reader, app, &own_name, name, section, placed);
    let pages = app.pages_module().map(|module| module.manifest.module);
    let has_pages = pages.is_some_and(|pages| modules.contains(&pages));
    let http = reader.address(&path, section, "http");
    if let (Some(value), false) = (section.get("http"), has_pages) {
        let problem = match pages {
            Some(pages) => format!("only the process of module \"{pages}\" serves HTTP"),
            None => "no module of this application serves HTTP".to_string(),
        };
        let error = ConfigError::problem(reader.line(value), format!("{path}.http"), problem);
        reader.errors.push(error);
    }
    let replicas = reader
        .number(&path, section, "replicas", REPLICAS)
        .unwrap_or(1);
    let has_store = |module: &crate::app::Registered| {
        module.manifest.is_stateful() && modules.contains(&module.manifest.module)
    };
    let has_store = app.modules.iter().any(has_store);
    let dns = traffic::dns(reader, &path, section, replicas, has_store);
    // Who is found under a name is reached from other machines.
    let everywhere = dns
        .as_ref()
        .map(|dns| SocketAddr::from((Ipv4Addr::UNSPECIFIED, dns.port)));
    let process = ProcessConfig {
        name: own_name,
        modules,
        replicas,
        program: traffic::program(reader, &path, section),
        dns,
        http: has_pages.then(|| http.unwrap_or(HTTP_DEFAULT)),
        quic: reader.address(&path, section, "quic").or(everywhere),
        admin: reader
            .address(&path, section, "admin")
            .unwrap_or(LOOPBACK_ANY),
        network_threads: reader
            .number(&path, section, "network_threads", NETWORK_THREADS)
            .unwrap_or(1),
        spin_us: reader
            .number(&path, section, "spin_us", SPIN_US)
            .unwrap_or(0),
        identity: None,
    };
    check_replicas(reader, &process, section);
    process
}

/// Several instances cannot have one address. Pages are served through one socket by all.
fn check_replicas(reader: &mut Reader<'_>, process: &ProcessConfig, section: &DeTable<'_>) {
    let (true, Some(key)) = (process.replicas > 1, process.only_address()) else {
        return;
    };
    let problem = format!(
        "a fixed port is for one instance and process.{}.replicas is {}; leave {key} out, and each \
         instance takes a free port and writes it down",
        process.name, process.replicas
    );
    let line = section.get(key).and_then(|value| reader.line(value));
    let key = format!("process.{}.{key}", process.name);
    reader.errors.push(ConfigError::problem(line, key, problem));
}

fn modules_of<T: AsRef<str>>(
    reader: &mut Reader<'_>,
    app: &App,
    process: &str,
    name: &Spanned<T>,
    section: &DeTable<'_>,
    placed: &mut Placed,
) -> Vec<&'static str> {
    let key = format!("process.{process}.modules");
    let expected = "a list of module names such as [\"cart\", \"catalog\"]";
    let Some(value) = section.get("modules") else {
        let error = ConfigError::expected(reader.line(name), key, "nothing", expected);
        reader.errors.push(error);
        return Vec::new();
    };
    let DeValue::Array(list) = value.get_ref() else {
        reader.wrong(&key, value, expected);
        return Vec::new();
    };
    if list.is_empty() {
        let error = ConfigError::expected(reader.line(value), key, "an empty list", expected);
        reader.errors.push(error);
        return Vec::new();
    }
    let known = app.module_names();
    let mut modules = Vec::new();
    for item in list.iter() {
        let line = reader.line(item);
        let typed = item.get_ref().as_str();
        let Some(module) = known.iter().find(|known| Some(**known) == typed) else {
            let hint = typed
                .map(|typed| did_you_mean(typed, &known))
                .unwrap_or_default();
            let expected = format!("a module: {}{hint}", one_of(&known));
            let found = found(item.get_ref());
            reader
                .errors
                .push(ConfigError::expected(line, &key, found, expected));
            continue;
        };
        match placed.place(module, process) {
            Ok(()) => modules.push(*module),
            Err(problem) => reader
                .errors
                .push(ConfigError::problem(line, &key, problem)),
        }
    }
    modules
}

/// Two processes cannot listen at one address. QUIC is UDP and shares none with the other two.
fn check_addresses<T: AsRef<str>>(
    reader: &mut Reader<'_>,
    process: &ProcessConfig,
    name: &Spanned<T>,
    taken: &mut BTreeMap<(bool, SocketAddr), String>,
) {
    let addresses = [
        (process.http, "http", false),
        (Some(process.admin), "admin", false),
        // Whoever has a DNS name has an address of its own as well, and the port is the service's.
        (process.quic.filter(|_| process.dns.is_none()), "quic", true),
    ];
    for (address, what, udp) in addresses {
        let Some(address) = address.filter(|address| address.port() != 0) else {
            continue;
        };
        let key = format!("process.{}.{what}", process.name);
        if let Some(other) = taken.insert((udp, address), key.clone()) {
            let problem = format!("{address} is also {other}; give each its own port");
            reader
                .errors
                .push(ConfigError::problem(reader.line(name), key, problem));
        }
    }
}

/// The modules that are divided, and into how many partitions.
fn divided(hostings: &BTreeMap<&'static str, Hosting>) -> BTreeMap<&'static str, u16> {
    let partitions = hostings
        .iter()
        .map(|(module, one)| (*module, one.partitions));
    partitions.filter(|(_, count)| *count > 1).collect()
}

/// Reads every module's settings.
fn hostings(
    reader: &mut Reader<'_>,
    app: &App,
    sections: &DeTable<'_>,
) -> BTreeMap<&'static str, Hosting> {
    reader.known_keys("module", sections, &app.module_names());
    let mut hostings = BTreeMap::new();
    for module in &app.modules {
        let name = module.manifest.module;
        let table = match sections.get(name).map(|value| (value, value.get_ref())) {
            None => None,
            Some((value, DeValue::Table(table))) => Some(Spanned::new(value.span(), table.clone())),
            Some((value, _)) => {
                reader.wrong(&format!("module.{name}"), value, "a table");
                continue;
            }
        };
        let start = table.as_ref().map(|table| table.span().start);
        match (module.configure)(table) {
            Ok(hosting) => _ = hostings.insert(name, hosting),
            Err(error) => {
                let place = error.span().map(|span| span.start).or(start);
                let line = place.map(|place| reader.line_at(place));
                let problem = error.message().replace('`', "\"");
                let key = format!("module.{name}");
                reader.errors.push(ConfigError::problem(line, key, problem));
            }
        }
    }
    hostings
}
