//! What shoppers were told, compared with the letters that were written.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::shopper::{Form, Order, Shopper, Told};
use crate::shop::audit::Findings;

/// What all shoppers know in the end.
pub(crate) struct Books {
    forms: Vec<Form>,
    /// How often shoppers got no page, or one that says something went wrong inside.
    pub(crate) faults: u64,
}

/// A letter, as far as it is compared.
struct Letter {
    to: String,
    order: Order,
}

impl Books {
    pub(crate) fn of(shoppers: Vec<Shopper>) -> Self {
        let faults = shoppers.iter().map(Shopper::faults).sum();
        let forms = shoppers.into_iter().flat_map(|shopper| shopper.forms);
        Self {
            forms: forms.collect(),
            faults,
        }
    }

    /// Whether there are at least as many letters as confirmed orders.
    pub(crate) fn has_letters(&self, folder: &Path) -> bool {
        letter_files(folder).len() >= self.orders()
    }

    /// How many orders were confirmed.
    pub(crate) fn orders(&self) -> usize {
        self.confirmed().count()
    }

    fn confirmed(&self) -> impl Iterator<Item = (&Form, &Order)> {
        self.forms.iter().filter_map(|form| match &form.told {
            Told::Confirmed(order) => Some((form, order)),
            _ => None,
        })
    }

    pub(crate) fn audit(&self, folder: &Path, findings: &mut Findings) {
        let letters = letters(folder);
        let mut by_address: BTreeMap<&str, Vec<&Letter>> = BTreeMap::new();
        for letter in &letters {
            by_address.entry(&letter.to).or_default().push(letter);
        }
        for form in &self.forms {
            let written = by_address.remove(form.email.as_str()).unwrap_or_default();
            check(form, &written, findings);
        }
        for (address, written) in by_address {
            findings.check(false, || {
                format!("{} letters to {address}, who sent no form", written.len())
            });
        }
        let orders = self.confirmed().map(|(_, order)| &order.number);
        let orders: BTreeSet<_> = orders.collect();
        let parcels = self.confirmed().map(|(_, order)| &order.tracking);
        let parcels: BTreeSet<_> = parcels.collect();
        let (confirmed, letters) = (self.orders(), letters.len());
        findings.check(confirmed > 0, || "nothing was ordered".to_string());
        let counts = [
            ("order numbers", orders.len()),
            ("tracking numbers", parcels.len()),
            ("letters", letters),
        ];
        for (what, count) in counts {
            findings.check(count == confirmed, || {
                format!("{count} {what} for {confirmed} confirmed orders")
            });
        }
    }

    pub(crate) fn summary(&self) -> String {
        let count = |is: fn(&Form) -> bool| self.forms.iter().filter(|form| is(form)).count();
        let sent: u32 = self.forms.iter().map(|form| form.sent).sum();
        let excused: u32 = self.forms.iter().map(|form| form.excused).sum();
        format!(
            "{} forms sent {sent} times, {excused} of them without an answer: {} orders confirmed \
             ({} not at the first try), {} refused, {} failed",
            self.forms.len(),
            count(|form| matches!(form.told, Told::Confirmed(_))),
            count(|form| matches!(form.told, Told::Confirmed(_)) && form.excused > 0),
            count(|form| matches!(form.told, Told::Refused(_))),
            count(|form| form.told == Told::Failed),
        )
    }
}

/// What a shopper knows of a form must be all there is to it.
fn check(form: &Form, written: &[&Letter], findings: &mut Findings) {
    let email = &form.email;
    findings.check(form.told != Told::Nothing, || {
        format!("{email}: it was never known what became of the order")
    });
    findings.check(form.contradictions.is_empty(), || {
        format!(
            "{email}: {:?}, {}",
            form.told,
            form.contradictions.join(", ")
        )
    });
    let expected: Vec<_> = match &form.told {
        Told::Confirmed(order) => vec![order],
        Told::Nothing | Told::Refused(_) | Told::Failed => Vec::new(),
    };
    let found: Vec<_> = written.iter().map(|letter| &letter.order).collect();
    findings.check(found == expected, || {
        format!("{email}: {:?}, but letters about {found:?}", form.told)
    });
}

/// The files of whole letters.
pub(crate) fn letter_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let is_whole = |path: &PathBuf| path.extension().is_some_and(|end| end == "eml");
    let paths = entries.map(|entry| entry.path()).filter(is_whole);
    paths.collect()
}

fn letters(folder: &Path) -> Vec<Letter> {
    let paths = letter_files(folder).into_iter();
    let texts = paths.filter_map(|path| fs::read_to_string(path).ok());
    texts.map(|text| Letter::read(&text)).collect()
}

impl Letter {
    fn read(text: &str) -> Self {
        let after = |label: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(label));
            found.unwrap_or_default().trim().to_string()
        };
        Self {
            to: after("To:"),
            order: Order {
                number: after("Order number:"),
                tracking: after("Tracking number:"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(number: usize, told: Told) -> Form {
        Form {
            email: format!("form-{number}@example.com"),
            key: String::new(),
            told,
            sent: 1,
            excused: 0,
            contradictions: Vec::new(),
        }
    }

    fn confirmed(number: usize) -> Form {
        let order = Order {
            number: format!("order-{number}"),
            tracking: format!("parcel-{number}"),
        };
        form(number, Told::Confirmed(order))
    }

    /// What is found when these letters, each about an order to a form's address, were written.
    fn violations(forms: Vec<Form>, written: &[(usize, usize)]) -> usize {
        let folder = tempfile::tempdir().unwrap();
        for (order, to) in written {
            let text = format!(
                "To: form-{to}@example.com\r\n\r\nOrder number:     order-{order}\r\n\
                 Tracking number:  parcel-{order}\r\n"
            );
            fs::write(folder.path().join(format!("order-{order}.eml")), text).unwrap();
        }
        let mut findings = Findings::default();
        Books { forms, faults: 0 }.audit(folder.path(), &mut findings);
        findings.violations.len()
    }

    #[test]
    fn an_order_and_its_letter_are_as_they_should_be() {
        let forms = vec![
            confirmed(1),
            form(2, Told::Refused(422)),
            form(3, Told::Failed),
        ];
        assert_eq!(violations(forms, &[(1, 1)]), 0);
    }

    #[test]
    fn whatever_is_missing_or_too_much_is_found() {
        // An order without a letter.
        assert!(violations(vec![confirmed(1), confirmed(2)], &[(1, 1)]) > 0);
        // Two orders from one form.
        assert!(violations(vec![confirmed(1)], &[(1, 1), (2, 1)]) > 0);
        // A letter about an order that was refused, failed or never heard of.
        for told in [Told::Refused(409), Told::Failed] {
            assert!(violations(vec![confirmed(1), form(2, told)], &[(1, 1), (2, 2)]) > 0);
        }
        assert!(violations(vec![confirmed(1)], &[(1, 1), (2, 9)]) > 0);
        // One order for two forms.
        let twice = || confirmed(1);
        assert!(violations(vec![twice(), twice()], &[(1, 1)]) > 0);
        // Nothing known, nothing ordered.
        assert!(violations(vec![confirmed(1), form(2, Told::Nothing)], &[(1, 1)]) > 0);
        assert!(violations(Vec::new(), &[]) > 0);
    }

    #[test]
    fn another_answer_to_the_same_form_is_found() {
        let mut form = confirmed(1);
        form.contradictions.push("then another order".to_string());
        assert_eq!(violations(vec![form], &[(1, 1)]), 1);
    }
}
