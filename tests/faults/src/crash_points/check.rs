//! One crash: what it left is started on, and compared with what was told before.

use std::collections::BTreeMap;

use modulith_kernel::{FlowStand, Node};

use super::{
    conductor::{self, Counts, Course, ListTransfers},
    counter::{ListHeard, POISON},
    image::{Image, Kind},
    ledger::{Entry, GetLedger, Ledgers},
    recorder::{Files, Recorder},
    sabotage::Sabotage,
    script::{Deed, Order, Run},
    world,
};

/// What did not hold.
pub(super) type Findings = Vec<String>;

/// More flows than a run has.
const FLOWS_MAX: usize = 10_000;

/// Where a crash is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Point {
    /// After so many steps of the run.
    pub(super) after: usize,
    pub(super) kind: Kind,
    pub(super) seed: u64,
}

/// Crashes, starts again, and says what does not hold.
pub(super) fn check(run: &Run, image: &Image, point: Point, sabotage: Sabotage) -> Findings {
    let files = image.after(point.kind, point.seed);
    let last = point
        .after
        .checked_sub(1)
        .and_then(|last| run.steps.get(last));
    let at_ms = last.map_or(0, |step| step.at_ms);
    let files = match point.kind {
        Kind::Twice => crash_again(files, at_ms, point.seed, sabotage),
        _ => Ok(files),
    };
    let found = files.and_then(|files| {
        world::in_virtual_time(async {
            let storage = Recorder::keeping(files, sabotage);
            let node = world::start(&storage, at_ms, point.seed, sabotage);
            let node = node
                .map_err(|error| does_not_open(&error))
                .inspect_err(|_| storage.clear())?;
            let mut checker = Checker {
                node: &node,
                run,
                after: point.after,
                findings: Vec::new(),
            };
            let checked = checker.check().await;
            let findings = checker.findings;
            node.halt();
            storage.clear();
            checked.map(|()| findings)
        })
    });
    found.unwrap_or_else(|fault| vec![fault])
}

/// Starts on what a crash left, and crashes somewhere in that.
fn crash_again(files: Files, at_ms: u64, seed: u64, sabotage: Sabotage) -> Result<Files, String> {
    let mut image = Image::of(&files);
    let steps = world::in_virtual_time(async {
        let storage = Recorder::recording(files, sabotage);
        let node = world::start(&storage, at_ms, !seed, sabotage);
        let node = node.map_err(|error| does_not_open(&error))?;
        // Flows and subscriptions go on for a moment.
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        let steps = storage.take();
        node.halt();
        storage.clear();
        Ok::<_, String>(steps)
    })?;
    let kept = fastrand::Rng::with_seed(seed).usize(..=steps.len());
    steps[..kept].iter().for_each(|step| image.step(step));
    Ok(image.after(Kind::Torn, seed))
}

