//! The modules that the shop is made of, each as a value.

use modulith_kernel::{Manifest, Module as _, NodeBuilder};

use super::stand_in::{Email, Ledger};

/// Every module that a node may host, in the order in which placements name them.
pub(crate) const MODULES: [Module; 9] = [
    Module::Catalog,
    Module::Currency,
    Module::Cart,
    Module::Checkout,
    Module::Payment,
    Module::Shipping,
    Module::Recommendation,
    Module::Email,
    Module::Ledger,
];

/// One of [`MODULES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    Catalog,
    Currency,
    Cart,
    Checkout,
    Payment,
    Shipping,
    Recommendation,
    Email,
    Ledger,
}

impl Module {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Catalog => catalog::Catalog::NAME,
            Self::Currency => currency::Currency::NAME,
            Self::Cart => cart::Cart::NAME,
            Self::Checkout => checkout::Checkout::NAME,
            Self::Payment => payment::Payment::NAME,
            Self::Shipping => shipping::Shipping::NAME,
            Self::Recommendation => recommendation::Recommendation::NAME,
            Self::Email => Email::NAME,
            Self::Ledger => Ledger::NAME,
        }
    }

    pub(super) fn manifest(self) -> Manifest {
        match self {
            Self::Catalog => Manifest::of::<catalog::Catalog>(),
            Self::Currency => Manifest::of::<currency::Currency>(),
            Self::Cart => Manifest::of::<cart::Cart>(),
            Self::Checkout => Manifest::of::<checkout::Checkout>(),
            Self::Payment => Manifest::of::<payment::Payment>(),
            Self::Shipping => Manifest::of::<shipping::Shipping>(),
            Self::Recommendation => Manifest::of::<recommendation::Recommendation>(),
            Self::Email => Manifest::of::<Email>(),
            Self::Ledger => Manifest::of::<Ledger>(),
        }
    }

    pub(super) fn host(self, node: &mut NodeBuilder) {
        match self {
            Self::Catalog => node.host::<catalog::Catalog>(catalog::CatalogSettings::default()),
            Self::Currency => node.host::<currency::Currency>(()),
            Self::Cart => node.host::<cart::Cart>(()),
            Self::Checkout => node.host::<checkout::Checkout>(()),
            Self::Payment => node.host::<payment::Payment>(()),
            Self::Shipping => {
                node.host::<shipping::Shipping>(shipping::ShippingSettings::default())
            }
            Self::Recommendation => node.host::<recommendation::Recommendation>(()),
            Self::Email => node.host::<Email>(()),
            Self::Ledger => node.host::<Ledger>(()),
        };
    }
}
