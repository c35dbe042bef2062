//! Ad alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use ad::Ad;
use ad_contract::GetAds;
use modulith_testkit::World;

async fn ads(world: &World, categories: &[&str]) -> Vec<ad_contract::Ad> {
    let categories = categories.iter().map(ToString::to_string).collect();
    world.ask(GetAds { categories }).await.unwrap()
}

#[test]
fn a_category_gets_its_own_ads() {
    World::of::<Ad>(()).run(async |world: &World| {
        let ads = ads(world, &["footwear"]).await;
        assert_eq!(ads.len(), 1);
        assert_eq!(ads[0].redirect_url, "/product/L9ECAV7KIM");
        assert!(!ads[0].text.is_empty());
    });
}

#[test]
fn a_page_without_categories_gets_one_ad_that_leads_to_a_product() {
    World::of::<Ad>(()).run(async |world: &World| {
        for categories in [&[][..], &["gardens"]] {
            let ads = ads(world, categories).await;
            assert_eq!(ads.len(), 1);
            assert!(
                ads[0].redirect_url.starts_with("/product/"),
                "{}",
                ads[0].redirect_url
            );
        }
    });
}
