//! A shopper: fills a cart, orders, asks again when something goes wrong, and remembers what came
//! of it.

use std::{num::NonZeroU32, time::Duration};

use cart_contract::{AddItem, CartItem, GetCart, ShopperId};
use catalog_contract::ProductId;
use checkout_contract::{EmailAddress, Order, PlaceOrder, PlaceOrderRefusal};
use currency_contract::CurrencyCode;
use modulith_kernel::{Outcome, Port, Secret, Stop};
use payment_contract::{CardNumber, CreditCard, Cvv};
use recommendation_contract::ListRecommendations;
use shipping_contract::Address;
use tokio::time::sleep;

/// What shoppers choose from, all of it in the shop's catalog.
const PRODUCTS: [&str; 4] = ["OLJCESPC7Z", "66VCHSJNUP", "1YMWWN1N4O", "L9ECAV7KIM"];

const CURRENCIES: [&str; 3] = ["USD", "EUR", "JPY"];

/// How often a shopper tries to order one cart.
const ORDER_TRIES_MAX: u32 = 40;

/// How often she sends one form before she asks for another.
const SAME_FORM_TRIES: u32 = 3;

/// How often she tries to add what must be added.
const ADD_TRIES_MAX: u32 = 10;

/// The pause between two tries.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// What a shopper does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Puts something into the cart; `again` says whether a fault is answered by another try.
    Add {
        product: u8,
        pieces: u8,
        again: bool,
    },
    /// Looks at the cart and at recommendations.
    Look,
    /// Orders what is in the cart, once or until it is bought or refused.
    Order {
        card: Card,
        currency: u8,
        until_done: bool,
    },
    /// Does nothing for a while, in milliseconds.
    Wait(u64),
}

/// Whether the shop takes the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Card {
    Good,
    Expired,
}

/// One shopper, and what she knows.
pub(crate) struct Shopper {
    pub(crate) id: ShopperId,
    port: Port,
    /// The pieces that were certainly added.
    pub(crate) surely_added: u64,
    /// The pieces that may have been added besides.
    pub(crate) perhaps_added: u64,
    /// The pieces that were perhaps added when an order may not have emptied the cart yet.
    pub(crate) added_amid_order: u64,
    /// The orders she was shown.
    pub(crate) orders: Vec<Order>,
    has_ordered: bool,
    /// How many forms she has filled in; each is known by its number.
    forms: u32,
}

impl Shopper {
    pub(crate) fn new(number: usize, port: Port) -> Self {
        Self {
            id: ShopperId::new(format!("shopper-{number}")).expect("a plain id"),
            port,
            surely_added: 0,
            perhaps_added: 0,
            added_amid_order: 0,
            orders: Vec::new(),
            has_ordered: false,
            forms: 0,
        }
    }

    /// Does one thing, whatever comes of it.
    pub(crate) async fn act(&mut self, action: Action) {
        match action {
            Action::Add {
                product,
                pieces,
                again,
            } => {
                self.add(product, pieces, if again { 2 } else { 1 }).await;
            }
            Action::Look => self.look().await,
            Action::Order {
                card,
                currency,
                until_done,
            } => {
                let tries = if until_done { ORDER_TRIES_MAX } else { 1 };
                self.order(card, currency, tries).await;
            }
            Action::Wait(ms) => sleep(Duration::from_millis(ms)).await,
        }
    }

    /// Adds to the cart, trying so often at most. False when it may or may not be there.
    async fn add(&mut self, product: u8, pieces: u8, tries: u32) -> bool {
        let product = PRODUCTS[usize::from(product) % PRODUCTS.len()];
        let quantity = NonZeroU32::new(u32::from(pieces)).unwrap_or(NonZeroU32::MIN);
        let command = AddItem {
            shopper: self.id.clone(),
            item: CartItem {
                product: ProductId::new(product).expect("a plain id"),
                quantity,
            },
        };
        let quantity = u64::from(quantity.get());
        if self.has_ordered {
            self.added_amid_order += quantity;
        }
        let once = self.fill_in_form();
        for _ in 0..tries {
            match once.ask(command.clone()).await {
                Ok(_) => {
                    self.surely_added += quantity;
                    return true;
                }
                Err(Stop::Refused(_)) => return true,
                Err(Stop::Fault(_)) => {}
            }
        }
        self.perhaps_added += quantity;
        false
    }

    /// What is asked through the port takes effect once.
    fn fill_in_form(&mut self) -> Port {
        self.forms += 1;
        self.port.idempotent(&format!("{}/{}", self.id, self.forms))
    }

    async fn look(&self) {
        let shopper = self.id.clone();
        let cart = self.port.ask(GetCart { shopper }).await;
        let items = cart.map(|cart| cart.items).unwrap_or_default();
        let products = items.into_iter().map(|item| item.product).collect();
        // Pages do without recommendations.
        _ = self.port.ask(ListRecommendations { products }).await;
    }

    /// Orders until it is bought or certainly not, at most so often. True when that is known.
    pub(crate) async fn order(&mut self, card: Card, currency: u8, tries: u32) -> bool {
        let mut once = self.fill_in_form();
        for attempt in 0..tries {
            if attempt > 0 {
                sleep(TRY_AGAIN).await;
            }
            // An order that failed has failed for good: another is made on another form.
            if attempt % SAME_FORM_TRIES == SAME_FORM_TRIES - 1 {
                once = self.fill_in_form();
            }
            self.has_ordered = true;
            let command = place_order(&self.id, card, currency);
            match once.ask(command).await {
                Ok(order) => {
                    self.orders.push(order);
                    return true;
                }
                Err(Stop::Fault(_)) => {}
                // Another attempt is on its way, or this one was cut short before its charge.
                Err(Stop::Refused(
                    PlaceOrderRefusal::InProgress | PlaceOrderRefusal::Interrupted,
                )) => once = self.fill_in_form(),
                Err(Stop::Refused(_)) => return true,
            }
        }
        false
    }

    /// Asks until there is an answer: for the audit, when nothing goes wrong any more.
    pub(crate) async fn add_surely(&mut self) {
        while !self.add(0, 1, ADD_TRIES_MAX).await {
            sleep(TRY_AGAIN).await;
        }
    }

    pub(crate) async fn cart(&self) -> Outcome<GetCart> {
        let shopper = self.id.clone();
        self.port.ask(GetCart { shopper }).await
    }
}

fn place_order(shopper: &ShopperId, card: Card, currency: u8) -> PlaceOrder {
    let currency = CURRENCIES[usize::from(currency) % CURRENCIES.len()];
    PlaceOrder {
        shopper: shopper.clone(),
        currency: CurrencyCode::new(currency).expect("a plain code"),
        address: Address {
            street: "1 Long Row".to_string(),
            city: "Anytown".to_string(),
            state: "AT".to_string(),
            country: "Switzerland".to_string(),
            zip_code: 10_001,
        },
        email: EmailAddress::new("ann@example.com").expect("a plain address"),
        card: Secret::new(CreditCard {
            number: CardNumber::new("4432 8015 6152 0454").expect("a good number"),
            cvv: Cvv(672),
            expiration_year: match card {
                Card::Good => 2039,
                Card::Expired => 2020,
            },
            expiration_month: 1,
        }),
    }
}
