//! How calls between processes are treated: `[traffic."module"]` and `[traffic."module.Message"]`,
//! and what of the other sections belongs to it.

use std::{
    collections::BTreeMap, fmt, ops::RangeInclusive, path::PathBuf, sync::Arc, time::Duration,
};

use modulith_kernel::{Kind, Manifest, TAG_BYTES_MAX};
use modulith_mesh::{Injection, Mirror, Policy};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    ConfigError, ProcessConfig,
    error::{did_you_mean, one_of},
    table::Reader,
};
use crate::App;

/// How long a call may be given, in milliseconds: longer, and nobody waits for it any more.
const TIMEOUT_MS: RangeInclusive<u16> = 1..=60_000;
/// How often a call may be sent again.
const RETRIES: RangeInclusive<u16> = 0..=5;
/// The share of a process in a split.
const WEIGHT: RangeInclusive<u16> = 0..=1000;

/// What the configuration says of one module's messages, or of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// `module` or `module.Message`.
    pub(crate) name: String,
    pub(crate) rules: Rules,
}

/// What is said; what is not, is left to the module's section or to the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rules {
    pub(crate) timeout: Option<Duration>,
    pub(crate) retries: Option<u8>,
    pub(crate) hedge_after: Option<Duration>,
    pub(crate) split: Option<Vec<(String, u32)>>,
    pub(crate) split_tag: Option<Vec<(String, String)>>,
    pub(crate) mirror: Option<Mirror<String>>,
    pub(crate) fault: Option<Injection>,
}

impl Rules {
    /// These rules where they say something, and others where they do not.
    pub(crate) fn over(&self, others: &Self) -> Self {
        let Self {
            timeout,
            retries,
            hedge_after,
            split,
            split_tag,
            mirror,
            fault,
        } = self.clone();
        Self {
            timeout: timeout.or(others.timeout),
            retries: retries.or(others.retries),
            hedge_after: hedge_after.or(others.hedge_after),
            split: split.or_else(|| others.split.clone()),
            split_tag: split_tag.or_else(|| others.split_tag.clone()),
            mirror: mirror.or_else(|| others.mirror.clone()),
            fault: fault.or(others.fault),
        }
    }

    /// The policy, its processes known by what `place` says.
    pub(crate) fn policy<P>(&self, place: impl Fn(&str) -> P) -> Policy<P> {
        let default = Policy::<P>::default();
        let split = self.split.iter().flatten();
        let split_tag = self.split_tag.iter().flatten();
        Policy {
            timeout: self.timeout,
            retries: self.retries.unwrap_or(default.retries),
            hedge_after: self.hedge_after,
            split: split.map(|(name, weight)| (place(name), *weight)).collect(),
            split_tag: split_tag
                .map(|(tag, name)| (Arc::from(tag.as_str()), place(name)))
                .collect(),
            mirror: self.mirror.as_ref().map(|mirror| Mirror {
                process: place(&mirror.process),
                percent: mirror.percent,
            }),
            injection: self.fault.unwrap_or_default(),
        }
    }
}

/// For people, as `check` prints it.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(timeout) = self.timeout {
            parts.push(format!("within {} ms", timeout.as_millis()));
        }
        if let Some(retries) = self.retries {
            parts.push(format!("{retries} retries"));
        }
        if let Some(after) = self.hedge_after {
            parts.push(format!("hedged after {} ms", after.as_millis()));
        }
        for (process, weight) in self.split.iter().flatten() {
            parts.push(format!("{process} {weight}"));
        }
        for (tag, process) in self.split_tag.iter().flatten() {
            parts.push(format!("tag {tag} to {process}"));
        }
        if let Some(Mirror { process, percent }) = &self.mirror {
            parts.push(format!("{percent} % copied to {process}"));
        }
        if let Some(fault) = &self.fault {
            let ms = fault.delay.as_millis();
            let (delayed, aborted) = (fault.delay_percent, fault.abort_percent);
            parts.push(format!(
                "FAULTS: {delayed} % held {ms} ms, {aborted} % fail"
            ));
        }
        f.write_str(&parts.join(", "))
    }
}

