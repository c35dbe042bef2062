//! The placement, and who asks whom, as text and as a Mermaid diagram.

use std::{collections::BTreeMap, fmt::Write};

use modulith_kernel::Manifest;

use crate::config::{Config, ProcessConfig};

/// A Mermaid flowchart: processes as boxes, asks as arrows, events as dotted arrows.
pub(crate) fn mermaid(config: &Config, manifests: &[Manifest]) -> String {
    let mut text = String::from("flowchart LR\n");
    for process in &config.processes {
        let id = process.name.replace('-', "_");
        let name = name(process);
        _ = writeln!(text, "    subgraph process_{id}[\"{name}\"]");
        for module in &process.modules {
            _ = writeln!(text, "        {module}");
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
        if let Some(http) = http {
            _ = write!(text, "  http://{http}");
        }
        if let Some(quic) = quic {
            _ = write!(text, "  quic {quic}");
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
