//! Counting what is bought together, in bounded space, and choosing from it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use catalog_contract::ProductId;

/// How many products are recommended at most.
pub(crate) const RECOMMENDED_MAX: usize = 5;

/// How many different products of an order, or of a question, are looked at.
///
/// An order of n products makes n·(n-1) pairs; 32 products are more than anyone sees on a page,
/// and a thousand pairs are counted in a millisecond.
pub(crate) const PRODUCTS_MAX: usize = 32;

/// How many companions of one product are remembered.
///
/// Six times what is recommended, so that a frequent companion is not lost to a run of rare ones.
pub(crate) const COMPANIONS_MAX: usize = 32;

/// The count at which all of a product's counts are halved, so that yesterday weighs less than
/// today and no count can overflow.
pub(crate) const TIMES_MAX: u32 = 1 << 16;

/// The first different products, at most [`PRODUCTS_MAX`].
pub(crate) fn distinct<'a>(products: impl IntoIterator<Item = &'a ProductId>) -> Vec<ProductId> {
    let mut seen = BTreeSet::new();
    products
        .into_iter()
        .filter(|product| seen.insert(*product))
        .take(PRODUCTS_MAX)
        .cloned()
        .collect()
}

/// What was bought together with one product, and how many times.
///
/// The counts are those of Misra and Gries ("Finding repeated elements", 1982): with the table
/// full, a newcomer takes one from every count instead of a place. Whatever is bought more often
/// than one time in [`COMPANIONS_MAX`] stays in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Companions {
    pub(crate) times: BTreeMap<ProductId, u32>,
}

impl Companions {
    /// Counts one purchase together with `other`.
    pub(crate) fn count(&mut self, other: &ProductId) {
        if let Some(times) = self.times.get_mut(other) {
            *times += 1;
            if *times >= TIMES_MAX {
                self.shrink(|times| times / 2);
            }
        } else if self.times.len() < COMPANIONS_MAX {
            self.times.insert(other.clone(), 1);
        } else {
            self.shrink(|times| times - 1);
        }
    }

    fn shrink(&mut self, to: impl Fn(u32) -> u32) {
        self.times.retain(|_, times| {
            *times = to(*times);
            *times > 0
        });
    }
}

/// Chooses up to [`RECOMMENDED_MAX`] of the products on sale that are not `given`: those most
/// often bought together with the given first, the rest by `random`.
pub(crate) fn recommend(
    given: &[ProductId],
    companions: &[Companions],
    on_sale: Vec<ProductId>,
    random: u128,
) -> Vec<ProductId> {
    let times = |product: &ProductId| -> u64 {
        companions
            .iter()
            .filter_map(|own| own.times.get(product))
            .copied()
            .map(u64::from)
            .sum()
    };
    let given: BTreeSet<_> = given.iter().collect();
    let others = on_sale
        .into_iter()
        .filter(|product| !given.contains(product));
    let (mut chosen, rest): (Vec<_>, Vec<_>) = others
        .map(|product| (times(&product), product))
        .partition(|(times, _)| *times > 0);
    // The sort is stable, so equals keep the catalog's order.
    chosen.sort_by_key(|(times, _)| Reverse(*times));
    chosen.truncate(RECOMMENDED_MAX);
    let missing = RECOMMENDED_MAX - chosen.len();
    chosen.extend(draw(rest, missing, random));
    chosen.into_iter().map(|(_, product)| product).collect()
}