/// A name by which the instances of a process are found, and their port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DnsName {
    /// With `{replica}` where each instance has a name of its own.
    host: String,
    pub(crate) port: u16,
}

/// Stands for an instance's number in a DNS name.
const REPLICA: &str = "{replica}";

impl DnsName {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let letter = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let label = |label: &str| {
            let plain = label.replace(REPLICA, "0");
            (1..=63).contains(&plain.len()) && plain.bytes().all(letter)
        };
        let whole = host.strip_suffix('.').unwrap_or(host);
        // What is only digits and dots is an address, which `quic` is for.
        let is_name = whole.split('.').all(label) && whole.len() <= 253;
        let is_address = whole.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (is_name && !is_address).then(|| Self {
            host: host.to_string(),
            port,
        })
    }

    /// Whether each instance has a name of its own.
    pub(crate) fn is_per_replica(&self) -> bool {
        self.host.contains(REPLICA)
    }

    /// The name to look up for an instance.
    pub(crate) fn host(&self, replica: u16) -> String {
        self.host.replace(REPLICA, &replica.to_string())
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Which module is where, while the processes are read.
pub(crate) struct Placed {
    by_module: BTreeMap<&'static str, Vec<String>>,
    stateless: Vec<&'static str>,
    /// The processes that a split names, by module.
    splits: BTreeMap<String, Vec<String>>,
}

impl Placed {
    pub(crate) fn new(app: &App, root: &DeTable<'_>) -> Self {
        let stateless = app.modules.iter().map(|module| &module.manifest);
        let stateless = stateless.filter(|manifest| !manifest.is_stateful());
        Self {
            by_module: BTreeMap::new(),
            stateless: stateless.map(|manifest| manifest.module).collect(),
            splits: splits(root),
        }
    }

    pub(crate) fn is_placed(&self, module: &str) -> bool {
        self.by_module.contains_key(module)
    }

    /// Places a module, or says what is wrong with that.
    pub(crate) fn place(&mut self, module: &'static str, process: &str) -> Result<(), String> {
        let there = self.by_module.entry(module).or_default();
        if there.iter().any(|other| other == process) {
            return Err(format!("module \"{module}\" is listed twice"));
        }
        let is_stateless = self.stateless.contains(&module);
        let named = self.splits.get(module).map_or(&[][..], Vec::as_slice);
        let is_named = |process: &str| named.iter().any(|name| name == process);
        if let Some(other) = there.first() {
            let is_shared = is_stateless && is_named(process) && is_named(other);
            if !is_shared {
                let or = match is_stateless {
                    true => format!(
                        ", or share it out: [traffic.\"{module}\"] split = {{ {other} = 90, \
                         {process} = 10 }}"
                    ),
                    false => String::new(),
                };
                return Err(format!(
                    "module \"{module}\" is also in process \"{other}\"; place it once{or}"
                ));
            }
        }
        there.push(process.to_string());
        Ok(())
    }
}

/// The processes that splits of whole modules name, before anything is known to be right.
fn splits(root: &DeTable<'_>) -> BTreeMap<String, Vec<String>> {
    let sections = root.get("traffic").and_then(|value| as_table(value));
    let sections = sections.into_iter().flat_map(DeTable::iter);
    let split = |(name, value): (&Spanned<_>, _)| {
        let split = as_table(value)?.get("split").and_then(as_table)?;
        let processes = split.keys().map(|key| key.get_ref().to_string());
        let name: &std::borrow::Cow<'_, str> = name.get_ref();
        Some((name.to_string(), processes.collect()))
    };
    sections.filter_map(split).collect()
}

fn as_table<'t, 'i>(value: &'t Spanned<DeValue<'i>>) -> Option<&'t DeTable<'i>> {
    match value.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// Reads `[app] tag_header`.
pub(crate) fn tag_header(reader: &mut Reader<'_>, root: &DeTable<'_>) -> Option<String> {
    let app = root.get("app").and_then(as_table)?;
    let value = reader.text("app", app, "tag_header")?;
    let text = value.get_ref().as_str().unwrap_or_default();
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (1..=64).contains(&text.len()) && text.bytes().all(letter) {
        return Some(text.to_string());
    }
    let expected = "the name of a header such as \"x-modulith-tag\": 1 to 64 lower-case letters, \
                    digits or dashes";
    reader.wrong("app.tag_header", value, expected);
    None
}

/// Reads `[process.NAME] dns`.
pub(crate) fn dns(
    reader: &mut Reader<'_>,
    path: &str,
    section: &DeTable<'_>,
    replicas: u16,
    has_store: bool,
) -> Option<DnsName> {
    let value = reader.text(path, section, "dns")?;
    let key = format!("{path}.dns");
    let Some(name) = DnsName::parse(value.get_ref().as_str().unwrap_or_default()) else {
        let expected = "a name and a port such as \"currency.default.svc:7401\"";
        reader.wrong(&key, value, expected);
        return None;
    };
    if has_store && replicas > 1 && !name.is_per_replica() {
        let expected = "a name for each of its instances such as \
                        \"orders-{replica}.orders.default.svc:7401\", because each has stores of \
                        its own";
        reader.wrong(&key, value, expected);
    }
    Some(name)
}

/// Reads `[process.NAME] program`.
pub(crate) fn program(
    reader: &mut Reader<'_>,
    path: &str,
    section: &DeTable<'_>,
) -> Option<PathBuf> {
    let value = reader.text(path, section, "program")?;
    let program = PathBuf::from(value.get_ref().as_str().unwrap_or_default());
    if !program.is_file() {
        let expected = "the path of a program, seen from where the launcher is started";
        reader.wrong(&format!("{path}.program"), value, expected);
    }
    Some(program)
}

/// Reads every section, and what fits together of them.
pub(crate) fn sections(
    reader: &mut Reader<'_>,
    manifests: &[Manifest],
    processes: &[ProcessConfig],
    root: &DeTable<'_>,
) -> Vec<Traffic> {
    let Some(sections) = root
        .get("traffic")
        .and_then(|value| reader.table("traffic", value))
    else {
        return Vec::new();
    };
    let mut sections: Vec<_> = sections.iter().collect();
    sections.sort_by_key(|(name, _)| name.span().start);
    let mut read = Vec::new();
    for (name, value) in sections {
        let text: &str = name.get_ref();
        let path = format!("traffic.\"{text}\"");
        let (Some(about), Some(table)) = (
            about(reader, manifests, &path, name),
            reader.table(&path, value),
        ) else {
            continue;
        };
        let mut section = Section {
            reader: &mut *reader,
            path,
            table,
            processes,
            about,
        };
        read.push(Traffic {
            name: text.to_string(),
            rules: section.read(),
        });
    }
    read
}

/// What a section is about.
#[derive(Clone, Copy)]
struct About<'a> {
    manifest: &'a Manifest,
    /// None for all messages of the module.
    kind: Option<Kind>,
}

/// Finds the module or message that a section names.
fn about<'a>(
    reader: &mut Reader<'_>,
    manifests: &'a [Manifest],
    path: &str,
    name: &Spanned<std::borrow::Cow<'_, str>>,
) -> Option<About<'a>> {
    let text: &str = name.get_ref();
    let served = |manifest: &'a Manifest| [&manifest.handles, &manifest.answers].into_iter();
    for manifest in manifests {
        if manifest.module == text {
            return Some(About {
                manifest,
                kind: None,
            });
        }
        let mut messages = served(manifest).flatten();
        if let Some(message) = messages.find(|served| served.message.to_string() == text) {
            return Some(About {
                manifest,
                kind: Some(message.kind),
            });
        }
    }
    let module = text.split_once('.').map_or(text, |(module, _)| module);
    let known: Vec<String> = match manifests.iter().find(|m| m.module == module) {
        Some(manifest) => served(manifest)
            .flatten()
            .map(|served| served.message.to_string())
            .collect(),
        None => manifests.iter().map(|m| m.module.to_string()).collect(),
    };
    let known: Vec<_> = known.iter().map(String::as_str).collect();
    let problem = format!(
        "found {text:?}, expected a module or a message it serves: {}{}",
        one_of(&known),
        did_you_mean(text, &known)
    );
    let error = ConfigError::problem(reader.line(name), path, problem);
    reader.errors.push(error);
    None
}

