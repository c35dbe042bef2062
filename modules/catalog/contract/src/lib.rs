//! All that others may know of the catalog: products, and ways to find them.

use currency_contract::Money;
use modulith_contract::{Id, Query, Refusal, Schema};
use serde::{Deserialize, Serialize};

/// Names one product.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct ProductId(String);

/// Something the shop sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// What it is called.
    pub name: String,
    /// What it is, in a sentence or three.
    pub description: String,
    /// Where its picture is, as a path on the storefront.
    pub picture: String,
    /// Its price in US dollars.
    pub price: Money,
    /// The shelves it stands on, lower case.
    pub categories: Vec<String>,
}

/// Lists every product, in the catalog's order.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "catalog", reply = Vec<Product>)]
pub struct ListProducts {}

/// Gets one product, which must exist.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "catalog", reply = Product, refusal = GetProductRefusal)]
pub struct GetProduct {
    /// Which one.
    pub id: ProductId,
}

/// Finds several products by id. Ids without a product are left out of the reply.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "catalog", reply = Vec<Product>)]
pub struct FindProducts {
    /// Which ones; the reply keeps their order.
    pub ids: Vec<ProductId>,
}

/// Searches names and descriptions for a text, whatever its case.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "catalog", reply = Vec<Product>)]
pub struct SearchProducts {
    /// The text; an empty one is in every product.
    pub query: String,
}

/// Why there is no such product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum GetProductRefusal {
    /// The catalog has no product with the id.
    #[refusal(not_found, "no product {id}")]
    UnknownProduct {
        /// The id asked for.
        id: ProductId,
    },
}
