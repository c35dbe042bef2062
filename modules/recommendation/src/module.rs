//! The module: learns from every order, and recommends.

use catalog_contract::ListProducts;
use checkout_contract::OrderPlaced;
use modulith_kernel::{
    Answer, Context, Declaration, Fault, Listen, Module, Outcome, Setup, SetupError, Tx,
};
use recommendation_contract::ListRecommendations;

use crate::{rules, store};

/// The recommendation module.
#[derive(Debug)]
pub struct Recommendation;

impl Module for Recommendation {
    const NAME: &'static str = "recommendation";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<ListRecommendations>()
            .asks::<ListProducts>()
            .listens::<OrderPlaced>();
    }
}

impl Listen<OrderPlaced> for Recommendation {
    fn listen(&self, event: OrderPlaced, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let bought = rules::distinct(event.order.items.iter().map(|line| &line.item.product));
        // One product alone was bought with nothing.
        if bought.len() < 2 {
            return Ok(());
        }
        for product in &bought {
            store::change(tx, product, |companions| {
                let others = bought.iter().filter(|other| *other != product);
                others.for_each(|other| companions.count(other));
            })?;
        }
        Ok(())
    }
}

impl Answer<ListRecommendations> for Recommendation {
    async fn answer(
        &self,
        query: ListRecommendations,
        context: &Context,
    ) -> Outcome<ListRecommendations> {
        let products = context.ask(ListProducts {}).await?;
        let on_sale = products.into_iter().map(|product| product.id).collect();
        // Taken after the answer is there: a snapshot held while waiting keeps old pages alive.
        let snapshot = context.snapshot()?;
        let companions = rules::distinct(&query.products)
            .iter()
            .map(|product| store::companions(&snapshot, product))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(rules::recommend(
            &query.products,
            &companions,
            on_sale,
            context.random_u128(),
        ))
    }
}
