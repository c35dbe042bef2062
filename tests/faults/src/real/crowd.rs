//! Shoppers who order at the same time, each on a thread of her own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{Failure, Shop, books::Books, shopper::Shopper};

/// Those who are shopping.
pub(crate) struct Crowd {
    shopping: Vec<JoinHandle<Shopper>>,
    is_over: Arc<AtomicBool>,
}

impl Crowd {
    /// Lets so many shoppers in.
    pub(crate) fn enter(shoppers: u64, seed: u64, shop: &Shop) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let shopping = (0..shoppers).map(|number| {
            let (mut shopper, is_over) = (Shopper::new(number, seed, shop), is_over.clone());
            spawn_blocking(move || {
                shopper.shop(&is_over);
                shopper
            })
        });
        Self {
            shopping: shopping.collect(),
            is_over,
        }
    }

    /// They order nothing new, and find out what became of what they ordered: nothing goes wrong
    /// any more.
    pub(crate) async fn find_out(self) -> Result<Books, Failure> {
        self.is_over.store(true, Ordering::Relaxed);
        let asked = join_all(self.shopping).await.into_iter().map(|shopper| {
            spawn_blocking(move || {
                let mut shopper = shopper?;
                shopper.ask_again();
                Ok::<_, JoinError>(shopper)
            })
        });
        let mut shoppers = Vec::new();
        for shopper in join_all(asked.collect::<Vec<_>>()).await {
            shoppers.push(shopper??);
        }
        Ok(Books::of(shoppers))
    }
}