const KEYS: [&str; 7] = [
    "timeout_ms",
    "retries",
    "hedge_after_ms",
    "split",
    "split_tag",
    "mirror",
    "fault",
];

/// One section, while it is read.
struct Section<'s, 'r, 't> {
    reader: &'s mut Reader<'r>,
    path: String,
    table: &'s DeTable<'t>,
    processes: &'s [ProcessConfig],
    about: About<'s>,
}

impl<'s, 't> Section<'s, '_, 't> {
    fn read(&mut self) -> Rules {
        self.reader.known_keys(&self.path, self.table, &KEYS);
        self.hint_at_quotes();
        Rules {
            timeout: self.millis("timeout_ms"),
            retries: self
                .reader
                .number(&self.path, self.table, "retries", RETRIES)
                .map(|retries| u8::try_from(retries).unwrap_or(u8::MAX)),
            hedge_after: self.hedge_after(),
            split: self.split(),
            split_tag: self.split_tag(),
            mirror: self.mirror(),
            fault: self.fault(),
        }
    }

    /// `[traffic.currency.Convert]` is a table in a table, which few mean.
    fn hint_at_quotes(&mut self) {
        let module = self.about.manifest.module;
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            if !KEYS.contains(&name) && as_table(value).is_some() {
                let problem = format!("write [traffic.\"{module}.{name}\"], with quotes");
                let line = self.reader.line(key);
                let error = ConfigError::problem(line, self.path.clone(), problem);
                self.reader.errors.push(error);
            }
        }
    }

    fn problem(&mut self, key: &str, problem: impl Into<String>) {
        let line = self
            .table
            .get(key)
            .and_then(|value| self.reader.line(value));
        let key = format!("{}.{key}", self.path);
        self.reader
            .errors
            .push(ConfigError::problem(line, key, problem));
    }

    fn millis(&mut self, key: &str) -> Option<Duration> {
        let ms = self
            .reader
            .number(&self.path, self.table, key, TIMEOUT_MS)?;
        Some(Duration::from_millis(ms.into()))
    }

    /// A second request elsewhere is harmless for queries alone, and there is an elsewhere only
    /// for modules without a store.
    fn hedge_after(&mut self) -> Option<Duration> {
        let after = self.millis("hedge_after_ms")?;
        if let Some(why) = self.not_a_stateless_query() {
            let problem = format!("{why}, and only queries of modules without a store are hedged");
            self.problem("hedge_after_ms", problem);
        }
        Some(after)
    }

    fn not_a_stateless_query(&self) -> Option<String> {
        let module = self.about.manifest.module;
        match self.about.kind {
            Some(Kind::Command) => Some("it is a command".to_string()),
            Some(Kind::StreamQuery) => Some("it is answered by a stream".to_string()),
            _ if self.about.manifest.is_stateful() => Some(format!("module {module} has a store")),
            _ => None,
        }
    }

    /// A table within this one.
    fn inner(&mut self, key: &str) -> Option<(String, &'s DeTable<'t>)> {
        let value = self.table.get(key)?;
        let path = format!("{}.{key}", self.path);
        let inner = self.reader.table(&path, value)?;
        Some((path, inner))
    }

    fn hosts(&self) -> Vec<&'s str> {
        let module = self.about.manifest.module;
        let processes = self.processes.iter();
        let hosts = processes.filter(|process| process.modules.contains(&module));
        hosts.map(|process| process.name.as_str()).collect()
    }

    /// Notes when a process does not host the module.
    fn check_host(&mut self, key: &str, line: Option<usize>, process: &str) {
        let hosts = self.hosts();
        if !hosts.contains(&process) {
            let module = self.about.manifest.module;
            let hint = did_you_mean(process, &hosts);
            let expected = format!("a process that hosts {module}: {}{hint}", one_of(&hosts));
            let error = ConfigError::expected(line, key, format!("{process:?}"), expected);
            self.reader.errors.push(error);
        }
    }

    fn split(&mut self) -> Option<Vec<(String, u32)>> {
        let (path, table) = self.inner("split")?;
        let mut split = Vec::new();
        for name in in_order(table) {
            let process: &str = name.get_ref();
            let line = self.reader.line(name);
            self.check_host(&format!("{path}.{process}"), line, process);
            let weight = self.reader.number(&path, table, process, WEIGHT);
            split.push((process.to_string(), weight.unwrap_or(1).into()));
        }
        let left_out = |host: &&str| !split.iter().any(|(process, _)| process == host);
        if let Some(host) = self.hosts().into_iter().find(left_out) {
            let module = self.about.manifest.module;
            let problem = format!(
                "process \"{host}\" hosts {module} and has no share; give it one, which may be 0"
            );
            self.problem("split", problem);
        }
        if split.iter().all(|(_, weight)| *weight == 0) {
            self.problem("split", "found no share above 0, expected at least one");
        }
        Some(split)
    }

    fn split_tag(&mut self) -> Option<Vec<(String, String)>> {
        let (path, table) = self.inner("split_tag")?;
        let mut rules = Vec::new();
        for name in in_order(table) {
            let tag: &str = name.get_ref();
            let key = format!("{path}.{tag}");
            let line = self.reader.line(name);
            if !(1..=TAG_BYTES_MAX).contains(&tag.len()) {
                let expected = format!("a tag of 1 to {TAG_BYTES_MAX} bytes");
                let error = ConfigError::expected(line, &path, format!("{tag:?}"), expected);
                self.reader.errors.push(error);
            }
            if let Some(process) = self.reader.text(&path, table, tag) {
                let process = process.get_ref().as_str().unwrap_or_default();
                self.check_host(&key, line, process);
                rules.push((tag.to_string(), process.to_string()));
            }
        }
        Some(rules)
    }

    fn mirror(&mut self) -> Option<Mirror<String>> {
        let (path, table) = self.inner("mirror")?;
        self.reader
            .known_keys(&path, table, &["process", "percent"]);
        if let Some(why) = self.not_a_stateless_query() {
            let problem = format!("{why}, and only queries of modules without a store are copied");
            self.problem("mirror", problem);
        }
        let percent = self.percent(&path, table, "percent").unwrap_or(100);
        let Some(value) = self.reader.text(&path, table, "process") else {
            if table.get("process").is_none() {
                let problem = "found no process, expected the one that gets the copies";
                self.problem("mirror", problem);
            }
            return None;
        };
        let line = self.reader.line(value);
        let process = value.get_ref().as_str().unwrap_or_default().to_string();
        self.check_host(&format!("{path}.process"), line, &process);
        Some(Mirror { process, percent })
    }

    fn fault(&mut self) -> Option<Injection> {
        let (path, table) = self.inner("fault")?;
        let keys = ["delay_ms", "delay_percent", "abort_percent"];
        self.reader.known_keys(&path, table, &keys);
        let delay = self.reader.number(&path, table, "delay_ms", 0..=60_000);
        let always = if delay.is_some() { 100 } else { 0 };
        let delay_percent = self.percent(&path, table, "delay_percent");
        if delay.is_none() && delay_percent.is_some() {
            self.problem("fault", "found delay_percent without delay_ms");
        }
        Some(Injection {
            delay: Duration::from_millis(delay.unwrap_or(0).into()),
            delay_percent: delay_percent.unwrap_or(always),
            abort_percent: self.percent(&path, table, "abort_percent").unwrap_or(0),
        })
    }

    fn percent(&mut self, path: &str, table: &DeTable<'_>, key: &str) -> Option<u8> {
        let percent = self.reader.number(path, table, key, 0..=100)?;
        u8::try_from(percent).ok()
    }
}

