//! Whether two hellos can speak with each other.

use std::collections::HashMap;

use crate::{Hello, PROTOCOL_VERSION};

/// What is known about the peer before it says anything: the names in its certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// The process.
    pub process: String,
    /// The modules it hosts, in any order.
    pub modules: Vec<String>,
}

/// In what two hellos differ, for whoever counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disagreement {
    /// The hello contradicts itself.
    Hello,
    /// The peer belongs to another application.
    Application,
    /// It says it is another process, or has other modules, than its certificate says.
    Identity,
    /// It speaks another version of the protocol, or defines a message differently.
    Definitions,
}

/// How many messages a refusal lists by name.
const NAMED_MAX: usize = 20;

/// Checks the peer's hello.
///
/// The error is the reason to refuse it, for the operators of both sides.
pub(crate) fn check(
    local: &Hello,
    peer: &Hello,
    certified: &Certified,
) -> Result<(), (Disagreement, String)> {
    let because = |kind| move |reason| (kind, reason);
    peer.check_unique()
        .map_err(|error| (Disagreement::Hello, error.to_string()))?;
    check_application(local, peer).map_err(because(Disagreement::Application))?;
    check_process(peer, certified).map_err(because(Disagreement::Identity))?;
    check_modules(peer, certified).map_err(because(Disagreement::Identity))?;
    check_partitions(local, peer).map_err(because(Disagreement::Definitions))?;
    check_messages(local, peer).map_err(because(Disagreement::Definitions))
}

fn check_application(local: &Hello, peer: &Hello) -> Result<(), String> {
    if peer.application != local.application {
        return Err(format!(
            "process {} belongs to application {}, process {} to application {}",
            peer.process, peer.application, local.process, local.application
        ));
    }
    Ok(())
}

fn check_process(peer: &Hello, certified: &Certified) -> Result<(), String> {
    if peer.process != certified.process {
        return Err(format!(
            "process {} has a certificate for process {}",
            peer.process, certified.process
        ));
    }
    Ok(())
}

/// The reason to refuse a peer of another protocol version.
pub(crate) fn foreign_version(local: &Hello, certified: &Certified, version: u16) -> String {
    format!(
        "process {} speaks protocol version {version}, process {} version {PROTOCOL_VERSION}; \
         run one version of both",
        certified.process, local.process
    )
}

fn check_modules(peer: &Hello, certified: &Certified) -> Result<(), String> {
    let mut said: Vec<&str> = peer.modules.iter().map(String::as_str).collect();
    let mut confirmed: Vec<&str> = certified.modules.iter().map(String::as_str).collect();
    said.sort_unstable();
    confirmed.sort_unstable();
    if said == confirmed {
        return Ok(());
    }
    Err(format!(
        "process {} says it hosts [{}], its certificate says [{}]",
        peer.process,
        said.join(", "),
        confirmed.join(", ")
    ))
}

/// A key leads to a partition by their number: two numbers would lead to two places.
fn check_partitions(local: &Hello, peer: &Hello) -> Result<(), String> {
    let of = |hello: &Hello, module: &str| {
        let mut divided = hello.partitions.iter();
        let found = divided.find(|(name, _)| name == module);
        found.map_or(1, |(_, partitions)| *partitions)
    };
    let named = local.partitions.iter().chain(&peer.partitions);
    let differs = |(module, _): &&(String, u16)| of(local, module) != of(peer, module);
    let Some((module, _)) = named.into_iter().find(differs) else {
        return Ok(());
    };
    let mut sides = [local, peer].map(|hello| (&hello.process, of(hello, module)));
    sides.sort_unstable();
    let [(a, of_a), (b, of_b)] = sides;
    Err(format!(
        "module {module} has {of_a} partitions for process {a} and {of_b} for process {b}; give \
         both the same configuration"
    ))
}

fn check_messages(local: &Hello, peer: &Hello) -> Result<(), String> {
    let known: HashMap<&str, u64> = local
        .messages
        .iter()
        .map(|it| (it.name.as_str(), it.fingerprint))
        .collect();
    let mut different: Vec<&str> = peer
        .messages
        .iter()
        .filter(|it| {
            known
                .get(it.name.as_str())
                .is_some_and(|known| *known != it.fingerprint)
        })
        .map(|it| it.name.as_str())
        .collect();
    if different.is_empty() {
        return Ok(());
    }
    different.sort_unstable();
    let verb = if different.len() == 1 { "is" } else { "are" };
    let more = different.len().saturating_sub(NAMED_MAX);
    different.truncate(NAMED_MAX);
    let mut names = different.join(", ");
    if more > 0 {
        names += &format!(" and {more} more");
    }
    // Sorted, so that both sides say the same sentence.
    let mut processes = [local.process.as_str(), peer.process.as_str()];
    processes.sort_unstable();
    Err(format!(
        "{names} {verb} defined differently by {} and {}; run one version of both",
        processes[0], processes[1]
    ))
}
