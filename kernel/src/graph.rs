//! Whether a set of declarations fits together.

use std::collections::{BTreeMap, BTreeSet};

use modulith_contract::Kind;

use crate::{DeclaredMessage, Manifest, MessageName, partition::PARTITIONS_MAX};

/// Why declarations do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Two modules have one name.
    #[error("two modules are called {module}; a module's name is its own")]
    DuplicateModule {
        /// The name.
        module: &'static str,
    },
    /// A module declares twice that it serves a message.
    #[error("{module} declares {message} twice")]
    DuplicateMessage {
        /// The module.
        module: &'static str,
        /// The message.
        message: MessageName,
    },
    /// A module serves or publishes what another module's contract defines.
    #[error("{module} declares {message}, which is in the contract of {}", message.module)]
    ForeignMessage {
        /// The module.
        module: &'static str,
        /// The message.
        message: MessageName,
    },
    /// A message is asked that nobody serves.
    #[error("{module} asks {message}, which no module handles or answers{hint}")]
    NobodyAnswers {
        /// Who asks.
        module: &'static str,
        /// What is asked.
        message: MessageName,
        /// What to do about it, or nothing.
        hint: String,
    },
    /// An event is listened to that nobody publishes.
    #[error("{module} listens to {message}, which no module publishes")]
    NobodyPublishes {
        /// Who listens.
        module: &'static str,
        /// To what.
        message: MessageName,
    },
    /// A module cannot be divided: nothing tells which partition a message is for.
    #[error(
        "{module} cannot have {partitions} partitions: {kind} {message} has no key to tell which \
         one it is for; {} in its contract, or leave {module} undivided",
        what_to_give(*kind)
    )]
    Keyless {
        /// The module.
        module: &'static str,
        /// The message.
        message: MessageName,
        /// A command, a query or a stream query.
        kind: Kind,
        /// How many partitions it is set to have.
        partitions: u16,
    },
    /// A module that has no store is to be divided.
    #[error(
        "{module} cannot have {partitions} partitions: it has no store to divide, and can be \
         replicated as it is"
    )]
    NothingToDivide {
        /// The module.
        module: &'static str,
        /// How many partitions it is set to have.
        partitions: u16,
    },
    /// A module is to have no partitions, or too many.
    #[error("{module} cannot have {found} partitions; expected 1 to {PARTITIONS_MAX}")]
    PartitionCount {
        /// The module.
        module: &'static str,
        /// How many it is set to have.
        found: u16,
    },
    /// Modules ask each other in a circle.
    #[error(
        "modules ask each other in a circle: {}; publish an event to answer back",
        path.join(" → ")
    )]
    Cycle {
        /// The circle, its first module again at the end.
        path: Vec<&'static str>,
    },
}

fn what_to_give(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "give it a `key` or a `fan_out`",
        Kind::StreamQuery => "give it a `key` (streams do not fan out)",
        _ => "give it a `key`",
    }
}

/// Checks that every message has one home, everything asked is served, everything listened to is
/// published, every module that is divided can be, and asks form no circle. All errors, not the first.
pub fn check(manifests: &[Manifest]) -> Vec<GraphError> {
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    for manifest in manifests {
        if !names.insert(manifest.module) {
            errors.push(GraphError::DuplicateModule {
                module: manifest.module,
            });
        }
        errors.extend(check_own(manifest));
        errors.extend(check_division(manifest));
        errors.extend(check_neighbours(manifest, manifests));
    }
    errors.extend(
        cycles(manifests)
            .into_iter()
            .map(|path| GraphError::Cycle { path }),
    );
    errors
}

fn check_own(manifest: &Manifest) -> Vec<GraphError> {
    let module = manifest.module;
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for DeclaredMessage { message, .. } in
        [&manifest.handles, &manifest.answers, &manifest.publishes]
            .into_iter()
            .flatten()
    {
        if message.module != module {
            errors.push(GraphError::ForeignMessage {
                module,
                message: *message,
            });
        }
        if !seen.insert(message) {
            errors.push(GraphError::DuplicateMessage {
                module,
                message: *message,
            });
        }
    }
    errors
}

fn check_division(manifest: &Manifest) -> Vec<GraphError> {
    let (module, partitions) = (manifest.module, manifest.partitions);
    if partitions == 1 {
        return Vec::new();
    }
    if partitions == 0 || partitions > PARTITIONS_MAX {
        let found = partitions;
        return vec![GraphError::PartitionCount { module, found }];
    }
    if !manifest.is_stateful() {
        return vec![GraphError::NothingToDivide { module, partitions }];
    }
    let requests = manifest.handles.iter().chain(&manifest.answers);
    let keyless = requests.filter(|request| !request.keyed && !request.fans_out);
    let error = |request: &DeclaredMessage| GraphError::Keyless {
        module,
        message: request.message,
        kind: request.kind,
        partitions,
    };
    keyless.map(error).collect()
}

fn check_neighbours(manifest: &Manifest, all: &[Manifest]) -> Vec<GraphError> {
    let module = manifest.module;
    let home = |message: &MessageName| all.iter().find(|other| other.module == message.module);
    let mut errors = Vec::new();
    for DeclaredMessage { message, kind, .. } in &manifest.asks {
        let served = |other: &Manifest| match kind {
            Kind::Command => other.handles.iter().any(|m| m.message == *message),
            _ => other.answers.iter().any(|m| m.message == *message),
        };
        if !home(message).is_some_and(served) {
            let hint = match home(message) {
                None => format!("; is {} in main.rs?", message.module),
                Some(_) => String::new(),
            };
            errors.push(GraphError::NobodyAnswers {
                module,
                message: *message,
                hint,
            });
        }
    }
    for DeclaredMessage { message, .. } in &manifest.listens {
        let published = |other: &Manifest| other.publishes.iter().any(|m| m.message == *message);
        if !home(message).is_some_and(published) {
            errors.push(GraphError::NobodyPublishes {
                module,
                message: *message,
            });
        }
    }
    errors
}