fn does_not_open(error: &dyn std::error::Error) -> String {
    let mut text = format!("it does not open: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

struct Checker<'a> {
    node: &'a Node,
    run: &'a Run,
    after: usize,
    findings: Findings,
}

impl Checker<'_> {
    async fn check(&mut self) -> Result<(), String> {
        let ledger = self.ledger().await?;
        self.nothing_told_is_missing(&ledger);
        if !world::settle(self.node).await {
            return Err(format!("it does not settle: {:?}", self.node.status()));
        }
        self.send_again().await;
        if !world::settle(self.node).await {
            return Err(format!(
                "it does not settle again: {:?}",
                self.node.status()
            ));
        }
        let ledger = self.ledger().await?;
        self.nothing_is_doubled(&ledger);
        self.books_balance(&ledger).await
    }

    async fn ledger(&self) -> Result<Ledgers, String> {
        let asked = self.node.open_port().ask(GetLedger {}).await;
        asked.map_err(|stop| format!("the ledger cannot be read: {stop}"))
    }

    /// What was sent before the crash.
    fn sent(&self) -> impl Iterator<Item = &Deed> {
        let sent = self.run.deeds.iter();
        sent.filter(|deed| deed.sent_at <= self.after)
    }

    /// What a deed was told before the crash.
    fn told<'a>(&self, deed: &'a Deed) -> Option<&'a str> {
        let told = deed.told.as_ref().filter(|(at, _)| *at <= self.after);
        told.map(|(_, told)| told.as_str())
    }

    /// Right after the start, before anything had time to mend it.
    fn nothing_told_is_missing(&mut self, ledger: &Ledgers) {
        let entries = by_number(ledger);
        let mut findings = Findings::new();
        for deed in self.sent() {
            let (Some(told), Order::Post(post)) = (self.told(deed), &deed.what) else {
                continue;
            };
            let times = entries.get(&post.entry).map_or(0, |entry| entry.times);
            if !told.starts_with("refused") && times == 0 {
                findings.push(format!("entry {} was told of, and is missing", post.entry));
            }
        }
        self.findings.extend(findings);
    }

    /// Sends again what has an id, and compares with what was told the first time.
    async fn send_again(&mut self) {
        let mut findings = Findings::new();
        for deed in self.sent() {
            if deed.key.is_none() || deed.forgotten_at <= self.after {
                continue;
            }
            let port = self.node.open_port();
            let again = match deed.what.ask(&port, deed.key.as_deref()).await {
                Ok(again) => again,
                Err(fault) => {
                    findings.push(format!("{} again meets a fault: {fault}", name(deed)));
                    continue;
                }
            };
            let before = self.told(deed);
            if before.is_some_and(|before| before != again) {
                let before = before.unwrap_or_default();
                findings.push(format!(
                    "{} was told {before}, and again {again}",
                    name(deed)
                ));
            }
            if again.starts_with("refused") != is_refused(deed) {
                findings.push(format!("{} is told {again} in the end", name(deed)));
            }
        }
        self.findings.extend(findings);
    }

    fn nothing_is_doubled(&mut self, ledger: &Ledgers) {
        let entries = by_number(ledger);
        let mut findings = Findings::new();
        for deed in self.sent() {
            let Order::Post(post) = &deed.what else {
                continue;
            };
            let times = entries.get(&post.entry).map_or(0, |entry| entry.times);
            let is_sure =
                self.told(deed).is_some() || deed.key.is_some() && deed.forgotten_at > self.after;
            let expected = match (is_refused(deed), is_sure) {
                (true, _) => 0..=0,
                (false, true) => 1..=1,
                (false, false) => 0..=1,
            };
            if !expected.contains(&times) {
                findings.push(format!("entry {} was posted {times} times", post.entry));
            }
        }
        self.findings.extend(findings);
    }

    async fn books_balance(&mut self, ledger: &Ledgers) -> Result<(), String> {
        let sum: i64 = ledger
            .entries
            .iter()
            .filter(|entry| !entry.is_taken_back)
            .map(|entry| entry.amount * i64::from(entry.times))
            .sum();
        if sum != ledger.balance {
            let balance = ledger.balance;
            self.found(format!(
                "the entries add up to {sum}, the accounts to {balance}"
            ));
        }
        let taken_back = ledger.entries.iter().filter(|entry| entry.is_taken_back);
        let taken_back = taken_back.count() as u64;
        let posted: u64 = ledger.entries.iter().map(|e| u64::from(e.times)).sum();
        self.events_are_handled_once(posted, taken_back);
        self.heard_is_what_happened(ledger).await?;
        self.flows_end_once(ledger).await
    }

    /// The counts beside each subscription's place equal what was ever published.
    fn events_are_handled_once(&mut self, posted: u64, taken_back: u64) {
        let status = self.node.status();
        for module in &status {
            if module.module == "ledger" && module.events != posted + taken_back {
                let events = module.events;
                let happened = posted + taken_back;
                self.found(format!("{events} events were published of {happened}"));
            }
            for subscription in &module.subscriptions {
                let wanted = match &*module.module {
                    "counter" => posted + taken_back,
                    _ => posted,
                };
                let (applied, dead) = (subscription.applied, subscription.dead);
                if applied + dead != wanted || subscription.skipped + subscription.dropped > 0 {
                    let name = &module.module;
                    self.found(format!(
                        "{name} dealt with {subscription:?} of {wanted} events"
                    ));
                }
            }
        }
    }

    /// Each entry was heard of once, unless it is poison: then it is a dead letter.
    async fn heard_is_what_happened(&mut self, ledger: &Ledgers) -> Result<(), String> {
        let asked = self.node.open_port().ask(ListHeard {}).await;
        let heard = asked.map_err(|stop| format!("the counter cannot be read: {stop}"))?;
        let heard: BTreeMap<_, _> = heard.into_iter().collect();
        let mut happened = BTreeMap::new();
        let mut poison = Vec::new();
        for entry in &ledger.entries {
            if entry.amount == POISON {
                poison.push(entry.entry);
            } else if entry.times > 0 {
                happened.insert((entry.entry, 0), entry.times);
            }
            if entry.is_taken_back {
                happened.insert((entry.entry, 1), 1);
            }
        }
        if heard != happened {
            let differs = |key: &&(u64, u8)| heard.get(key) != happened.get(key);
            let key = heard.keys().chain(happened.keys()).find(differs);
            let (heard, happened) = (
                key.map(|key| heard.get(key)),
                key.map(|key| happened.get(key)),
            );
            self.found(format!(
                "{key:?} happened {happened:?} times, and was heard of {heard:?}"
            ));
        }
        let letters = self
            .node
            .dead_letters("counter")
            .map_err(|fault| fault.to_string())?;
        if letters.len() != poison.len() {
            let parked = letters.len();
            self.found(format!("{parked} dead letters for {poison:?}"));
        }
        Ok(())
    }

    async fn flows_end_once(&mut self, ledger: &Ledgers) -> Result<(), String> {
        let asked = self.node.open_port().ask(ListTransfers {}).await;
        let transfers = asked.map_err(|stop| format!("the conductor cannot be read: {stop}"))?;
        let transfers: BTreeMap<_, _> = transfers.into_iter().collect();
        let entries = by_number(ledger);
        let mut findings = Findings::new();
        for deed in self.sent() {
            let Order::Transfer(transfer) = &deed.what else {
                continue;
            };
            let number = transfer.number;
            let counts = transfers.get(&number).copied().unwrap_or_default();
            let [first, second] = conductor::entries(number).map(|entry| entries.get(&entry));
            let is_sure =
                self.told(deed).is_some() || deed.key.is_some() && deed.forgotten_at > self.after;
            let begun = counts != Counts::default();
            let good = if !begun {
                !is_sure && first.is_none() && second.is_none()
            } else if transfer.course == Course::Refused {
                let undone = Counts {
                    begun: 1,
                    ended: 0,
                    undone: 1,
                };
                counts == undone
                    && second.is_none()
                    && first.is_some_and(|entry| entry.is_taken_back && entry.times == 1)
            } else {
                let ended = Counts {
                    begun: 1,
                    ended: 1,
                    undone: 0,
                };
                let is_posted = |entry: &&Entry| entry.times == 1 && !entry.is_taken_back;
                let told = self.told(deed).map(ToString::to_string);
                let is_token = |entry: &&Entry| {
                    told.as_ref()
                        .is_none_or(|told| *told == entry.token.to_string())
                };
                counts == ended
                    && first.copied().filter(is_posted).filter(is_token).is_some()
                    && second.copied().filter(is_posted).filter(is_token).is_some()
            };
            if !good {
                findings.push(format!(
                    "{transfer:?} ({:?}) came to {counts:?}, {first:?} and {second:?}",
                    deed.key
                ));
            }
        }
        let flows = self.node.flows("conductor", FLOWS_MAX);
        let flows = flows
            .map_err(|fault| fault.to_string())?
            .unwrap_or_default();
        for flow in flows {
            let ended = matches!(&flow.stand, FlowStand::Ended(end)
                if end == "done" || end.starts_with("refused: "));
            if !ended {
                findings.push(format!("flow {} is {:?}", flow.id, flow.stand));
            }
        }
        self.findings.extend(findings);
        Ok(())
    }

    fn found(&mut self, finding: String) {
        self.findings.push(finding);
    }
}

fn by_number(ledger: &Ledgers) -> BTreeMap<u64, &Entry> {
    let entries = ledger.entries.iter();
    entries.map(|entry| (entry.entry, entry)).collect()
}

/// Whether a deed is refused, crash or no crash.
fn is_refused(deed: &Deed) -> bool {
    match &deed.what {
        Order::Post(post) => post.amount < -1000,
        Order::Transfer(transfer) => transfer.course == Course::Refused,
    }
}

fn name(deed: &Deed) -> String {
    match &deed.what {
        Order::Post(post) => format!("post {}", post.entry),
        Order::Transfer(transfer) => format!("transfer {}", transfer.number),
    }
}
