//! The builder: which modules an application has.

use std::{any::TypeId, process::ExitCode};

use modulith_edge::{Pages, Site};
use modulith_kernel::{Manifest, Module, Node, NodeBuilder, OPTION_KEYS, Options};
use serde::{Deserialize, de::DeserializeOwned};
use toml::{Spanned, de::DeTable};

use crate::{
    cli,
    config::{Config, ProcessConfig},
};

/// An application: its name and its modules. Placement comes from the configuration.
pub struct App {
    pub(crate) name: &'static str,
    pub(crate) modules: Vec<Registered>,
    /// Accounts that must balance, each group by itself.
    pub(crate) balances: Vec<Vec<&'static str>>,
}

/// A module as the host knows it, its types forgotten.
pub(crate) struct Registered {
    pub(crate) manifest: Manifest,
    pub(crate) store_version: u32,
    pub(crate) configure: fn(Option<Spanned<DeTable<'_>>>) -> Result<Hosting, toml::de::Error>,
    pub(crate) pages: Option<MakePages>,
}

/// Makes a module's pages of a node that hosts it, and of the header that carries a tag.
pub(crate) type MakePages = fn(&Node, Option<&str>) -> Option<Site>;

/// A module as the configuration sets it.
pub(crate) struct Hosting {
    /// Into how many partitions it is divided; 1 when it is not.
    pub(crate) partitions: u16,
    /// Adds it, with its settings, to a node.
    pub(crate) host: Box<dyn FnOnce(&mut NodeBuilder)>,
}

impl App {
    /// Begins an application. The name labels its certificates, logs and help.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            modules: Vec::new(),
            balances: Vec::new(),
        }
    }

    /// Adds a module. Its settings come from `[module.NAME]`, or are the default.
    #[must_use]
    pub fn module<M: Module>(mut self) -> Self
    where
        M::Settings: DeserializeOwned + Default,
    {
        let manifest = Manifest::of::<M>();
        self.modules.push(Registered {
            manifest,
            store_version: M::STORE_VERSION,
            configure: configure::<M>,
            pages: None,
        });
        self
    }

    /// Adds a module that serves web pages.
    #[must_use]
    pub fn pages<M: Pages>(self) -> Self
    where
        M::Settings: DeserializeOwned + Default,
    {
        let mut app = self.module::<M>();
        let last = app
            .modules
            .last_mut()
            .expect("the module was added in the line above");
        last.pages = Some(|node, tag_header| {
            Some(modulith_edge::pages::<M>(node.port(M::NAME)?, tag_header))
        });
        app
    }

    /// Says which accounts of the modules' ledgers ([`Module::ledger`]) must balance, for `verify`:
    /// what is settled in the first must be in each of the others, with the same facts, and the
    /// other way round.
    #[must_use]
    pub fn balance(mut self, accounts: &[&'static str]) -> Self {
        self.balances.push(accounts.to_vec());
        self
    }

    /// Reads the command line, does what it says, and returns the process's exit code: 0 for
    /// success, 1 when something failed while running, 2 when it could not start.
    pub fn main(self) -> ExitCode {
        cli::main(&self)
    }

    /// What the modules declare, divided as the configuration says.
    pub(crate) fn manifests(&self, config: &Config) -> Vec<Manifest> {
        let divided = |module: &Registered| Manifest {
            partitions: config.partitions_of(module.manifest.module),
            ..module.manifest.clone()
        };
        self.modules.iter().map(divided).collect()
    }

    pub(crate) fn module_names(&self) -> Vec<&'static str> {
        self.modules
            .iter()
            .map(|module| module.manifest.module)
            .collect()
    }

    /// Whether a module of the process has a store.
    pub(crate) fn has_stores(&self, process: &ProcessConfig) -> bool {
        let mut modules = self.modules.iter().map(|module| &module.manifest);
        modules.any(|module| module.is_stateful() && process.modules.contains(&module.module))
    }

    /// The module that serves pages, if there is one.
    pub(crate) fn pages_module(&self) -> Option<&Registered> {
        self.modules.iter().find(|module| module.pages.is_some())
    }
}

/// Reads a module's settings from its table.
fn configure<M: Module>(table: Option<Spanned<DeTable<'_>>>) -> Result<Hosting, toml::de::Error>
where
    M::Settings: DeserializeOwned + Default,
{
    let (options, table) = match table {
        Some(table) => {
            let (options, own) = split(table);
            if let Some(key) = options.get_ref().keys().next()
                && !Manifest::of::<M>().is_stateful()
            {
                let problem = format!("module \"{}\" has no store to set {key} for", M::NAME);
                return Err(serde::de::Error::custom(problem));
            }
            (
                Options::deserialize(toml::de::Deserializer::from(options))?,
                Some(own),
            )
        }
        None => (Options::default(), None),
    };
    let settings = match table {
        // The unit type stands for "nothing to set", which serde would not read from a table.
        Some(table) if TypeId::of::<M::Settings>() == TypeId::of::<()>() => {
            NoSettings::deserialize(toml::de::Deserializer::from(table))?;
            M::Settings::default()
        }
        Some(table) => M::Settings::deserialize(toml::de::Deserializer::from(table))?,
        None => M::Settings::default(),
    };
    Ok(Hosting {
        partitions: options.partitions,
        host: Box::new(move |node| {
            _ = node.host_with::<M>(settings, options);
        }),
    })
}

/// Parts the keys that every module has from the module's own.
fn split(table: Spanned<DeTable<'_>>) -> (Spanned<DeTable<'_>>, Spanned<DeTable<'_>>) {
    let span = table.span();
    let (options, own) = table
        .into_inner()
        .into_iter()
        .partition(|(key, _)| OPTION_KEYS.contains(&&**key.get_ref()));
    (Spanned::new(span.clone(), options), Spanned::new(span, own))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}
