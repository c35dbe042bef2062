//! The module: answers every question from the rates.

use currency_contract::{Convert, ConvertAll, CurrencyCode, ListCurrencies};
use modulith_kernel::{Answer, Context, Declaration, Module, Outcome, Setup, SetupError};

use crate::rules;

/// The currency module.
#[derive(Debug)]
pub struct Currency {
    /// The codes that have a rate, in the order they are listed.
    codes: Vec<CurrencyCode>,
}

impl Module for Currency {
    const NAME: &'static str = "currency";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        let codes = rules::codes()
            .map(CurrencyCode::new)
            .collect::<Result<_, _>>()?;
        Ok(Self { codes })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<ListCurrencies>()
            .answers::<Convert>()
            .answers::<ConvertAll>();
    }
}

impl Answer<ListCurrencies> for Currency {
    async fn answer(&self, _: ListCurrencies, _: &Context) -> Outcome<ListCurrencies> {
        Ok(self.codes.clone())
    }
}

impl Answer<Convert> for Currency {
    async fn answer(&self, query: Convert, _: &Context) -> Outcome<Convert> {
        Ok(rules::convert(&query.from, &query.to)?)
    }
}

impl Answer<ConvertAll> for Currency {
    async fn answer(&self, query: ConvertAll, _: &Context) -> Outcome<ConvertAll> {
        Ok(rules::convert_all(&query.from, &query.to)?)
    }
}
