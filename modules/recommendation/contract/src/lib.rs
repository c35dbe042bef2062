//! All that others may know of recommendation.

use catalog_contract::ProductId;
use modulith_contract::Query;
use serde::{Deserialize, Serialize};

/// Lists up to five products that go with some others, and are none of them.
///
/// Products often bought together come first; the rest are chosen at random.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "recommendation", reply = Vec<ProductId>)]
pub struct ListRecommendations {
    /// The products at hand: on the page, or in the cart.
    pub products: Vec<ProductId>,
}
