//! Where the modules run while they are killed: the two ends of what a configuration can say.

use std::fmt;

use crate::real::program;

/// What the program that we start is called among those killed, when it starts others.
const LAUNCHER: &str = "launcher";

/// Where the modules run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    EveryModuleApart,
    OneProcess,
}

impl Placement {
    pub(super) fn config(self) -> &'static str {
        match self {
            Self::EveryModuleApart => {
                include_str!("../../../../app/config/every-module-apart.toml")
            }
            Self::OneProcess => include_str!("../../../../app/config/one-process.toml"),
        }
    }

    /// What the program that we start is.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::EveryModuleApart => LAUNCHER,
            Self::OneProcess => program::BOUTIQUE,
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EveryModuleApart => "every module apart",
            Self::OneProcess => "one process",
        })
    }
}