/// Draws `count` things, or all there are, with `random` as the dice.
///
/// Each draw uses up as many bits as there are things to choose from; 128 bits are enough for
/// five draws out of millions.
fn draw<T>(mut things: Vec<T>, count: usize, mut random: u128) -> Vec<T> {
    let mut drawn = Vec::new();
    while drawn.len() < count && !things.is_empty() {
        let left = things.len() as u128;
        // The remainder is below the number of things, which is a `usize`.
        drawn.push(things.swap_remove((random % left) as usize));
        random /= left;
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> ProductId {
        ProductId::new(id).unwrap()
    }

    fn ids(list: &str) -> Vec<ProductId> {
        list.split_whitespace().map(id).collect()
    }

    fn companions(counts: &[(&str, u32)]) -> Companions {
        Companions {
            times: counts
                .iter()
                .map(|(product, times)| (id(product), *times))
                .collect(),
        }
    }

    fn names(products: &[ProductId]) -> String {
        products
            .iter()
            .map(ProductId::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn what_is_bought_together_most_comes_first() {
        let learned = [
            companions(&[("B", 2), ("C", 9), ("D", 1)]),
            companions(&[("D", 8)]),
        ];
        let chosen = recommend(&ids("A Z"), &learned, ids("A B C D"), 0);
        assert_eq!(names(&chosen), "C D B");
    }

    #[test]
    fn what_is_given_or_no_longer_sold_is_never_chosen() {
        let learned = [companions(&[("A", 9), ("GONE", 9), ("B", 1)])];
        for random in 0..100 {
            let chosen = recommend(&ids("A"), &learned, ids("A B C"), random);
            assert_eq!(names(&chosen), "B C");
        }
    }

    #[test]
    fn the_rest_is_chosen_at_random_and_each_product_once() {
        let mut seen = BTreeSet::new();
        for random in 0..1000 {
            let chosen = recommend(
                &ids("A"),
                &[companions(&[("E", 1)])],
                ids("A B C D E F G H"),
                random,
            );
            assert_eq!(chosen.len(), RECOMMENDED_MAX);
            assert_eq!(chosen[0], id("E"));
            assert_eq!(
                chosen.iter().collect::<BTreeSet<_>>().len(),
                RECOMMENDED_MAX
            );
            seen.extend(chosen);
        }
        assert_eq!(names(&Vec::from_iter(seen)), "B C D E F G H");
    }

    #[test]
    fn without_anything_learned_or_sold_the_choice_is_still_sound() {
        assert_eq!(names(&recommend(&[], &[], ids("A"), 7)), "A");
        assert_eq!(recommend(&ids("A"), &[], ids("A"), 7), []);
        assert_eq!(recommend(&[], &[], Vec::new(), u128::MAX), []);
    }

    #[test]
    fn more_than_five_companions_are_cut_to_five() {
        let learned = [companions(&[
            ("B", 6),
            ("C", 5),
            ("D", 4),
            ("E", 3),
            ("F", 2),
            ("G", 1),
        ])];
        assert_eq!(
            names(&recommend(&ids("A"), &learned, ids("A G F E D C B"), 0)),
            "B C D E F"
        );
    }

    #[test]
    fn a_frequent_companion_outlasts_any_number_of_rare_ones() {
        let mut learned = Companions::default();
        for round in 0..10_000 {
            learned.count(&id(&format!("RARE-{round}")));
            if round % 10 == 0 {
                learned.count(&id("MUG"));
            }
            assert!(learned.times.len() <= COMPANIONS_MAX);
        }
        let most = learned
            .times
            .iter()
            .max_by_key(|(_, times)| **times)
            .unwrap();
        assert_eq!(most.0, &id("MUG"));
    }

    #[test]
    fn counts_are_halved_before_they_grow_without_end() {
        let mut learned = companions(&[("MUG", TIMES_MAX - 1), ("JAR", 7), ("HAT", 1)]);
        learned.count(&id("MUG"));
        assert_eq!(learned, companions(&[("MUG", TIMES_MAX / 2), ("JAR", 3)]));
    }

    #[test]
    fn a_product_counts_once_and_a_long_list_is_cut() {
        assert_eq!(names(&distinct(&ids("B A B A C"))), "B A C");
        let many: Vec<_> = (0..100).map(|n| id(&n.to_string())).collect();
        assert_eq!(distinct(&many).len(), PRODUCTS_MAX);
    }
}
