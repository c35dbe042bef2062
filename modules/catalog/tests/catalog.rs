//! Catalog alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use catalog::{Catalog, CatalogSettings};
use catalog_contract::{
    FindProducts, GetProduct, GetProductRefusal, ListProducts, Product, ProductId, SearchProducts,
};
use modulith_kernel::{Module, Setup, Stop};
use modulith_testkit::World;

fn id(id: &str) -> ProductId {
    ProductId::new(id).unwrap()
}

fn ids(products: &[Product]) -> Vec<&str> {
    products.iter().map(|product| product.id.as_str()).collect()
}

#[test]
fn the_shop_sells_its_nine_products_in_their_order() {
    World::of::<Catalog>(CatalogSettings::default()).run(async |world: &World| {
        let products = world.ask(ListProducts {}).await.unwrap();
        let rows: Vec<_> = products
            .iter()
            .map(|product| {
                let (units, cents) = (product.price.units(), product.price.nanos() / 10_000_000);
                let categories = product.categories.join(", ");
                format!(
                    "{} | {} | {units}.{cents} | {categories}",
                    product.id, product.name
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                "OLJCESPC7Z | Sunglasses | 19.99 | accessories",
                "66VCHSJNUP | Tank Top | 18.99 | clothing, tops",
                "1YMWWN1N4O | Watch | 109.99 | accessories",
                "L9ECAV7KIM | Loafers | 89.99 | footwear",
                "2ZYFJ3GM2N | Hairdryer | 24.99 | hair, beauty",
                "0PUK6V6EV0 | Candle Holder | 18.99 | decor, home",
                "LS4PSXUNUM | Salt & Pepper Shakers | 18.49 | kitchen",
                "9SIQT8TOJO | Bamboo Glass Jar | 5.49 | kitchen",
                "6E92ZMYYFZ | Mug | 8.99 | kitchen",
            ]
        );
        assert!(
            products
                .iter()
                .all(|product| product.price.currency().as_str() == "USD")
        );
    });
}

#[test]
fn a_product_is_got_by_id_and_an_unknown_one_refused() {
    World::of::<Catalog>(CatalogSettings::default()).run(async |world: &World| {
        let mug = world
            .ask(GetProduct {
                id: id("6E92ZMYYFZ"),
            })
            .await
            .unwrap();
        assert_eq!(mug.name, "Mug");
        assert_eq!(
            world.ask(GetProduct { id: id("TEAPOT") }).await,
            Err(Stop::Refused(GetProductRefusal::UnknownProduct {
                id: id("TEAPOT")
            }))
        );
    });
}

#[test]
fn several_products_come_in_the_order_asked_without_the_unknown_ones() {
    World::of::<Catalog>(CatalogSettings::default()).run(async |world: &World| {
        let asked = vec![id("6E92ZMYYFZ"), id("TEAPOT"), id("OLJCESPC7Z")];
        let found = world.ask(FindProducts { ids: asked }).await.unwrap();
        assert_eq!(ids(&found), ["6E92ZMYYFZ", "OLJCESPC7Z"]);
    });
}

#[test]
fn a_search_finds_products_whatever_the_case() {
    World::of::<Catalog>(CatalogSettings::default()).run(async |world: &World| {
        let search = async |query: &str| {
            let found = world
                .ask(SearchProducts {
                    query: query.to_string(),
                })
                .await
                .unwrap();
            ids(&found).join(" ")
        };
        assert_eq!(search("WATCH").await, "1YMWWN1N4O");
        assert_eq!(search("salt & pepper").await, "LS4PSXUNUM");
        assert_eq!(search("bamboo lid").await, "9SIQT8TOJO");
        assert_eq!(search("teapot").await, "");
    });
}

#[test]
fn a_file_of_products_takes_the_place_of_the_shops_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("teapots.toml");
    let text = "[[product]]\nid = \"TEAPOT\"\nname = \"Teapot\"\ndescription = \"Short and stout.\"\n\
                price_usd = \"12\"\npicture = \"/teapot.svg\"\ncategories = []\n";
    std::fs::write(&path, text).unwrap();
    World::of::<Catalog>(CatalogSettings {
        products: Some(path),
    })
    .run(async |world: &World| {
        assert_eq!(ids(&world.ask(ListProducts {}).await.unwrap()), ["TEAPOT"]);
    });
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |path: &std::path::Path| {
        let settings = CatalogSettings {
            products: Some(path.to_path_buf()),
        };
        let setup = Setup {
            folder: folder.path().to_path_buf(),
        };
        Catalog::new(&settings, &setup).unwrap_err().to_string()
    };

    let missing = refused(&folder.path().join("nowhere.toml"));
    assert!(
        missing.contains("nowhere.toml\" cannot be read"),
        "{missing}"
    );

    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, "[[product]]\nid = 7\n").unwrap();
    let wrong = refused(&wrong);
    assert!(
        wrong.ends_with("wrong.toml:2: invalid type: integer `7`, expected a string"),
        "{wrong}"
    );
}