/// The keys of a table as the file has them.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Vec<&'t Spanned<std::borrow::Cow<'i, str>>> {
    let mut keys: Vec<_> = table.keys().collect();
    keys.sort_by_key(|key| key.span().start);
    keys
}

#[cfg(test)]
mod tests {
    use modulith_kernel::{DeclaredMessage, Fingerprint, MessageName};

    use super::*;
    use crate::config::LOOPBACK_ANY;

    fn message(module: &'static str, name: &'static str, kind: Kind) -> DeclaredMessage {
        DeclaredMessage {
            message: MessageName { module, name },
            kind,
            fingerprint: Fingerprint(0),
            keyed: true,
            fans_out: false,
        }
    }

    fn manifests() -> [Manifest; 2] {
        let empty = |module| Manifest {
            module,
            partitions: 1,
            handles: vec![],
            answers: vec![],
            publishes: vec![],
            listens: vec![],
            asks: vec![],
        };
        let currency = Manifest {
            answers: vec![
                message("currency", "Convert", Kind::Query),
                message("currency", "ListRates", Kind::StreamQuery),
            ],
            ..empty("currency")
        };
        let cart = Manifest {
            handles: vec![message("cart", "AddItem", Kind::Command)],
            answers: vec![message("cart", "GetCart", Kind::Query)],
            ..empty("cart")
        };
        [currency, cart]
    }

