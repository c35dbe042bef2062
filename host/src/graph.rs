//! The placement, and who asks whom, as text and as a Mermaid diagram.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use modulith_kernel::Manifest;

use crate::config::{Config, ProcessConfig, Traffic};

/// A Mermaid flowchart: processes as boxes, asks as arrows, events as dotted arrows.
pub(crate) fn mermaid(config: &Config, manifests: &[Manifest]) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut drawn = BTreeSet::new();
    for process in &config.processes {
        let id = process.name.replace('-', "_");
        let name = name(process);
        _ = writeln!(text, "    subgraph process_{id}[\"{name}\"]");
        for module in &process.modules {
            let label = match share(config, module, &process.name) {
                Some(share) => format!("[\"{module} ({share})\"]"),
                None => String::new(),
            };
            _ = match drawn.insert(module) {
                true => writeln!(text, "        {module}{label}"),
                // Another version of it, in a process of its own.
                false => writeln!(text, "        {module}_{id}{label}"),
            };
        }
        text.push_str("    end\n");
    }
    for (from, to) in asks(manifests).keys() {
        _ = writeln!(text, "    {from} --> {to}");
    }
    for ((publisher, subscriber), events) in listens(manifests) {
        _ = writeln!(
            text,
            "    {publisher} -. {} .-> {subscriber}",
            events.join(", ")
        );
    }
    text
}

/// A process's name, with the number of its instances when there are several.
fn name(process: &ProcessConfig) -> String {
    match process.replicas {
        1 => process.name.clone(),
        replicas => format!("{} x{replicas}", process.name),
    }
}

/// The same for reading in a terminal.
pub(crate) fn text(config: &Config, manifests: &[Manifest]) -> String {
    let mut text = String::new();
    let width = config
        .processes
        .iter()
        .map(|process| name(process).len())
        .max()
        .unwrap_or(0);
    text.push_str("placement\n");
    for process in &config.processes {
        let ProcessConfig {
            modules,
            http,
            quic,
            replicas,
            dns,
            program,
            ..
        } = process;
        let name = name(process);
        let modules = modules
            .iter()
            .map(|module| match config.partitions_of(module) {
                1 => module.to_string(),
                more => format!("{module} ({more} partitions)"),
            });
        let modules = modules.collect::<Vec<_>>().join(", ");
        _ = write!(text, "  {name:<width$}  {modules}");
        if *replicas > 1 {
            _ = write!(text, "  {replicas} instances");
        }
        if let Some(http) = http {
            _ = write!(text, "  http://{http}");
        }
        if let Some(quic) = quic {
            _ = write!(text, "  quic {quic}");
        }
        if let Some(dns) = dns {
            _ = write!(text, "  dns {dns}");
        }
        if let Some(program) = program {
            _ = write!(text, "  program {}", program.display());
        }
        text.push('\n');
    }
    let width = manifests
        .iter()
        .map(|manifest| manifest.module.len())
        .max()
        .unwrap_or(0);
    text.push_str("asks\n");
    let mut by_asker = BTreeMap::<_, Vec<_>>::new();
    for ((from, to), messages) in asks(manifests) {
        by_asker
            .entry(from)
            .or_default()
            .push(format!("{to} ({})", messages.join(", ")));
    }
    for (from, to) in by_asker {
        for (index, line) in to.iter().enumerate() {
            let from = if index == 0 { from } else { "" };
            _ = writeln!(text, "  {from:<width$}  → {line}");
        }
    }
    text.push_str(&traffic(config, manifests));
    text.push_str("events\n");
    for ((publisher, subscriber), events) in listens(manifests) {
        _ = writeln!(
            text,
            "  {publisher:<width$}  ⇢ {subscriber} ({})",
            events.join(", ")
        );
    }
    text
}

/// The share of a module's calls that a process gets, as `10 of 100`.
fn share(config: &Config, module: &str, process: &str) -> Option<String> {
    let mut traffic = config.traffic.iter();
    let split = traffic.find(|traffic| traffic.name == module)?;
    let split = split.rules.split.as_ref()?;
    let total: u32 = split.iter().map(|(_, weight)| weight).sum();
    let (_, weight) = split.iter().find(|(name, _)| name == process)?;
    Some(format!("{weight} of {total}"))
}

/// What is said of calls, and of which calls it is not said: a module in the asker's own process
/// is asked directly.
fn traffic(config: &Config, manifests: &[Manifest]) -> String {
    if config.traffic.is_empty() {
        return String::new();
    }
    let mut text = String::from("traffic between processes\n");
    let names = config.traffic.iter().map(|traffic| traffic.name.len());
    let width = names.max().unwrap_or(0);
    for Traffic { name, rules } in &config.traffic {
        _ = writeln!(text, "  {name:<width$}  {rules}");
        let module = name.split_once('.').map_or(&**name, |(module, _)| module);
        for (asker, process) in beside(config, manifests, module) {
            _ = writeln!(
                text,
                "  {:<width$}  (not for {asker}: it is in process {process} too, and asks directly)",
                ""
            );
        }
    }
    text
}

/// Who asks a module from within its own process, and which that is.
fn beside<'a>(
    config: &'a Config,
    manifests: &[Manifest],
    module: &str,
) -> Vec<(&'static str, &'a str)> {
    let asks = asks(manifests);
    let askers = asks.keys().filter(|(_, asked)| *asked == module);
    let pairs = askers.flat_map(|(asker, _)| {
        let both = |process: &&ProcessConfig| {
            process.modules.contains(asker) && process.modules.contains(&module)
        };
        let processes = config.processes.iter().filter(both);
        processes.map(|process| (*asker, process.name.as_str()))
    });
    pairs.collect()
}

type Edges = BTreeMap<(&'static str, &'static str), Vec<&'static str>>;

/// Messages by who asks and who is asked.
fn asks(manifests: &[Manifest]) -> Edges {
    let mut edges = Edges::new();
    for manifest in manifests {
        for ask in &manifest.asks {
            let edge = (manifest.module, ask.message.module);
            edges.entry(edge).or_default().push(ask.message.name);
        }
    }
    edges
}

/// Events by who publishes and who listens.
fn listens(manifests: &[Manifest]) -> Edges {
    let mut edges = Edges::new();
    for manifest in manifests {
        for event in &manifest.listens {
            let edge = (event.message.module, manifest.module);
            edges.entry(edge).or_default().push(event.message.name);
        }
    }
    edges
}
