//! Placing an order, step by step.

use std::time::Duration;

use cart_contract::{Cart, CartItem, GetCart, TakeBought};
use catalog_contract::FindProducts;
use checkout_contract::{Order, OrderId, PlaceOrder, PlaceOrderRefusal};
use currency_contract::{ConvertAll, InvalidMoney};
use email_contract::SendConfirmation;
use modulith_kernel::{Fault, Flow, Message, Never, Outcome, Query, REPLY_TIMEOUT, Retry, Stop};
use payment_contract::{Charge, ChargeReference, ChargeRefusal, Refund};
use shipping_contract::{CancelShipment, GetQuote, ShipOrder, ShipmentReference};
use tracing::{error, info, warn};

use crate::{
    guard::Claim,
    rules::{self, Bill},
};

/// How long a module that cannot be reached is asked again, before and at the charge.
///
/// Half a second, enough for a process that has just come back: a shopper waits meanwhile, and is
/// better told soon that it does not work. One that hangs takes the [`REPLY_TIMEOUT`] and is not
/// asked again.
const ASK_AGAIN: Retry = Retry::within(Duration::from_millis(500));

/// How long the shopper waits for what was bought to be out of the cart.
///
/// One second: so that the next page shows what is left in it. It is not worth the order, whose
/// event does the same.
const TAKE_BOUGHT_MAX: Duration = Duration::from_secs(1);

type Refusable<T> = Result<T, Stop<PlaceOrderRefusal>>;

/// Takes the steps of an order. What is taken back when it fails, each step names.
pub(crate) async fn place(command: PlaceOrder, flow: &Flow) -> Outcome<PlaceOrder> {
    let Cart { items, generation } = cart(&command, flow).await?;
    let bill = bill(&command, items, flow).await?;
    let claim = Claim {
        shopper: command.shopper.clone(),
        generation,
        order: rules::order_id(flow.random_u128()),
    };
    claim.begin(flow).await?;
    let order = buy(&claim, bill, &command, flow).await?;
    claim.record(order.clone(), flow).await;
    info!(order = %order.id, lines = order.items.len(), "order placed");
    take_bought(&claim, &order, flow).await;
    tell(&order, flow).await;
    send_letter(command, order.clone(), flow).await;
    Ok(order)
}

async fn cart(command: &PlaceOrder, flow: &Flow) -> Refusable<Cart> {
    let get = GetCart {
        shopper: command.shopper.clone(),
    };
    let cart = find(get, flow).await?;
    if cart.items.is_empty() {
        return Err(PlaceOrderRefusal::CartIsEmpty.into());
    }
    Ok(cart)
}

/// Three messages for any number of items: products, quote, and one conversion of all prices.
async fn bill(command: &PlaceOrder, items: Vec<CartItem>, flow: &Flow) -> Refusable<Bill> {
    let wanted = FindProducts {
        ids: items.iter().map(|item| item.product.clone()).collect(),
    };
    let products = find(wanted, flow).await?;
    let mut amounts = rules::prices(&items, &products)?;
    let quote = GetQuote {
        address: Some(command.address.clone()),
        items: items.clone(),
    };
    amounts.push(find(quote, flow).await?);

    let convert = ConvertAll {
        from: amounts,
        to: command.currency.clone(),
    };
    let converted = flow.ask(convert).retry(ASK_AGAIN).await;
    let mut costs = converted.map_err(|stop| stop.map_refusal(rules::not_converted))?;
    let shipping_cost = costs.pop().filter(|_| costs.len() == items.len());
    let shipping_cost = shipping_cost.ok_or_else(|| malformed("not as many amounts as asked"))?;
    Bill::of(items, costs, shipping_cost).map_err(|error| match error {
        InvalidMoney::TooLarge => PlaceOrderRefusal::TotalTooLarge.into(),
        InvalidMoney::DifferentCurrencies | InvalidMoney::Parts { .. } => {
            malformed(&error.to_string()).into()
        }
    })
}

