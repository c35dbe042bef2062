//! Stand-ins for all that checkout asks, acting from one script and writing down what they did.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU32,
    time::Duration,
};

use cart_contract::{Cart, CartItem, GetCart, ShopperId, TakeBought};
use catalog_contract::{FindProducts, Product, ProductId};
use checkout::Checkout;
use checkout_contract::{EmailAddress, OrderId, OrderPlaced, PlaceOrder};
use currency_contract::{ConvertAll, ConvertRefusal, CurrencyCode, Money};
use email_contract::SendConfirmation;
use modulith_kernel::{
    Answer, Conduct, Context, Declaration, Fault, Flow, Listen, Message, Module, Outcome, Secret,
    Setup, SetupError, Tx,
};
use modulith_testkit::World;
use payment_contract::{
    CardNumber, Charge, ChargeReference, ChargeRefusal, CreditCard, Cvv, Refund, TransactionId,
};
use shipping_contract::{
    Address, CancelShipment, GetQuote, ShipOrder, ShipOrderRefusal, ShipmentReference, TrackingId,
};
use tokio::{sync::watch, time::timeout};

/// How long a test waits for something to happen before it fails.
const UNTIL_MAX: Duration = Duration::from_secs(10);

/// Runs a scenario on checkout and its stand-ins, with two mugs and a watch in ann's cart.
pub(crate) fn shop(scenario: impl AsyncFn(&World, &Script)) {
    let script = Script(watch::Sender::new(Play::default()));
    World::of::<Checkout>(())
        .with::<stand_in::Cart>(script.clone())
        .with::<stand_in::Catalog>(script.clone())
        .with::<stand_in::Currency>(script.clone())
        .with::<stand_in::Shipping>(script.clone())
        .with::<stand_in::Payment>(script.clone())
        .with::<stand_in::Email>(script.clone())
        .with::<stand_in::Recommendation>(script.clone())
        .run(async |world: &World| {
            script.0.send_replace(Play {
                cart: Cart {
                    items: vec![item("MUG", 2), item("WATCH", 1)],
                    generation: 7,
                },
                ..Play::default()
            });
            scenario(world, &script).await;
        });
}

/// What the stand-ins are to do, and what they have done.
#[derive(Clone)]
pub(crate) struct Script(watch::Sender<Play>);

#[derive(Default)]
pub(crate) struct Play {
    pub(crate) cart: Cart,
    pub(crate) convert_refusal: Option<ConvertRefusal>,
    pub(crate) charge_refusal: Option<ChargeRefusal>,
    pub(crate) ship_refusal: Option<ShipOrderRefusal>,
    faults: BTreeMap<&'static str, (Fault, usize)>,
    held: BTreeSet<&'static str>,

    pub(crate) asked: Vec<&'static str>,
    pub(crate) charged: Vec<(ChargeReference, Money)>,
    pub(crate) refunded: Vec<ChargeReference>,
    pub(crate) shipped: Vec<ShipmentReference>,
    pub(crate) cancelled: Vec<ShipmentReference>,
    pub(crate) taken: Vec<TakeBought>,
    pub(crate) letters: Vec<(EmailAddress, OrderId)>,
    pub(crate) heard: Vec<OrderPlaced>,
}

impl Script {
    /// Changes what is to be done.
    pub(crate) fn set(&self, change: impl FnOnce(&mut Play)) {
        self.0.send_modify(change);
    }

    /// Lets every message `M` fail until it is mended.
    pub(crate) fn fail_always<M: Message>(&self, fault: Fault) {
        self.fail::<M>(fault, usize::MAX);
    }

    pub(crate) fn mend<M: Message>(&self) {
        self.set(|play| _ = play.faults.remove(M::NAME));
    }

    /// Lets the next `times` messages `M` fail.
    pub(crate) fn fail<M: Message>(&self, fault: Fault, times: usize) {
        self.set(|play| _ = play.faults.insert(M::NAME, (fault, times)));
    }

