//! The module: reads the products once and answers from memory.

use std::path::{Path, PathBuf};

use catalog_contract::{
    FindProducts, GetProduct, GetProductRefusal, ListProducts, Product, SearchProducts,
};
use modulith_kernel::{Answer, Context, Declaration, Module, Outcome, Setup, SetupError};
use serde::Deserialize;

use crate::{file, rules::Products};

/// The catalog module.
#[derive(Debug)]
pub struct Catalog {
    products: Products,
}

/// What `[module.catalog]` may set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CatalogSettings {
    /// A TOML file of products to sell instead of the shop's own, relative to the folder the
    /// process was started in. Read once, at the start.
    pub products: Option<PathBuf>,
}

impl Module for Catalog {
    const NAME: &'static str = "catalog";
    type Settings = CatalogSettings;

    fn new(settings: &CatalogSettings, _: &Setup) -> Result<Self, SetupError> {
        let products = match &settings.products {
            Some(path) => from_file(path)?,
            None => file::read("products.toml", include_str!("../products.toml"))?,
        };
        Ok(Self {
            products: Products::new(products),
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<ListProducts>()
            .answers::<GetProduct>()
            .answers::<FindProducts>()
            .answers::<SearchProducts>();
    }
}

fn from_file(path: &Path) -> Result<Vec<Product>, SetupError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "products = {path:?} cannot be read ({error}), expected a TOML file of [[product]]s"
        )
    })?;
    Ok(file::read(&path.display().to_string(), &text)?)
}

impl Answer<ListProducts> for Catalog {
    async fn answer(&self, _: ListProducts, _: &Context) -> Outcome<ListProducts> {
        Ok(self.products.all().to_vec())
    }
}

impl Answer<GetProduct> for Catalog {
    async fn answer(&self, query: GetProduct, _: &Context) -> Outcome<GetProduct> {
        let product = self.products.get(&query.id).cloned();
        Ok(product.ok_or(GetProductRefusal::UnknownProduct { id: query.id })?)
    }
}

impl Answer<FindProducts> for Catalog {
    async fn answer(&self, query: FindProducts, _: &Context) -> Outcome<FindProducts> {
        Ok(query
            .ids
            .iter()
            .filter_map(|id| self.products.get(id))
            .cloned()
            .collect())
    }
}

impl Answer<SearchProducts> for Catalog {
    async fn answer(&self, query: SearchProducts, _: &Context) -> Outcome<SearchProducts> {
        Ok(self.products.search(&query.query).cloned().collect())
    }
}
