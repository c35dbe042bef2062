//! All that others may know of ads.

use modulith_contract::{Query, Schema};
use serde::{Deserialize, Serialize};

/// A line of advertising and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Ad {
    /// A path on the storefront.
    pub redirect_url: String,
    /// What it says.
    pub text: String,
}

/// Gets ads for some categories; without any that fits, one chosen at random.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "ad", reply = Vec<Ad>)]
pub struct GetAds {
    /// Categories of the product on the page, lower case.
    pub categories: Vec<String>,
}