    /// Lets every message `M` wait until it is released.
    pub(crate) fn hold<M: Message>(&self) {
        self.set(|play| _ = play.held.insert(M::NAME));
    }

    pub(crate) fn release<M: Message>(&self) {
        self.set(|play| _ = play.held.remove(M::NAME));
    }

    /// Waits until a message `M` has arrived.
    pub(crate) async fn reached<M: Message>(&self) {
        self.until(|play| play.asked.contains(&M::NAME)).await;
    }

    /// Waits until the stand-ins have done something.
    pub(crate) async fn until(&self, done: impl FnMut(&Play) -> bool) {
        let mut plays = self.0.subscribe();
        if timeout(UNTIL_MAX, plays.wait_for(done)).await.is_err() {
            panic!(
                "still waiting after {UNTIL_MAX:?}; asked so far: {:?}",
                self.asked()
            );
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Play) -> T) -> T {
        read(&self.0.borrow())
    }

    /// The names of the messages asked since this was last called, in order.
    pub(crate) fn asked(&self) -> Vec<&'static str> {
        let mut asked = Vec::new();
        self.set(|play| asked = std::mem::take(&mut play.asked));
        asked
    }

    /// Notes that a message arrived, and what then stands in its way.
    async fn arrives<M: Message>(&self) -> Result<(), Fault> {
        self.set(|play| play.asked.push(M::NAME));
        let mut plays = self.0.subscribe();
        _ = plays.wait_for(|play| !play.held.contains(M::NAME)).await;
        let mut failing = None;
        self.set(|play| {
            if let Some((fault, times)) = play.faults.get_mut(M::NAME).filter(|fault| fault.1 > 0) {
                *times -= 1;
                failing = Some(fault.clone());
            }
        });
        failing.map_or(Ok(()), Err)
    }
}

/// The modules that checkout asks. Commands are conducted, so that they may wait for the script.
pub(crate) mod stand_in {
    use super::*;

    macro_rules! stand_in {
        ($type:ident, $module:literal, $($verb:ident $message:ty),+) => {
            pub(crate) struct $type(Script);

            impl Module for $type {
                const NAME: &'static str = $module;
                type Settings = Script;

                fn new(script: &Script, _: &Setup) -> Result<Self, SetupError> {
                    Ok(Self(script.clone()))
                }

                fn declare(declaration: &mut Declaration<Self>) {
                    declaration$(.$verb::<$message>())+;
                }
            }
        };
    }

    stand_in!(Cart, "cart", answers GetCart, conducts TakeBought);
    stand_in!(Catalog, "catalog", answers FindProducts);
    stand_in!(Currency, "currency", answers ConvertAll);
    stand_in!(Shipping, "shipping", answers GetQuote, conducts ShipOrder, conducts CancelShipment);
    stand_in!(Payment, "payment", conducts Charge, conducts Refund);
    stand_in!(Email, "email", conducts SendConfirmation);
    stand_in!(Recommendation, "recommendation", listens OrderPlaced);

    impl Answer<GetCart> for Cart {
        async fn answer(&self, _: GetCart, _: &Context) -> Outcome<GetCart> {
            self.0.arrives::<GetCart>().await?;
            Ok(self.0.read(|play| play.cart.clone()))
        }
    }

    /// Leaves the cart as it is, so that the next order meets it again.
    impl Conduct<TakeBought> for Cart {
        async fn conduct(&self, command: TakeBought, _: &Flow) -> Outcome<TakeBought> {
            self.0.set(|play| play.taken.push(command));
            Ok(self.0.arrives::<TakeBought>().await?)
        }
    }

    impl Answer<FindProducts> for Catalog {
        async fn answer(&self, query: FindProducts, _: &Context) -> Outcome<FindProducts> {
            self.0.arrives::<FindProducts>().await?;
            let sold = [product("MUG", 8), product("WATCH", 109)];
            let is_wanted = |product: &Product| query.ids.contains(&product.id);
            Ok(sold.into_iter().filter(is_wanted).collect())
        }
    }

