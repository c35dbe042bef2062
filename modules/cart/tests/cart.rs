//! The cart alone, through its contract.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use cart::Cart;
use cart_contract::{
    AddItem, AddItemRefusal, CartItem, CartSize, EmptyCart, GetCart, ItemAdded, ShopperId, TakeBought,
};
use catalog_contract::ProductId;
use modulith_kernel::{
    Declaration, Fault, Handle, Listen, Module, Outcome, Secret, Setup, SetupError, Stop, Table, Tx,
};
use modulith_testkit::{World, WorldBuilder};

#[test]
fn an_added_item_is_in_the_cart_even_after_a_restart() {
    cart(async |world| {
        assert_eq!(
            world.ask(add("ann", "MUG", 2)).await,
            Ok(CartSize { pieces: 2 })
        );
        assert_eq!(
            world.ask(add("ann", "WATCH", 1)).await,
            Ok(CartSize { pieces: 3 })
        );
        assert_eq!(
            world.ask(add("ann", "MUG", 1)).await,
            Ok(CartSize { pieces: 4 })
        );
        world.restart().await;
        assert_eq!(
            contents(world, "ann").await,
            [("MUG", 3), ("WATCH", 1)].map(item)
        );
    });
}

#[test]
fn carts_are_apart_and_an_unknown_shopper_has_an_empty_one() {
    cart(async |world| {
        world.ask(add("ann", "MUG", 2)).await.unwrap();
        assert_eq!(contents(world, "bob").await, []);
    });
}

#[test]
fn a_refused_item_leaves_the_cart_as_it_was_and_tells_nobody() {
    let heard = Arc::new(AtomicU64::default());
    let world = world(Arc::default()).with::<listener::Recommendation>(heard.clone());
    world.run(async |world| {
        heard.store(0, SeqCst);
        world.ask(add("ann", "MUG", 999)).await.unwrap();
        let refusal = AddItemRefusal::TooMany { quantity_max: 999 };
        assert_eq!(
            world.ask(add("ann", "MUG", 1)).await,
            Err(Stop::Refused(refusal))
        );
        assert_eq!(contents(world, "ann").await, [item(("MUG", 999))]);
        world.settled().await;
        assert_eq!(heard.load(SeqCst), 999);
    });
}

#[test]
fn a_cart_holds_fifty_products() {
    cart(async |world| {
        for number in 0..50 {
            world
                .ask(add("ann", &format!("P{number}"), 1))
                .await
                .unwrap();
        }
        let refusal = AddItemRefusal::CartIsFull { lines_max: 50 };
        assert_eq!(
            world.ask(add("ann", "P50", 1)).await,
            Err(Stop::Refused(refusal))
        );
    });
}

#[test]
fn an_emptied_cart_is_of_the_next_generation_and_emptying_it_again_changes_nothing() {
    cart(async |world| {
        world.ask(add("ann", "MUG", 2)).await.unwrap();
        world.ask(empty("ann")).await.unwrap();
        world.ask(empty("ann")).await.unwrap();
        assert_eq!(contents(world, "ann").await, []);
        assert_eq!(generation(world, "ann").await, 1);
    });
}

/// What was added while the cart was being bought used to be emptied with it.
#[test]
fn what_was_bought_is_taken_out_once_and_what_was_added_meanwhile_stays() {
    cart(async |world| {
        world.ask(add("ann", "MUG", 2)).await.unwrap();
        let take = TakeBought {
            shopper: shopper("ann"),
            generation: 0,
            items: vec![item(("MUG", 2))],
        };
        world.ask(add("ann", "MUG", 1)).await.unwrap();
        world.ask(add("ann", "WATCH", 1)).await.unwrap();
        for _ in 0..2 {
            world.ask(take.clone()).await.unwrap();
            let left = [("MUG", 1), ("WATCH", 1)].map(item);
            assert_eq!(contents(world, "ann").await, left);
            assert_eq!(generation(world, "ann").await, 1);
        }

        world.ask(empty("ann")).await.unwrap();
        world.ask(add("ann", "MUG", 2)).await.unwrap();
        let of_the_emptied = TakeBought {
            generation: 1,
            ..take
        };
        world.ask(of_the_emptied).await.unwrap();
        assert_eq!(contents(world, "ann").await, [item(("MUG", 2))]);
    });
}

#[test]
fn an_order_takes_what_was_bought_out_of_its_cart_and_of_no_later_one() {
    let bought = Arc::new(AtomicU64::default());
    world(bought.clone()).run(async |world| {
        bought.store(0, SeqCst);
        world.ask(add("ann", "MUG", 2)).await.unwrap();
        world.ask(add("bob", "MUG", 2)).await.unwrap();
        world.ask(seller::place_order("ann")).await.unwrap();
        world.settled().await;
        assert_eq!(contents(world, "ann").await, []);
        assert_eq!(contents(world, "bob").await, [item(("MUG", 2))]);

        // Two mugs of generation 0 were bought already.
        world.ask(add("ann", "MUG", 3)).await.unwrap();
        world.ask(seller::place_order("ann")).await.unwrap();
        world.settled().await;
        assert_eq!(contents(world, "ann").await, [item(("MUG", 3))]);

        bought.store(1, SeqCst);
        world.ask(seller::place_order("ann")).await.unwrap();
        world.settled().await;
        assert_eq!(contents(world, "ann").await, [item(("MUG", 1))]);
    });
}

