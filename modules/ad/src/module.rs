//! The module: answers with the ads that fit.

use ad_contract::GetAds;
use modulith_kernel::{Answer, Context, Declaration, Module, Outcome, Setup, SetupError};

use crate::rules;

/// The ad module.
#[derive(Debug)]
pub struct Ad;

impl Module for Ad {
    const NAME: &'static str = "ad";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.answers::<GetAds>();
    }
}

impl Answer<GetAds> for Ad {
    async fn answer(&self, query: GetAds, context: &Context) -> Outcome<GetAds> {
        Ok(rules::choose(&query.categories, context.random_u128()))
    }
}
