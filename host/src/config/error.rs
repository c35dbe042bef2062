//! What is wrong with a configuration: every error at once, each saying where, what was found,
//! and what was expected.

use std::{fmt, path::PathBuf};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigError {
    /// The line, from 1; none when the mistake is something missing from the whole file.
    pub(crate) line: Option<usize>,
    /// The key, such as `process.shop.modules`.
    pub(crate) key: String,
    /// What is there and what should be, as one sentence part.
    pub(crate) problem: String,
}

impl ConfigError {
    pub(crate) fn expected(
        line: Option<usize>,
        key: impl Into<String>,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        let problem = format!("found {found}, expected {expected}");
        Self {
            line,
            key: key.into(),
            problem,
        }
    }

    pub(crate) fn problem(
        line: Option<usize>,
        key: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            line,
            key: key.into(),
            problem: problem.into(),
        }
    }
}

/// Every mistake of one file, or the reason it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigErrors {
    pub(crate) file: Option<PathBuf>,
    pub(crate) errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &self.file {
                Some(file) => write!(f, "{}", file.display())?,
                None => write!(f, "configuration")?,
            }
            if let Some(line) = error.line {
                write!(f, ":{line}")?;
            }
            if !error.key.is_empty() {
                write!(f, ": {}", error.key)?;
            }
            write!(f, ": {}", error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A hint at the known name closest to a mistyped one, or at all of them.
pub(crate) fn did_you_mean(typed: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
    match near {
        Some((_, name)) => format!("; did you mean \"{name}\"?"),
        None => String::new(),
    }
}

/// Names as a list for people: `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_string(),
        [only] => (*only).to_string(),
        [head @ .., last] => format!("{} or {last}", head.join(", ")),
    }
}
