//! Placing an order, step by step.

use std::time::Duration;

use cart_contract::{Cart, CartItem, EmptyCart, GetCart};
use catalog_contract::FindProducts;
use checkout_contract::{EmailAddress, Order, PlaceOrder, PlaceOrderRefusal};
use currency_contract::{ConvertAll, InvalidMoney};
use email_contract::SendConfirmation;
use modulith_kernel::{Context, Fault, Message, Outcome, Stop};
use payment_contract::{Charge, CreditCard};
use shipping_contract::{Address, GetQuote, ShipOrder};
use tracing::{info, warn};

use crate::{
    guard::Claim,
    rules::{self, Bill, Reached},
    undo::{charge_reference, shipment_reference, undo},
};

/// How long an order waits for its letter to be sent.
///
/// One second: half of what the asker usually has. The letter is worth a moment, so that a shopper
/// who is shown the order has it; it is not worth the order.
const LETTER_MAX: Duration = Duration::from_secs(1);

type Refusable<T> = Result<T, Stop<PlaceOrderRefusal>>;

/// Takes the steps of an order; when one fails, takes back those that may have been taken.
pub(crate) async fn place(command: PlaceOrder, context: &Context) -> Outcome<PlaceOrder> {
    let PlaceOrder {
        shopper,
        currency: _,
        address,
        email,
        card,
    } = &command;
    let Cart { items, generation } = cart(&command, context).await?;
    let bill = bill(&command, items, context).await?;
    let claim = Claim {
        shopper: shopper.clone(),
        generation,
        order: rules::order_id(context.random_u128()),
    };
    claim.begin(context).await?;
    match buy(&claim, bill, card, address, context).await {
        Ok(order) => {
            info!(order = %order.id, lines = order.items.len(), "order placed");
            empty_cart(&claim, context).await;
            send_letter(email.clone(), order.clone(), context).await;
            Ok(order)
        }
        Err(Failure { stop, reached }) => {
            // A fault here leaves the claim standing, and with it the order to be undone by the
            // shopper's next attempt; to say "refused" would promise that nothing was charged.
            undo(&claim.order, reached, &context.port()).await?;
            claim.undone(context).await;
            Err(stop)
        }
    }
}

async fn cart(command: &PlaceOrder, context: &Context) -> Refusable<Cart> {
    let get = GetCart {
        shopper: command.shopper.clone(),
    };
    let cart = context.ask(get).await.map_err(Stop::into_fault)?;
    if cart.items.is_empty() {
        return Err(PlaceOrderRefusal::CartIsEmpty.into());
    }
    Ok(cart)
}

/// Three messages for any number of items: products, quote, and one conversion of all prices.
async fn bill(command: &PlaceOrder, items: Vec<CartItem>, context: &Context) -> Refusable<Bill> {
    let find = FindProducts {
        ids: items.iter().map(|item| item.product.clone()).collect(),
    };
    let products = context.ask(find).await.map_err(Stop::into_fault)?;
    let mut amounts = rules::prices(&items, &products)?;
    let quote = GetQuote {
        address: Some(command.address.clone()),
        items: items.clone(),
    };
    amounts.push(context.ask(quote).await.map_err(Stop::into_fault)?);

    let convert = ConvertAll {
        from: amounts,
        to: command.currency.clone(),
    };
    let converted = context.ask(convert).await;
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

fn malformed(reason: &str) -> Fault {
    let message = format!("{}.{}", ConvertAll::MODULE, ConvertAll::NAME);
    Fault::Malformed {
        message,
        reason: reason.to_string(),
    }
}

/// Why an order is not placed, and how far it had come.
struct Failure {
    stop: Stop<PlaceOrderRefusal>,
    reached: Reached,
}

/// The steps that cost money: charge, ship, record.
async fn buy(
    claim: &Claim,
    bill: Bill,
    card: &CreditCard,
    address: &Address,
    context: &Context,
) -> Result<Order, Failure> {
    let charge = Charge {
        reference: charge_reference(&claim.order),
        amount: bill.total.clone(),
        card: card.clone(),
    };
    context.ask(charge).await.map_err(|stop| Failure {
        reached: Reached::when(&stop, Reached::Nothing, Reached::Charge),
        stop: stop.map_refusal(PlaceOrderRefusal::Payment),
    })?;

    let ship = ShipOrder {
        reference: shipment_reference(&claim.order),
        address: address.clone(),
        items: bill.items.iter().map(|line| line.item.clone()).collect(),
    };
    let tracking = context.ask(ship).await.map_err(|stop| Failure {
        reached: Reached::when(&stop, Reached::Charge, Reached::Shipment),
        stop: stop.map_refusal(PlaceOrderRefusal::Shipping),
    })?;

    let order = Order {
        id: claim.order.clone(),
        shopper: claim.shopper.clone(),
        tracking,
        shipping_cost: bill.shipping_cost,
        address: address.clone(),
        items: bill.items,
        total: bill.total,
        placed_at: context.now(),
    };
    match claim.record(order.clone(), context).await {
        Ok(()) => Ok(order),
        Err(fault) => Err(Failure {
            stop: fault.into(),
            reached: Reached::Shipment,
        }),
    }
}

async fn empty_cart(claim: &Claim, context: &Context) {
    let empty = EmptyCart {
        shopper: claim.shopper.clone(),
        generation: Some(claim.generation),
    };
    if let Err(fault) = context.ask(empty).await {
        warn!(order = %claim.order, %fault, "cart not emptied yet; the order's event does it");
    }
}

/// Within its own limit and not the message's: when the steps before took long, the order is
/// placed all the same.
async fn send_letter(to: EmailAddress, order: Order, context: &Context) {
    let id = order.id.clone();
    let letter = SendConfirmation { to, order };
    if let Err(fault) = context.port().ask_within(letter, LETTER_MAX).await {
        warn!(order = %id, %fault, "confirmation letter not sent");
    }
}