    fn process(name: &str, modules: &[&'static str]) -> ProcessConfig {
        ProcessConfig {
            name: name.to_string(),
            modules: modules.to_vec(),
            replicas: 1,
            dns: None,
            program: None,
            network_threads: 1,
            spin_us: 0,
            identity: None,
            http: None,
            quic: None,
            admin: LOOPBACK_ANY,
        }
    }

    /// What is read of a file, and what is wrong with it.
    fn read(text: &str) -> (Vec<Traffic>, Vec<String>) {
        let mut reader = Reader::new(text);
        let (root, errors) = DeTable::parse_recoverable(text);
        assert!(errors.is_empty(), "{errors:?}");
        let processes = [
            process("shop", &["cart"]),
            process("money", &["currency"]),
            process("money-next", &["currency"]),
        ];
        let read = sections(&mut reader, &manifests(), &processes, root.get_ref());
        let errors = reader.errors.iter();
        let said = errors.map(|error| format!("{}: {}", error.key, error.problem));
        (read, said.collect())
    }

    #[track_caller]
    fn refused(text: &str, because: &str) {
        let (_, errors) = read(text);
        assert!(errors.iter().any(|it| it.contains(because)), "{errors:#?}");
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let (traffic, errors) = read(
            r#"
            [traffic."currency"]
            timeout_ms = 500
            retries = 3
            hedge_after_ms = 20
            split = { money = 90, money-next = 10 }
            split_tag = { next = "money-next" }
            mirror = { process = "money-next", percent = 5 }
            fault = { delay_ms = 100, delay_percent = 10, abort_percent = 1 }
            [traffic."cart.AddItem"]
            timeout_ms = 1000
            "#,
        );
        assert_eq!(errors, [""; 0]);
        let [currency, cart] = traffic.as_slice() else {
            panic!("two sections, found {traffic:?}");
        };
        assert_eq!(cart.name, "cart.AddItem");
        assert_eq!(cart.rules.timeout, Some(Duration::from_secs(1)));
        let policy = currency.rules.policy(str::to_string);
        assert_eq!(policy.retries, 3);
        let split = [("money".to_string(), 90), ("money-next".to_string(), 10)];
        assert_eq!(policy.split, split);
        assert_eq!(
            currency.rules.to_string(),
            "within 500 ms, 3 retries, hedged after 20 ms, money 90, money-next 10, tag next to \
             money-next, 5 % copied to money-next, FAULTS: 10 % held 100 ms, 1 % fail"
        );
    }

    #[test]
    fn a_message_goes_before_its_module_key_by_key() {
        let module = Rules {
            timeout: Some(Duration::from_secs(1)),
            retries: Some(1),
            ..Rules::default()
        };
        let message = Rules {
            retries: Some(0),
            ..Rules::default()
        };
        let both = message.over(&module);
        assert_eq!(both.retries, Some(0));
        assert_eq!(both.timeout, Some(Duration::from_secs(1)));
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        refused("[traffic.currrency]", "did you mean \"currency\"?");
        refused(
            "[traffic.\"currency.Konvert\"]",
            "did you mean \"currency.Convert\"?",
        );
        refused(
            "[traffic.currency.Convert]\nretries = 1",
            "write [traffic.\"currency.Convert\"], with quotes",
        );
        refused(
            "[traffic.currency]\nretrys = 1",
            "did you mean \"retries\"?",
        );
    }

    #[test]
    fn numbers_have_their_ranges() {
        refused("[traffic.currency]\nretries = 6", "a number from 0 to 5");
        refused(
            "[traffic.currency]\ntimeout_ms = 0",
            "a number from 1 to 60000",
        );
        refused(
            "[traffic.currency]\nfault = { abort_percent = 101 }",
            "a number from 0 to 100",
        );
    }

    #[test]
    fn only_queries_without_a_store_are_hedged_or_copied() {
        refused(
            "[traffic.\"cart.AddItem\"]\nhedge_after_ms = 5",
            "it is a command, and only queries",
        );
        refused(
            "[traffic.cart]\nhedge_after_ms = 5",
            "module cart has a store",
        );
        refused(
            "[traffic.\"cart.AddItem\"]\nmirror = { process = \"shop\" }",
            "it is a command",
        );
        refused(
            "[traffic.\"currency.ListRates\"]\nhedge_after_ms = 5",
            "it is answered by a stream, and only queries",
        );
    }

    #[test]
    fn a_split_names_all_who_host_the_module_and_nobody_else() {
        let split = |split: &str| format!("[traffic.currency]\nsplit = {{ {split} }}");
        refused(
            &split("money = 1, money-nxt = 2"),
            "did you mean \"money-next\"?",
        );
        refused(&split("money = 1"), "process \"money-next\" hosts currency");
        refused(&split("money = 0, money-next = 0"), "no share above 0");
        refused(
            &split("money = 1, shop = 1"),
            "a process that hosts currency",
        );
    }

    #[test]
    fn a_dns_name_is_a_name_and_a_port() {
        for good in [
            "currency.default.svc:7401",
            "currency:1",
            "orders-{replica}.orders.default.svc.cluster.local.:7401",
        ] {
            let name = DnsName::parse(good);
            assert_eq!(name.map(|name| name.to_string()).as_deref(), Some(good));
        }
        for bad in [
            "",
            "currency",
            "currency:0",
            "currency:70000",
            ":7401",
            "127.0.0.1:7401",
            "a..b:1",
            "a b:1",
            "[::1]:7401",
            "orders-{number}:1",
        ] {
            assert_eq!(DnsName::parse(bad), None, "{bad}");
        }
        let name = DnsName::parse("orders-{replica}.orders:7401").unwrap();
        assert!(name.is_per_replica());
        assert_eq!(name.host(2), "orders-2.orders");
    }
}
