//! Recommendation alone, through its contract, with a catalog and a checkout that only pretend.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::num::NonZeroU32;

use cart_contract::{CartItem, ShopperId};
use catalog_contract::{ListProducts, Product, ProductId};
use checkout_contract::{EmailAddress, Order, OrderId, OrderItem, OrderPlaced, PlaceOrder};
use currency_contract::{CurrencyCode, Money};
use modulith_kernel::{
    Answer, Context, Declaration, Handle, Module, Outcome, Secret, Setup, SetupError, Tx,
};
use modulith_testkit::{World, WorldBuilder};
use payment_contract::{CardNumber, CreditCard, Cvv};
use recommendation::Recommendation;
use recommendation_contract::ListRecommendations;
use shipping_contract::{Address, TrackingId};

const ON_SALE: [&str; 9] = ["A", "B", "C", "D", "E", "F", "G", "H", "I"];

fn id(id: &str) -> ProductId {
    ProductId::new(id).unwrap()
}

fn dollars(units: i64) -> Money {
    Money::new(CurrencyCode::new("USD").unwrap(), units, 0).unwrap()
}

/// Sells nine products, of which only the ids matter here.
struct Catalog;

impl Module for Catalog {
    const NAME: &'static str = "catalog";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.answers::<ListProducts>();
    }
}

impl Answer<ListProducts> for Catalog {
    async fn answer(&self, _: ListProducts, _: &Context) -> Outcome<ListProducts> {
        let product = |name: &str| Product {
            id: id(name),
            name: name.to_string(),
            description: String::new(),
            picture: String::new(),
            price: dollars(1),
            categories: Vec::new(),
        };
        Ok(ON_SALE.into_iter().map(product).collect())
    }
}

/// Places an order of the products that the shopper is called after: `A:B:C` buys one of each.
struct Checkout;

impl Module for Checkout {
    const NAME: &'static str = "checkout";
    type Settings = ();

    fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
        Ok(Self)
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .handles::<PlaceOrder>()
            .publishes::<OrderPlaced>();
    }
}

impl Handle<PlaceOrder> for Checkout {
    fn handle(&self, command: PlaceOrder, tx: &mut Tx<'_>) -> Outcome<PlaceOrder> {
        let line = |product: &str| OrderItem {
            item: CartItem {
                product: id(product),
                quantity: NonZeroU32::MIN,
            },
            cost: dollars(1),
        };
        let order = Order {
            id: OrderId::new("order-1").unwrap(),
            shopper: command.shopper.clone(),
            tracking: TrackingId::new("AB-1").unwrap(),
            shipping_cost: dollars(0),
            address: command.address,
            items: command.shopper.as_str().split(':').map(line).collect(),
            total: dollars(1),
            placed_at: tx.now(),
        };
        let shopper = command.shopper;
        tx.publish(&OrderPlaced {
            shopper,
            cart_generation: 0,
            order: order.clone(),
        })?;
        Ok(order)
    }
}

async fn buy_together(world: &World, products: &str) {
    let order = PlaceOrder {
        shopper: ShopperId::new(products).unwrap(),
        currency: CurrencyCode::new("USD").unwrap(),
        address: Address {
            street: "1 Main Street".to_string(),
            city: "Springfield".to_string(),
            state: "OR".to_string(),
            country: "United States".to_string(),
            zip_code: 97477,
        },
        email: EmailAddress::new("someone@example.com").unwrap(),
        card: Secret::new(CreditCard {
            number: CardNumber::new("4432801561520454").unwrap(),
            cvv: Cvv(672),
            expiration_year: 2039,
            expiration_month: 1,
        }),
    };
    world.ask(order).await.unwrap();
}

async fn recommended(world: &World, given: &[&str]) -> Vec<ProductId> {
    let products = given.iter().copied().map(id).collect();
    world.ask(ListRecommendations { products }).await.unwrap()
}

fn shop() -> WorldBuilder {
    World::of::<Recommendation>(())
        .with::<Catalog>(())
        .with::<Checkout>(())
}

#[test]
fn with_nothing_learned_five_others_are_recommended() {
    shop().run(async |world: &World| {
        let chosen = recommended(world, &["A", "B"]).await;
        assert_eq!(chosen.len(), 5);
        assert!(
            chosen
                .iter()
                .all(|product| ON_SALE[2..].contains(&product.as_str()))
        );
    });
}

#[test]
fn what_was_bought_together_comes_first_even_after_a_restart() {
    shop().run(async |world: &World| {
        for order in ["A:H", "A:H:D", "A:D", "A:H", "B:C"] {
            buy_together(world, order).await;
        }
        world.settled().await;
        for _ in 0..2 {
            let chosen = recommended(world, &["A"]).await;
            assert_eq!(chosen[..2], [id("H"), id("D")]);
            assert_eq!(chosen.len(), 5);
            let chosen = recommended(world, &["C"]).await;
            assert_eq!(chosen[0], id("B"));
            world.restart().await;
        }
    });
}

#[test]
fn an_order_of_one_product_teaches_nothing() {
    shop().run(async |world: &World| {
        buy_together(world, "A").await;
        buy_together(world, "A:A").await;
        world.settled().await;
        assert_eq!(recommended(world, &["A"]).await.len(), 5);
        assert_eq!(recommended(world, &ON_SALE[..8]).await, [id("I")]);
    });
}

#[test]
fn with_everything_given_nothing_is_left_to_recommend() {
    shop().run(async |world: &World| {
        assert_eq!(recommended(world, &ON_SALE).await, []);
    });
}
