//! The ads, and which of them fit a page.

use ad_contract::Ad;

/// An ad as it is kept: what it says, the product it leads to, and the shelves it belongs to.
struct Entry {
    categories: &'static [&'static str],
    product: &'static str,
    text: &'static str,
}

/// Every ad, at least one for each category of the catalog.
const ADS: [Entry; 9] = [
    Entry {
        categories: &["accessories"],
        product: "OLJCESPC7Z",
        text: "The sun is early this year. Sunglasses, ready when it is.",
    },
    Entry {
        categories: &["clothing", "tops"],
        product: "66VCHSJNUP",
        text: "One tank top, three stripes, a whole summer.",
    },
    Entry {
        categories: &["accessories"],
        product: "1YMWWN1N4O",
        text: "Be on time in style: a watch that never needs a charger.",
    },
    Entry {
        categories: &["footwear"],
        product: "L9ECAV7KIM",
        text: "Step in, walk out: loafers for people in a hurry.",
    },
    Entry {
        categories: &["hair", "beauty"],
        product: "2ZYFJ3GM2N",
        text: "Five more minutes in bed, courtesy of a better hairdryer.",
    },
    Entry {
        categories: &["decor", "home"],
        product: "0PUK6V6EV0",
        text: "Switch off the lamp. A candle holder does the rest.",
    },
    Entry {
        categories: &["kitchen"],
        product: "LS4PSXUNUM",
        text: "Dinner is a matter of taste. Salt and pepper, side by side.",
    },
    Entry {
        categories: &["kitchen"],
        product: "9SIQT8TOJO",
        text: "Keeps the biscuits crisp and in plain sight: the bamboo glass jar.",
    },
    Entry {
        categories: &["kitchen"],
        product: "6E92ZMYYFZ",
        text: "Monday comes with coffee. Coffee comes in a mug.",
    },
];

/// The ads of any of some categories, each once; without one that fits, the ad that `random`
/// points at.
pub(crate) fn choose(categories: &[String], random: u128) -> Vec<Ad> {
    let fits = |entry: &&Entry| {
        entry
            .categories
            .iter()
            .any(|own| categories.iter().any(|asked| asked == own))
    };
    let fitting: Vec<Ad> = ADS.iter().filter(fits).map(Entry::to_ad).collect();
    if fitting.is_empty() {
        // The remainder is below the number of ads, which is a `usize`.
        let place = (random % ADS.len() as u128) as usize;
        return vec![ADS[place].to_ad()];
    }
    fitting
}

impl Entry {
    fn to_ad(&self) -> Ad {
        Ad {
            redirect_url: format!("/product/{}", self.product),
            text: self.text.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn chosen(categories: &[&str], random: u128) -> Vec<String> {
        let categories: Vec<_> = categories.iter().map(ToString::to_string).collect();
        choose(&categories, random)
            .into_iter()
            .map(|ad| ad.redirect_url)
            .collect()
    }

    #[test]
    fn a_category_has_its_own_ads() {
        assert_eq!(chosen(&["footwear"], 0), ["/product/L9ECAV7KIM"]);
        assert_eq!(
            chosen(&["kitchen"], 7),
            [
                "/product/LS4PSXUNUM",
                "/product/9SIQT8TOJO",
                "/product/6E92ZMYYFZ"
            ]
        );
    }

    #[test]
    fn an_ad_of_two_categories_comes_once() {
        assert_eq!(
            chosen(&["hair", "beauty", "hair"], 0),
            ["/product/2ZYFJ3GM2N"]
        );
    }

    #[test]
    fn without_a_fitting_category_there_is_one_at_random_and_any_of_them() {
        for categories in [&[][..], &["gardens"], &["Kitchen"]] {
            let seen: BTreeSet<_> = (0..ADS.len() as u128)
                .map(|random| {
                    let ads = chosen(categories, random);
                    assert_eq!(ads.len(), 1);
                    ads[0].clone()
                })
                .collect();
            assert_eq!(seen.len(), ADS.len());
        }
        assert_eq!(chosen(&[], u128::MAX).len(), 1);
    }

    #[test]
    fn every_category_of_the_catalog_has_an_ad() {
        for category in [
            "accessories",
            "clothing",
            "tops",
            "footwear",
            "hair",
            "beauty",
            "decor",
            "home",
            "kitchen",
        ] {
            assert!(
                ADS.iter().any(|ad| ad.categories.contains(&category)),
                "{category}"
            );
        }
    }
}
