//! The books of modules: what each says of the business, so that an auditor can compare them.

use std::{collections::BTreeMap, fmt::Display};

use modulith_contract::{Event, Fault};
use serde::{Deserialize, Serialize};

use crate::{Snapshot, codec, faults, store::EVENTS};

/// What one module says of the business: entries in accounts, to be balanced against the accounts
/// of other modules.
///
/// Filled by [`Module::ledger`](crate::Module::ledger). Which accounts must balance is the
/// application's to say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The accounts this module keeps, by name.
    pub accounts: BTreeMap<String, Account>,
    /// What its events are about.
    pub announced: Vec<Announced>,
}

/// The entries of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The entries. More than one that is settled under the same key is a mistake of the module.
    pub entries: Vec<Entry>,
}

/// One line of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is about; the same text in every account that knows of it, such as an order's
    /// number.
    pub key: String,
    /// Whether it is being settled, by a flow that goes on or an event that is parked, so that
    /// other accounts may lack it.
    pub pending: bool,
    /// What is known of it. What two accounts give under the same name must be equal.
    pub facts: BTreeMap<String, String>,
}

/// An event, and the key it is about: while a module has not handled it, its accounts may lack
/// the key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// The event's name.
    pub name: String,
    /// Its number in the log.
    pub number: u64,
    /// What it is about.
    pub key: String,
}

impl Ledger {
    /// An account of the module, begun when it is not there. One without entries says that there
    /// is nothing.
    pub fn account(&mut self, name: &str) -> &mut Account {
        self.accounts.entry(name.to_string()).or_default()
    }

    /// Says what the module's events of a kind are about, so that those who have yet to handle
    /// one may lack its key.
    ///
    /// # Errors
    /// [`Fault::Store`] when the disk fails, [`Fault::Malformed`] when an event cannot be read.
    pub fn announces<E: Event>(
        &mut self,
        snapshot: &Snapshot,
        key: impl Fn(&E) -> String,
    ) -> Result<(), Fault> {
        let mut read = Ok(());
        snapshot.walk(&EVENTS, .., |number, record, _| {
            if record.name != E::NAME {
                return std::ops::ControlFlow::Continue(());
            }
            match codec::decode::<E>(&record.body) {
                Ok(event) => {
                    self.announced.push(Announced {
                        name: record.name,
                        number,
                        key: key(&event),
                    });
                    std::ops::ControlFlow::Continue(())
                }
                Err(error) => {
                    read = Err(faults::malformed::<E>(&error));
                    std::ops::ControlFlow::Break(())
                }
            }
        })?;
        read
    }
}

impl Account {
    /// Enters what is done.
    pub fn settled(&mut self, key: impl Display, facts: &[(&str, &dyn Display)]) {
        self.enter(&key, false, facts);
    }

    /// Enters what is under way: other accounts may have it or not.
    pub fn pending(&mut self, key: impl Display) {
        self.enter(&key, true, &[]);
    }

    fn enter(&mut self, key: &dyn Display, pending: bool, facts: &[(&str, &dyn Display)]) {
        let facts = facts.iter();
        let facts = facts.map(|(name, value)| (name.to_string(), value.to_string()));
        self.entries.push(Entry {
            key: key.to_string(),
            pending,
            facts: facts.collect(),
        });
    }
}
