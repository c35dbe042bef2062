//! The auditor: whether all stores of an application add up together.
//!
//! - Each store by itself: no gap in its log, no letter, flow or reply too many or too few.
//! - Each subscription: it has dealt with as many events as its publisher had up to there.
//! - The business: what the application says must balance, does, key by key.
//!
//! While the application runs, the stores are looked at one after the other, and what moved
//! meanwhile can look wrong. So what does not add up is looked at again, and only what stays wrong
//! is a violation.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

use modulith_kernel::{
    Account, Announced, Answered, Audit, Check, Counted, Followed, Operation, partition,
};
use serde::Serialize;

use crate::{
    operate::{OperateError, Operators},
    table::aligned,
};

/// How often is looked before something counts as wrong, and the pause between.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(700);

/// What the auditor found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) at_rest: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) checked: u64,
    pub(crate) violations: u64,
}

/// Everything that was gathered.
#[derive(Debug, Default)]
struct Facts {
    audits: Vec<Audit>,
    /// Stores that could not be read, and why.
    unread: Vec<(String, String)>,
    /// Subscriber, its subscription, and what its publisher counts up to there.
    followed: Vec<(String, Followed, Counted)>,
}

/// Audits these modules.
pub(crate) async fn verify(
    operators: &Operators,
    modules: &[&'static str],
    balances: &[&[&'static str]],
) -> Result<Report, OperateError> {
    let mut checks = look(operators, modules, balances).await?;
    if !operators.is_at_rest() {
        for _ in 1..LOOKS {
            if checks.iter().all(|check| check.violations == 0) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            let again = look(operators, modules, balances).await?;
            checks = persisting(&checks, again);
        }
    }
    Ok(Report {
        at_rest: operators.is_at_rest(),
        checked: checks.iter().map(|check| check.checked).sum(),
        violations: checks.iter().map(|check| check.violations).sum(),
        checks,
    })
}

async fn look(
    operators: &Operators,
    modules: &[&'static str],
    balances: &[&[&'static str]],
) -> Result<Vec<Check>, OperateError> {
    Ok(compare(&gather(operators, modules).await?, balances))
}

/// What is wrong in both: about the same thing, whatever its counts are by now.
fn persisting(before: &[Check], again: Vec<Check>) -> Vec<Check> {
    let keep = |mut check: Check| {
        let earlier = before.iter().find(|earlier| earlier.name == check.name);
        let abouts: BTreeSet<_> = earlier
            .iter()
            .flat_map(|check| &check.violated)
            .map(|finding| finding.about.as_str())
            .collect();
        let listed = check.violated.len() as u64;
        // Beyond what is listed nobody can tell which they are.
        if listed == check.violations {
            check.violated.retain(|f| abouts.contains(f.about.as_str()));
            check.violations = check.violated.len() as u64;
        }
        check
    };
    again.into_iter().map(keep).collect()
}

/// Asks every module, then every publisher: a log that is counted later has only grown.
async fn gather(operators: &Operators, modules: &[&'static str]) -> Result<Facts, OperateError> {
    let mut facts = Facts::default();
    let deep = operators.is_at_rest();
    let mut names = Vec::new();
    for module in modules {
        names.extend(operators.names(module, None)?);
    }
    for module in &names {
        match operators.ask(module, Operation::Audit { deep }).await {
            Ok(Answered::Audit(audit)) => facts.audits.push(*audit),
            Ok(_) => unreachable!("an audit is answered by an audit"),
            Err(OperateError::Operation(error)) => {
                facts.unread.push((module.to_string(), error.to_string()));
            }
            Err(error) => return Err(error),
        }
    }
    for audit in &facts.audits {
        for followed in &audit.subscriptions {
            // No store, no events.
            let mut counted = Counted::default();
            if operators.has(&followed.publisher) {
                let operation = Operation::CountEvents {
                    names: followed.names.clone(),
                    up_to: followed.position,
                    partition: followed.partition,
                };
                match operators.ask(&followed.publisher, operation).await {
                    Ok(Answered::Counted(answer)) => counted = answer,
                    Ok(_) => unreachable!("a count is answered by a count"),
                    // Told of where its own audit failed.
                    Err(OperateError::Operation(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            let subscription = (audit.module.clone(), followed.clone(), counted);
            facts.followed.push(subscription);
        }
    }
    Ok(facts)
}

fn compare(facts: &Facts, balances: &[&[&'static str]]) -> Vec<Check> {
    let mut checks = Vec::<Check>::new();
    for check in facts.audits.iter().flat_map(|audit| &audit.checks) {
        match checks.iter_mut().find(|known| known.name == check.name) {
            Some(known) => {
                known.checked += check.checked;
                known.violations += check.violations;
                known.violated.extend(check.violated.iter().cloned());
                known.notes.extend(check.notes.iter().cloned());
            }
            None => checks.push(check.clone()),
        }
    }
    if !facts.unread.is_empty() {
        let mut check = Check::of("reading");
        check.checked = facts.unread.len() as u64;
        for (module, error) in &facts.unread {
            check.violate(format!("store of {module}"), error.clone());
        }
        checks.push(check);
    }
    checks.push(subscriptions(facts));
    checks.extend(balances.iter().map(|accounts| balance(facts, accounts)));
    checks
}

/// Every event was dealt with once, or is pending.
fn subscriptions(facts: &Facts) -> Check {
    let mut check = Check::of("events");
    for (subscriber, followed, counted) in &facts.followed {
        let Followed {
            publisher,
            position,
            ..
        } = followed;
        let about = format!("subscription {subscriber} to {publisher}");
        check.checked += counted.count + counted.pending;
        let total = followed.total();
        if *position > counted.head {
            let what = format!(
                "is at event {publisher}/{position}, and the log ends at {}: part of it is lost",
                counted.head
            );
            check.violate(about, what);
        } else if counted.passed {
            check.violate(about, "its position is behind what was removed".to_string());
        } else if total != counted.count {
            let how = if total < counted.count {
                "lost"
            } else {
                "applied twice"
            };
            let what = format!(
                "{total} dealt with up to event {publisher}/{position}, {} published: {} {how}",
                counted.count,
                total.abs_diff(counted.count)
            );
            check.violate(about, what);
        } else if followed.dealt_with() < counted.own {
            let what = format!(
                "{} of those up to event {publisher}/{position} that are for it dealt with, {} \
                 published",
                followed.dealt_with(),
                counted.own
            );
            check.violate(about, what);
        } else if followed.applied > counted.own + counted.removed {
            let what = format!(
                "{} handled up to event {publisher}/{position}, {} published for it: the rest is \
                 for other partitions",
                followed.applied,
                counted.own + counted.removed
            );
            check.violate(about, what);
        } else if counted.pending > 0 {
            check.note(about, format!("{} events pending", counted.pending));
        }
    }
    partitions(facts, &mut check);
    check
}

/// Of the events that were removed from a log, each was handled by one partition of a divided
/// subscriber: what its partitions have handled beyond the events that are kept is, together, as
/// much as was removed. Which partition one was for can no longer be told.
fn partitions(facts: &Facts, check: &mut Check) {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for (subscriber, followed, counted) in &facts.followed {
        if followed.partition.is_divided() {
            let module = partition::named(subscriber).0;
            let group = groups.entry((module, &*followed.publisher)).or_default();
            group.push((followed, counted));
        }
    }
    for ((module, publisher), group) in groups {
        let removed = group[0].1.removed;
        let comparable = group.len() == usize::from(group[0].0.partition.count())
            && group.iter().all(|(followed, counted)| {
                // Those passed over together cannot be told apart.
                followed.skipped == 0 && counted.removed == removed
            });
        let beyond = group
            .iter()
            .map(|(followed, counted)| i128::from(followed.dealt_with()) - i128::from(counted.own));
        let beyond: i128 = beyond.sum();
        if comparable && beyond != i128::from(removed) {
            let about = format!("subscriptions of {module} to {publisher}");
            let what = format!(
                "{removed} events were removed, and all partitions together have handled {beyond} \
                 that are not there any more"
            );
            check.violate(about, what);
        }
    }
}

/// All accounts, of all modules, by name.
struct Books<'a> {
    accounts: BTreeMap<&'a str, Vec<(&'a str, &'a Account)>>,
    facts: &'a Facts,
}

/// What one account says of one key.
#[derive(Default)]
struct Line<'a> {
    settled: u32,
    pending: bool,
    known: BTreeMap<&'a str, &'a str>,
}

fn balance(facts: &Facts, accounts: &[&str]) -> Check {
    let mut check = Check::of(&accounts.join(" = "));
    let books = Books::of(facts);
    let [first, others @ ..] = accounts else {
        return check;
    };
    let reference = books.lines(first);
    check.checked = reference.len() as u64;
    for (key, line) in reference.iter().filter(|(_, line)| line.settled > 1) {
        let times = line.settled;
        check.violate(key.to_string(), format!("{times} times in {first}"));
    }
    for other in others {
        let lines = books.lines(other);
        for (key, line) in reference.iter().filter(|(_, line)| line.settled > 0) {
            match lines.get(key) {
                Some(there) => {
                    for (name, value) in &line.known {
                        if let Some(found) = there.known.get(name).filter(|found| *found != value) {
                            let what = format!("{name} is {value} in {first}, {found} in {other}");
                            check.violate(key.to_string(), what);
                        }
                    }
                }
                // A flow is about to see to it.
                None if line.pending => {}
                None if books.is_announced(other, key) => {
                    check.note(
                        key.to_string(),
                        format!("its event is on its way to {other}"),
                    );
                }
                None => {
                    check.violate(key.to_string(), format!("in {first}, not in {other}"));
                }
            }
        }
        for (key, line) in &lines {
            if line.settled > 1 {
                let times = line.settled;
                check.violate(key.to_string(), format!("{times} times in {other}"));
            }
            if line.settled > 0 && !reference.contains_key(key) {
                check.violate(key.to_string(), format!("in {other}, not in {first}"));
            }
        }
    }
    let pending = |line: &&Line<'_>| line.pending;
    let pending = reference.values().filter(pending).count();
    if pending > 0 {
        check.note(first.to_string(), format!("{pending} under way"));
    }
    check
}

impl<'a> Books<'a> {
    fn of(facts: &'a Facts) -> Self {
        let mut accounts = BTreeMap::<_, Vec<_>>::new();
        for audit in &facts.audits {
            for (name, account) in &audit.ledger.accounts {
                let of_name = accounts.entry(name.as_str()).or_default();
                of_name.push((audit.module.as_str(), account));
            }
        }
        Self { accounts, facts }
    }

    fn lines(&self, account: &str) -> BTreeMap<&'a str, Line<'a>> {
        let mut lines = BTreeMap::<_, Line<'_>>::new();
        let kept = self.accounts.get(account).into_iter().flatten();
        for entry in kept.flat_map(|(_, account)| &account.entries) {
            let line = lines.entry(entry.key.as_str()).or_default();
            line.pending |= entry.pending;
            line.settled += u32::from(!entry.pending);
            let facts = entry.facts.iter();
            line.known
                .extend(facts.map(|(name, value)| (name.as_str(), value.as_str())));
        }
        lines
    }

    /// Whether a module that keeps the account has yet to handle an event about the key.
    fn is_announced(&self, account: &str, key: &str) -> bool {
        let keepers = self.accounts.get(account).into_iter().flatten();
        let keepers: BTreeSet<_> = keepers.map(|(module, _)| *module).collect();
        let is_ahead = |publisher: &str, event: &Announced| {
            self.facts.followed.iter().any(|(subscriber, followed, _)| {
                keepers.contains(subscriber.as_str())
                    && followed.publisher == publisher
                    && followed.names.contains(&event.name)
                    && event.number > followed.position
            })
        };
        self.facts.audits.iter().any(|audit| {
            let about_key = |event: &&Announced| event.key == key;
            let mut announced = audit.ledger.announced.iter().filter(about_key);
            announced.any(|event| is_ahead(&audit.module, event))
        })
    }
}

/// The report for people: a line for each check, then what is wrong, then the sum.
pub(crate) fn text(report: &Report) -> String {
    let row = |check: &Check| {
        let end = match check.violations {
            0 => "ok".to_string(),
            1 => "1 violation".to_string(),
            more => format!("{more} violations"),
        };
        vec![check.name.clone(), check.checked.to_string(), end]
    };
    let rows: Vec<_> = report.checks.iter().map(row).collect();
    let mut text = aligned(&rows, &[1]);
    for check in &report.checks {
        for finding in &check.notes {
            _ = writeln!(text, "  waits     {}: {}", finding.about, finding.what);
        }
    }
    for check in &report.checks {
        for finding in &check.violated {
            _ = writeln!(text, "  VIOLATED  {}: {}", finding.about, finding.what);
        }
        let unlisted = check.violations - check.violated.len() as u64;
        if unlisted > 0 {
            _ = writeln!(text, "  VIOLATED  {unlisted} more of {}", check.name);
        }
    }
    _ = writeln!(
        text,
        "verify: {} checked, {} violations",
        report.checked, report.violations
    );
    text
}

#[cfg(test)]
mod tests {
    use modulith_kernel::{Ledger, Partition};

    use super::*;

    const ACCOUNTS: &[&str] = &["orders", "charges"];

    fn audit(module: &str, keep: impl FnOnce(&mut Ledger)) -> Audit {
        let mut ledger = Ledger::default();
        keep(&mut ledger);
        Audit {
            module: module.to_string(),
            checks: Vec::new(),
            subscriptions: Vec::new(),
            ledger,
        }
    }

    fn facts(orders: &[(&str, u32)], charges: &[(&str, u32)]) -> Facts {
        let enter = |name: &'static str, entries: Vec<(String, u32)>| {
            move |ledger: &mut Ledger| {
                let account = ledger.account(name);
                for (key, total) in entries {
                    account.settled(key, &[("total", &total)]);
                }
            }
        };
        let owned = |entries: &[(&str, u32)]| {
            let entries = entries.iter();
            entries
                .map(|(key, total)| (key.to_string(), *total))
                .collect()
        };
        Facts {
            audits: vec![
                audit("checkout", enter("orders", owned(orders))),
                audit("payment", enter("charges", owned(charges))),
            ],
            ..Facts::default()
        }
    }

    #[track_caller]
    fn check(facts: &Facts, violated: &[&str]) {
        let check = balance(facts, ACCOUNTS);
        let found: Vec<_> = check
            .violated
            .iter()
            .map(|finding| format!("{}: {}", finding.about, finding.what))
            .collect();
        assert_eq!(found, violated);
        assert_eq!(check.violations as usize, violated.len());
    }

    #[test]
    fn books_that_agree_balance() {
        check(&facts(&[("a", 1), ("b", 2)], &[("b", 2), ("a", 1)]), &[]);
    }

    #[test]
    fn a_key_in_one_account_only_is_told() {
        check(&facts(&[("a", 1)], &[]), &["a: in orders, not in charges"]);
        check(&facts(&[], &[("a", 1)]), &["a: in charges, not in orders"]);
    }

    #[test]
    fn amounts_that_differ_are_told() {
        check(
            &facts(&[("a", 1)], &[("a", 2)]),
            &["a: total is 1 in orders, 2 in charges"],
        );
    }

    #[test]
    fn what_is_there_twice_is_told() {
        check(
            &facts(&[("a", 1)], &[("a", 1), ("a", 1)]),
            &["a: 2 times in charges"],
        );
    }

    #[test]
    fn what_is_under_way_may_be_missing() {
        let mut charged = facts(&[], &[("a", 1)]);
        charged.audits[0].ledger.account("orders").pending("a");
        check(&charged, &[]);
        let mut ordered = facts(&[("a", 1)], &[]);
        ordered.audits[1].ledger.account("charges").pending("a");
        check(&ordered, &[]);
    }

    #[test]
    fn an_event_on_its_way_excuses_what_it_is_about_and_nothing_else() {
        let mut facts = facts(&[("a", 1), ("b", 1)], &[]);
        for (number, key) in [(7, "a"), (6, "b")] {
            facts.audits[0].ledger.announced.push(Announced {
                name: "OrderPlaced".to_string(),
                number,
                key: key.to_string(),
            });
        }
        facts
            .followed
            .push(("payment".to_string(), followed(6), counted(6, 7)));
        check(&facts, &["b: in orders, not in charges"]);
    }

    fn followed(position: u64) -> Followed {
        Followed {
            publisher: "checkout".to_string(),
            names: vec!["OrderPlaced".to_string()],
            position,
            applied: position,
            parked: 0,
            skipped: 0,
            dropped: 0,
            others: 0,
            partition: Partition::WHOLE,
        }
    }

    fn counted(count: u64, head: u64) -> Counted {
        Counted {
            count,
            own: count,
            pending: head - count,
            head,
            ..Counted::default()
        }
    }

    #[test]
    fn a_subscription_deals_with_every_event_once() {
        let found = |followed: Followed, counted: Counted| {
            let facts = Facts {
                followed: vec![("payment".to_string(), followed, counted)],
                ..Facts::default()
            };
            let check = subscriptions(&facts);
            let whats = check.violated.into_iter().map(|finding| finding.what);
            (whats.collect::<Vec<_>>(), check.notes.len())
        };
        assert_eq!(found(followed(5), counted(5, 5)), (vec![], 0));
        assert_eq!(found(followed(5), counted(5, 8)), (vec![], 1));
        let (lost, _) = found(followed(5), counted(6, 6));
        assert!(lost[0].ends_with("6 published: 1 lost"), "{lost:?}");
        let (twice, _) = found(followed(5), counted(4, 6));
        assert!(twice[0].ends_with("1 applied twice"), "{twice:?}");
        let (ahead, _) = found(followed(5), counted(4, 4));
        assert!(ahead[0].ends_with("part of it is lost"), "{ahead:?}");
    }

    #[test]
    fn every_event_is_dealt_with_by_the_partition_it_is_for() {
        // Ten events, of which three were removed; four are for the first partition.
        let found = |applied: [u64; 2]| {
            let mut facts = Facts::default();
            for (index, applied) in (0..).zip(applied) {
                let partition = Partition::new(index, 2).unwrap();
                let followed = Followed {
                    partition,
                    applied,
                    others: 10 - applied,
                    ..followed(10)
                };
                let counted = Counted {
                    removed: 3,
                    own: [3, 4][usize::from(index)],
                    ..counted(10, 10)
                };
                let name = partition.name("payment");
                facts.followed.push((name, followed, counted));
            }
            let violated = subscriptions(&facts).violated.into_iter();
            violated.map(|finding| finding.what).collect::<Vec<_>>()
        };
        assert_eq!(found([4, 6]), [""; 0]);
        let lost = found([3, 6]);
        assert!(lost[0].contains("have handled 2 that"), "{lost:?}");
        let twice = found([5, 6]);
        assert!(twice[0].contains("have handled 4 that"), "{twice:?}");
        let stranger = found([2, 8]);
        assert!(
            stranger[0].starts_with("2 of those up to event"),
            "{stranger:?}"
        );
        assert!(
            stranger[1].ends_with("for other partitions"),
            "{stranger:?}"
        );
    }

    #[test]
    fn only_what_stays_wrong_is_told() {
        let wrong = |abouts: &[&str]| {
            let mut check = Check::of("events");
            for about in abouts {
                check.violate(about.to_string(), "wrong".to_string());
            }
            check
        };
        let left = persisting(&[wrong(&["a", "b"])], vec![wrong(&["b", "c"])]);
        assert_eq!(left, [wrong(&["b"])]);
    }
}