async fn find<Q: Query<Refusal = Never> + Clone>(query: Q, flow: &Flow) -> Result<Q::Reply, Fault> {
    let found = flow.ask(query).retry(ASK_AGAIN).await;
    found.map_err(Stop::into_fault)
}

fn malformed(reason: &str) -> Fault {
    let message = format!("{}.{}", ConvertAll::MODULE, ConvertAll::NAME);
    Fault::Malformed {
        message,
        reason: reason.to_string(),
    }
}

/// The steps that cost money: charge and ship.
async fn buy(claim: &Claim, bill: Bill, command: &PlaceOrder, flow: &Flow) -> Refusable<Order> {
    charge(claim, &bill, command, flow).await?;
    let reference = shipment_reference(&claim.order);
    let ship = ShipOrder {
        reference: reference.clone(),
        address: command.address.clone(),
        items: bill.items.iter().map(|line| line.item.clone()).collect(),
    };
    // Tried until there is an answer: the money is taken, and the shopper wants the goods.
    let shipped = flow.ask(ship).undo(CancelShipment { reference }).await;
    let tracking = shipped.map_err(|stop| stop.map_refusal(PlaceOrderRefusal::Shipping))?;
    Ok(Order {
        id: claim.order.clone(),
        shopper: claim.shopper.clone(),
        tracking,
        shipping_cost: bill.shipping_cost,
        address: command.address.clone(),
        items: bill.items,
        total: bill.total,
        placed_at: flow.now(),
    })
}

async fn charge(claim: &Claim, bill: &Bill, command: &PlaceOrder, flow: &Flow) -> Refusable<()> {
    let reference = charge_reference(&claim.order);
    let charge = Charge {
        reference: reference.clone(),
        amount: bill.total.clone(),
        card: command.card.clone(),
    };
    let charged = flow
        .ask(charge)
        .undo(Refund { reference })
        .retry(ASK_AGAIN)
        .within(REPLY_TIMEOUT / 2)
        .await;
    let told = |refusal| match refusal {
        // Only a flow that a crash cut short comes without the card.
        ChargeRefusal::CardWithheld => PlaceOrderRefusal::Interrupted,
        refusal => PlaceOrderRefusal::Payment(refusal),
    };
    charged.map_err(|stop| stop.map_refusal(told))?;
    Ok(())
}

async fn take_bought(claim: &Claim, order: &Order, flow: &Flow) {
    let take = TakeBought {
        shopper: claim.shopper.clone(),
        generation: claim.generation,
        items: order.items.iter().map(|line| line.item.clone()).collect(),
    };
    let ask = flow.ask(take).retry(Retry::never()).within(TAKE_BOUGHT_MAX);
    if let Err(fault) = ask.await {
        warn!(order = %order.id, %fault, "cart not emptied yet; the order's event does it");
    }
}

/// Shows the shopper the order now; the letter takes its time.
async fn tell(order: &Order, flow: &Flow) {
    if let Err(fault) = flow.reply::<PlaceOrder>(order.clone()).await {
        error!(order = %order.id, %fault, "order placed, and too large to be shown");
    }
}

/// Asks for the letter until email has taken it on.
async fn send_letter(command: PlaceOrder, order: Order, flow: &Flow) {
    let id = order.id.clone();
    let letter = SendConfirmation {
        to: command.email,
        order,
    };
    if let Err(fault) = flow.ask(letter).retry(Retry::forever()).await {
        error!(order = %id, %fault, "confirmation letter cannot be sent");
    }
}

/// What payment knows an order's charge by.
fn charge_reference(order: &OrderId) -> ChargeReference {
    ChargeReference::new(order.as_str()).expect("what is one plain id is another")
}

/// What shipping knows an order's shipment by.
fn shipment_reference(order: &OrderId) -> ShipmentReference {
    ShipmentReference::new(order.as_str()).expect("what is one plain id is another")
}