/// Every circle of asks, each once, found by walking from each module in order of name.
fn cycles(manifests: &[Manifest]) -> Vec<Vec<&'static str>> {
    let asks: BTreeMap<&str, BTreeSet<&'static str>> = manifests
        .iter()
        .map(|m| {
            (
                m.module,
                m.asks.iter().map(|ask| ask.message.module).collect(),
            )
        })
        .collect();
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for start in manifests.iter().map(|m| m.module).collect::<BTreeSet<_>>() {
        walk(start, &asks, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn walk(
    module: &'static str,
    asks: &BTreeMap<&str, BTreeSet<&'static str>>,
    path: &mut Vec<&'static str>,
    done: &mut BTreeSet<&'static str>,
    found: &mut Vec<Vec<&'static str>>,
) {
    if let Some(begin) = path.iter().position(|seen| *seen == module) {
        found.push(path[begin..].iter().copied().chain([module]).collect());
        return;
    }
    if done.contains(module) {
        return;
    }
    path.push(module);
    for next in asks.get(module).into_iter().flatten() {
        walk(next, asks, path, done, found);
    }
    path.pop();
    done.insert(module);
}

#[cfg(test)]
mod tests {
    use modulith_contract::Fingerprint;

    use super::*;

    fn message(module: &'static str, name: &'static str, kind: Kind) -> DeclaredMessage {
        DeclaredMessage {
            message: MessageName { module, name },
            kind,
            fingerprint: Fingerprint(0),
            keyed: false,
            fans_out: false,
        }
    }

    fn module(name: &'static str, asks: &[&'static str]) -> Manifest {
        Manifest {
            module: name,
            partitions: 1,
            handles: vec![],
            answers: vec![message(name, "Get", Kind::Query)],
            publishes: vec![],
            listens: vec![],
            asks: asks
                .iter()
                .map(|other| message(other, "Get", Kind::Query))
                .collect(),
        }
    }

    #[test]
    fn modules_that_fit_together_pass() {
        assert_eq!(
            check(&[
                module("a", &["b", "c"]),
                module("b", &["c"]),
                module("c", &[])
            ]),
            []
        );
    }

    #[test]
    fn a_circle_of_asks_is_named_whole() {
        let errors = check(&[
            module("a", &["b"]),
            module("b", &["c"]),
            module("c", &["a"]),
        ]);
        assert_eq!(
            errors,
            [GraphError::Cycle {
                path: vec!["a", "b", "c", "a"]
            }]
        );
        assert!(
            errors[0].to_string().contains("a → b → c → a"),
            "{}",
            errors[0]
        );
        assert_eq!(
            check(&[module("a", &["a"])]),
            [GraphError::Cycle {
                path: vec!["a", "a"]
            }]
        );
    }

    #[test]
    fn what_nobody_serves_or_publishes_is_named() {
        let mut lonely = module("a", &["b"]);
        lonely.listens.push(message("b", "Done", Kind::Event));
        let errors: Vec<_> = check(&[lonely]).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "a asks b.Get, which no module handles or answers; is b in main.rs?",
                "a listens to b.Done, which no module publishes",
            ]
        );
    }

    #[test]
    fn a_message_has_one_home() {
        let mut thief = module("a", &[]);
        thief.answers.push(message("b", "Get", Kind::Query));
        thief.answers.push(message("a", "Get", Kind::Query));
        let errors: Vec<_> = check(&[thief]).iter().map(ToString::to_string).collect();
        assert_eq!(
            errors,
            [
                "a declares b.Get, which is in the contract of b",
                "a declares a.Get twice"
            ]
        );
    }

    #[test]
    fn a_module_is_divided_by_the_keys_of_all_that_it_is_asked() {
        let said = |partitions, change: &dyn Fn(&mut Manifest)| {
            let mut divided = module("a", &[]);
            divided.partitions = partitions;
            divided.handles.push(message("a", "Set", Kind::Command));
            divided.handles[0].keyed = true;
            divided.answers[0].fans_out = true;
            change(&mut divided);
            let errors = check(&[divided]);
            errors.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(said(4, &|_| {}), [""; 0]);
        assert_eq!(
            said(4, &|a| {
                a.handles[0].keyed = false;
                a.answers[0].fans_out = false;
            }),
            [
                "a cannot have 4 partitions: command a.Set has no key to tell which one it is for; \
                 give it a `key` in its contract, or leave a undivided",
                "a cannot have 4 partitions: query a.Get has no key to tell which one it is for; \
                 give it a `key` or a `fan_out` in its contract, or leave a undivided",
            ]
        );
        assert_eq!(
            said(2, &|a| a.answers.push(message(
                "a",
                "List",
                Kind::StreamQuery
            ))),
            [
                "a cannot have 2 partitions: stream query a.List has no key to tell which one it is \
                 for; give it a `key` (streams do not fan out) in its contract, or leave a undivided",
            ]
        );
        let stateless = said(2, &|a| a.handles.clear());
        assert!(stateless[0].contains("no store to divide"), "{stateless:?}");
        let none = said(0, &|_| {});
        assert_eq!(none, ["a cannot have 0 partitions; expected 1 to 256"]);
    }
}
