//! Finding products among all there are.

use std::collections::HashMap;

use catalog_contract::{Product, ProductId};

/// All products, ready to be found.
#[derive(Debug)]
pub(crate) struct Products {
    in_order: Vec<Product>,
    places: HashMap<ProductId, usize>,
    /// Name and description of each, in lower case.
    searched: Vec<[String; 2]>,
}

impl Products {
    /// Takes products of which no two share an id.
    pub(crate) fn new(in_order: Vec<Product>) -> Self {
        let ids = in_order.iter().map(|product| product.id.clone());
        let places = ids.zip(0..).collect();
        let searched = in_order
            .iter()
            .map(|product| {
                [
                    product.name.to_lowercase(),
                    product.description.to_lowercase(),
                ]
            })
            .collect();
        Self {
            in_order,
            places,
            searched,
        }
    }

    /// Every product, in the catalog's order.
    pub(crate) fn all(&self) -> &[Product] {
        &self.in_order
    }

    pub(crate) fn get(&self, id: &ProductId) -> Option<&Product> {
        self.places.get(id).map(|&place| &self.in_order[place])
    }

    /// Those whose name or description contains `text`, whatever its case.
    pub(crate) fn search(&self, text: &str) -> impl Iterator<Item = &Product> {
        let text = text.to_lowercase();
        self.in_order
            .iter()
            .zip(&self.searched)
            .filter(move |(_, searched)| searched.iter().any(|own| own.contains(&text)))
            .map(|(product, _)| product)
    }
}

#[cfg(test)]
mod tests {
    use currency_contract::{CurrencyCode, Money};

    use super::*;

    fn product(id: &str, name: &str, description: &str) -> Product {
        Product {
            id: ProductId::new(id).unwrap(),
            name: name.to_string(),
            description: description.to_string(),
            picture: String::new(),
            price: Money::zero(CurrencyCode::new("USD").unwrap()),
            categories: Vec::new(),
        }
    }

    fn products() -> Products {
        Products::new(vec![
            product("A", "Mug", "Holds coffee."),
            product("B", "Café Chair", "For those who drink it."),
            product("C", "Jar", "Keeps COFFEE fresh."),
        ])
    }

    #[track_caller]
    fn check_search(text: &str, ids: &[&str]) {
        let products = products();
        let found: Vec<_> = products
            .search(text)
            .map(|product| product.id.as_str())
            .collect();
        assert_eq!(found, ids, "{text}");
    }

    #[test]
    fn a_search_looks_into_names_and_descriptions_whatever_the_case() {
        check_search("coffee", &["A", "C"]);
        check_search("MUG", &["A"]);
        check_search("CAFÉ", &["B"]);
        check_search("it.", &["B"]);
    }

    #[test]
    fn a_search_does_not_run_from_a_name_into_its_description() {
        check_search("mugholds", &[]);
        check_search("mug holds", &[]);
    }

    #[test]
    fn an_empty_text_is_in_every_product_and_a_strange_one_in_none() {
        check_search("", &["A", "B", "C"]);
        check_search("teapot", &[]);
    }

    #[test]
    fn a_product_is_found_by_its_id_alone() {
        let products = products();
        let get = |id| {
            products
                .get(&ProductId::new(id).unwrap())
                .map(|p| p.name.as_str())
        };
        assert_eq!(get("C"), Some("Jar"));
        assert_eq!(get("c"), None);
        assert_eq!(get("Mug"), None);
    }
}
