//! How processes and modules are called in certificates.
//!
//! `<process>.process.<application>.modulith` and `<module>.module.<application>.modulith`. A DNS
//! label has no underscore, so `_` is written `--`. That can be read back, because a name has
//! letters or digits on both sides of every separator.

use modulith_wire::Certified;

/// The longest DNS label (RFC 1035, section 2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// Below this, names belong to Modulith; the authority signs no others.
pub(crate) const ROOT: &str = "modulith";

/// A name that cannot be written into a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name {name:?} cannot be used: expected lower-case letters and digits, with single \
     '-' or '_' between them, at most 63 characters in which '_' counts twice"
)]
pub struct NameError {
    name: String,
}

pub(crate) fn process(name: &str, application: &str) -> Result<String, NameError> {
    Ok(format!(
        "{}.process.{}.{ROOT}",
        label(name)?,
        label(application)?
    ))
}

pub(crate) fn module(name: &str, application: &str) -> Result<String, NameError> {
    Ok(format!(
        "{}.module.{}.{ROOT}",
        label(name)?,
        label(application)?
    ))
}

/// Reads the names of a certificate. `None` unless they are one process of this application and
/// its modules, and nothing else.
pub(crate) fn certified<'a>(
    names: impl Iterator<Item = &'a str>,
    application: &str,
) -> Option<Certified> {
    let suffix = format!("{}.{ROOT}", label(application).ok()?);
    let (mut processes, mut modules) = (Vec::new(), Vec::new());
    for dns in names {
        let (first, rest) = dns.strip_suffix(&suffix)?.split_once('.')?;
        match rest {
            "process." => processes.push(name(first)),
            "module." => modules.push(name(first)),
            _ => return None,
        }
    }
    let [process] = <[String; 1]>::try_from(processes).ok()?;
    Some(Certified { process, modules })
}

/// Whether this is a name of another application.
pub(crate) fn is_of_other(dns: &str, application: &str) -> bool {
    let Ok(application) = label(application) else {
        return false;
    };
    let other = dns.strip_suffix(&format!(".{ROOT}"));
    other.is_some_and(|rest| rest.rsplit('.').next() != Some(&application))
}

fn label(name: &str) -> Result<String, NameError> {
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    let label = name.replace('_', "--");
    if name.split(['-', '_']).all(is_part) && label.len() <= LABEL_BYTES_MAX {
        return Ok(label);
    }
    Err(NameError {
        name: name.to_owned(),
    })
}

fn name(label: &str) -> String {
    label.replace("--", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_labels() {
        for original in ["cart", "order_desk", "shop-2", "a-b_c", "0"] {
            assert_eq!(name(&label(original).unwrap()), original);
        }
    }

    #[test]
    fn names_that_would_not_come_back_are_refused() {
        let long = "x".repeat(64);
        for bad in [
            "",
            "_a",
            "a-",
            "a__b",
            "a-_b",
            "Cart",
            "cart.item",
            "größe",
            &long,
        ] {
            assert!(label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_with_any_other_name_is_not_understood() {
        let read = |names: &[&str]| certified(names.iter().copied(), "shop");
        let process = "front.process.shop.modulith";
        let expected = Certified {
            process: "front".into(),
            modules: vec!["order_desk".to_owned()],
        };
        assert_eq!(
            read(&[process, "order--desk.module.shop.modulith"]),
            Some(expected)
        );
        assert_eq!(read(&["cart.module.shop.modulith"]), None);
        assert_eq!(read(&[process, "back.process.shop.modulith"]), None);
        assert_eq!(read(&[process, "cart.module.bank.modulith"]), None);
        assert_eq!(read(&[process, "example.org"]), None);
    }
}