    /// Every currency is worth half a dollar.
    impl Answer<ConvertAll> for Currency {
        async fn answer(&self, query: ConvertAll, _: &Context) -> Outcome<ConvertAll> {
            self.0.arrives::<ConvertAll>().await?;
            if let Some(refusal) = self.0.read(|play| play.convert_refusal.clone()) {
                return Err(refusal.into());
            }
            Ok(query
                .from
                .iter()
                .map(|from| money(query.to.as_str(), from.units() * 2))
                .collect())
        }
    }

    impl Answer<GetQuote> for Shipping {
        async fn answer(&self, _: GetQuote, _: &Context) -> Outcome<GetQuote> {
            self.0.arrives::<GetQuote>().await?;
            Ok(money("USD", 9))
        }
    }

    impl Conduct<ShipOrder> for Shipping {
        async fn conduct(&self, command: ShipOrder, _: &Flow) -> Outcome<ShipOrder> {
            self.0.arrives::<ShipOrder>().await?;
            if let Some(refusal) = self.0.read(|play| play.ship_refusal.clone()) {
                return Err(refusal.into());
            }
            self.0.set(|play| play.shipped.push(command.reference));
            Ok(TrackingId::new("MQ-2281-7184512").unwrap())
        }
    }

    impl Conduct<CancelShipment> for Shipping {
        async fn conduct(&self, command: CancelShipment, _: &Flow) -> Outcome<CancelShipment> {
            self.0.arrives::<CancelShipment>().await?;
            self.0.set(|play| play.cancelled.push(command.reference));
            Ok(())
        }
    }

    impl Conduct<Charge> for Payment {
        async fn conduct(&self, command: Charge, _: &Flow) -> Outcome<Charge> {
            self.0.arrives::<Charge>().await?;
            if let Some(refusal) = self.0.read(|play| play.charge_refusal.clone()) {
                return Err(refusal.into());
            }
            if command.card.reveal().is_none() {
                return Err(ChargeRefusal::CardWithheld.into());
            }
            self.0
                .set(|play| play.charged.push((command.reference, command.amount)));
            Ok(TransactionId::new("transaction").unwrap())
        }
    }

    impl Conduct<Refund> for Payment {
        async fn conduct(&self, command: Refund, _: &Flow) -> Outcome<Refund> {
            self.0.arrives::<Refund>().await?;
            self.0.set(|play| play.refunded.push(command.reference));
            Ok(())
        }
    }

    impl Conduct<SendConfirmation> for Email {
        async fn conduct(
            &self,
            command: SendConfirmation,
            _: &Flow,
        ) -> Outcome<SendConfirmation> {
            self.0.arrives::<SendConfirmation>().await?;
            self.0
                .set(|play| play.letters.push((command.to, command.order.id)));
            Ok(())
        }
    }

    impl Listen<OrderPlaced> for Recommendation {
        fn listen(&self, event: OrderPlaced, _: &mut Tx<'_>) -> Result<(), Fault> {
            self.0.set(|play| play.heard.push(event));
            Ok(())
        }
    }
}

/// What ann sends to buy her cart.
pub(crate) fn place_order() -> PlaceOrder {
    PlaceOrder {
        shopper: ShopperId::new("ann").unwrap(),
        currency: CurrencyCode::new("EUR").unwrap(),
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

pub(crate) fn item(product: &str, quantity: u32) -> CartItem {
    CartItem {
        product: ProductId::new(product).unwrap(),
        quantity: NonZeroU32::new(quantity).unwrap(),
    }
}

pub(crate) fn money(code: &str, units: i64) -> Money {
    Money::new(CurrencyCode::new(code).unwrap(), units, 0).unwrap()
}

fn product(id: &str, price: i64) -> Product {
    Product {
        id: ProductId::new(id).unwrap(),
        name: id.to_string(),
        description: String::new(),
        picture: String::new(),
        price: money("USD", price),
        categories: Vec::new(),
    }
}