fn cart(scenario: impl AsyncFn(&World)) {
    world(Arc::default()).run(scenario);
}

/// The cart, and a checkout that says it bought two mugs from carts of the generation given.
fn world(bought: Arc<AtomicU64>) -> WorldBuilder {
    World::of::<Cart>(()).with::<seller::Checkout>(bought)
}

async fn contents(world: &World, shopper_: &str) -> Vec<CartItem> {
    world
        .ask(GetCart {
            shopper: shopper(shopper_),
        })
        .await
        .unwrap()
        .items
}

async fn generation(world: &World, shopper_: &str) -> u64 {
    world
        .ask(GetCart {
            shopper: shopper(shopper_),
        })
        .await
        .unwrap()
        .generation
}

fn add(shopper_: &str, product: &str, quantity: u32) -> AddItem {
    AddItem {
        shopper: shopper(shopper_),
        item: item((product, quantity)),
    }
}

fn empty(shopper_: &str) -> EmptyCart {
    EmptyCart {
        shopper: shopper(shopper_),
    }
}

fn shopper(id: &str) -> ShopperId {
    ShopperId::new(id).unwrap()
}

fn item((product, quantity): (&str, u32)) -> CartItem {
    CartItem {
        product: ProductId::new(product).unwrap(),
        quantity: NonZeroU32::new(quantity).unwrap(),
    }
}

/// A stand-in for whoever listens to the cart: counts the pieces it is told of.
mod listener {
    use super::*;

    const HEARD: Table<(), u64> = Table::new("heard");

    pub(super) struct Recommendation(Arc<AtomicU64>);

    impl Module for Recommendation {
        const NAME: &'static str = "recommendation";
        type Settings = Arc<AtomicU64>;

        fn new(heard: &Arc<AtomicU64>, _: &Setup) -> Result<Self, SetupError> {
            Ok(Self(heard.clone()))
        }

        fn declare(declaration: &mut Declaration<Self>) {
            declaration.listens::<ItemAdded>();
        }
    }

    impl Listen<ItemAdded> for Recommendation {
        fn listen(&self, event: ItemAdded, tx: &mut Tx<'_>) -> Result<(), Fault> {
            let pieces =
                tx.get(&HEARD, &())?.unwrap_or_default() + u64::from(event.item.quantity.get());
            self.0.store(pieces, SeqCst);
            tx.put(&HEARD, &(), &pieces)
        }
    }
}

/// A stand-in for checkout: two mugs are bought from the cart of the generation set.
mod seller {
    use checkout_contract::{EmailAddress, Order, OrderId, OrderItem, OrderPlaced, PlaceOrder};
    use currency_contract::{CurrencyCode, Money};
    use payment_contract::{CardNumber, CreditCard, Cvv};
    use shipping_contract::{Address, TrackingId};

    use super::*;

    pub(super) struct Checkout(Arc<AtomicU64>);

    impl Module for Checkout {
        const NAME: &'static str = "checkout";
        type Settings = Arc<AtomicU64>;

        fn new(generation: &Arc<AtomicU64>, _: &Setup) -> Result<Self, SetupError> {
            Ok(Self(generation.clone()))
        }

        fn declare(declaration: &mut Declaration<Self>) {
            declaration
                .handles::<PlaceOrder>()
                .publishes::<OrderPlaced>();
        }
    }

    impl Handle<PlaceOrder> for Checkout {
        fn handle(&self, command: PlaceOrder, tx: &mut Tx<'_>) -> Outcome<PlaceOrder> {
            let order = Order {
                id: OrderId::new(format!("{:x}", tx.random_u128())).unwrap(),
                shopper: command.shopper.clone(),
                tracking: TrackingId::new("AA-0000-0000000").unwrap(),
                shipping_cost: Money::zero(command.currency.clone()),
                address: command.address,
                items: vec![OrderItem {
                    item: item(("MUG", 2)),
                    cost: Money::zero(command.currency.clone()),
                }],
                total: Money::zero(command.currency),
                placed_at: tx.now(),
            };
            tx.publish(&OrderPlaced {
                shopper: command.shopper,
                cart_generation: self.0.load(SeqCst),
                order: order.clone(),
            })?;
            Ok(order)
        }
    }

    pub(super) fn place_order(shopper_: &str) -> PlaceOrder {
        PlaceOrder {
            shopper: shopper(shopper_),
            currency: CurrencyCode::new("USD").unwrap(),
            address: Address {
                street: "1 Long Row".to_string(),
                city: "Anytown".to_string(),
                state: "AT".to_string(),
                country: "Switzerland".to_string(),
                zip_code: 8001,
            },
            email: EmailAddress::new("ann@example.com").unwrap(),
            card: Secret::new(CreditCard {
                number: CardNumber::new("4432801561520454").unwrap(),
                cvv: Cvv(672),
                expiration_year: 2030,
                expiration_month: 1,
            }),
        }
    }
}
