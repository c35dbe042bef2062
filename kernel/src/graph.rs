//! Whether a set of declarations fits together.

use std::collections::{BTreeMap, BTreeSet};

use modulith_contract::Kind;

use crate::{DeclaredMessage, Manifest, MessageName};

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

/// Checks that every message has one home, everything asked is served, everything listened to is
/// published, and asks form no circle. All errors, not the first.
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
        }
    }

    fn module(name: &'static str, asks: &[&'static str]) -> Manifest {
        Manifest {
            module: name,
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
}
