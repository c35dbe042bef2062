//! Buying: the checkout form, and the order's page.

use std::time::Duration;

use catalog_contract::{FindProducts, Product};
use checkout_contract::{GetOrder, GetOrderRefusal, Order, OrderId, PlaceOrder, PlaceOrderRefusal};
use modulith_edge::actix_web::{HttpResponse, http::StatusCode, web::Path};
use modulith_kernel::{Fault, Secret, Stop};
use shipping_contract::ShipOrderRefusal;

use crate::{
    basket,
    browse::shown,
    form::{self, Purchase},
    page::{self, CheckoutForm, Line},
    trouble::{Trouble, failed},
    visit::{EXTRAS_TIMEOUT, Typed, Visit},
};

/// How long placing an order may take: a charge and a shipment, each with a commit. An order that
/// takes longer goes on, and sending the same form again asks what has become of it.
const ORDER_TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) async fn checkout(visit: Visit, typed: Typed) -> HttpResponse {
    let (mut filled, purchase) = form::purchase(&typed);
    // What comes back is another form to be sent, with a key of its own.
    filled.order_key = visit.order_key();
    let Some(purchase) = purchase else {
        return refused(&visit, StatusCode::UNPROCESSABLE_ENTITY, filled, None).await;
    };
    let email = purchase.email.to_string();
    let key = form::order_key(&typed).map_or_else(|| visit.order_key(), str::to_string);
    // Together with who sends it, so that nobody meets another's order by its key.
    let once = visit.port.idempotent(&format!("{}/{key}", visit.shopper));
    match once.ask_within(place(&visit, purchase), ORDER_TIMEOUT).await {
        Ok(order) => receipt(&visit, order, Some(email)).await,
        Err(Stop::Refused(PlaceOrderRefusal::Payment(reason))) => {
            let reason = form::sentence(&reason);
            refused(&visit, StatusCode::PAYMENT_REQUIRED, filled, Some(reason)).await
        }
        Err(Stop::Refused(PlaceOrderRefusal::Shipping(
            refusal @ ShipOrderRefusal::NoDelivery { .. },
        ))) => {
            filled.country.error = Some(form::sentence(&refusal));
            refused(&visit, StatusCode::UNPROCESSABLE_ENTITY, filled, None).await
        }
        Err(Stop::Refused(PlaceOrderRefusal::Interrupted)) => {
            filled.was_interrupted = true;
            refused(&visit, StatusCode::CONFLICT, filled, None).await
        }
        Err(Stop::Refused(refusal)) => {
            Trouble::invalid(form::sentence(&refusal))
                .respond(&visit)
                .await
        }
        Err(Stop::Fault(Fault::KeyReused { .. })) => {
            let reason = "This form was sent before with other details, and what was sent first \
                          counts. To order something else, please start from your cart.";
            Trouble::invalid(reason.to_string()).respond(&visit).await
        }
        Err(fault @ Stop::Fault(_)) => failed::<PlaceOrder>(&fault).respond(&visit).await,
    }
}

fn place(visit: &Visit, purchase: Purchase) -> PlaceOrder {
    PlaceOrder {
        shopper: visit.shopper.clone(),
        currency: visit.currency.clone(),
        address: purchase.address,
        email: purchase.email,
        card: Secret::new(purchase.card),
    }
}

/// The cart again, with what was typed and what is wrong with it.
async fn refused(
    visit: &Visit,
    status: StatusCode,
    filled: CheckoutForm,
    declined: Option<String>,
) -> HttpResponse {
    match basket::draw(visit, filled, declined).await {
        Ok((0, _)) => {
            let reason = "Your cart is empty, so there is nothing to buy.".to_string();
            Trouble::invalid(reason).respond(visit).await
        }
        Ok((_, page)) => visit.page(status, page),
        Err(trouble) => trouble.respond(visit).await,
    }
}

/// An order's page, for the shopper who placed it.
pub(crate) async fn order(visit: Visit, id: Path<String>) -> HttpResponse {
    let Ok(id) = OrderId::new(id.as_str()) else {
        return Trouble::not_found().respond(&visit).await;
    };
    match visit.port.ask(GetOrder { id }).await {
        Ok(order) if order.shopper == visit.shopper => receipt(&visit, order, None).await,
        // Another shopper's order is nobody else's business, not even that it exists.
        Ok(_) | Err(Stop::Refused(GetOrderRefusal::UnknownOrder { .. })) => {
            Trouble::not_found().respond(&visit).await
        }
        Err(fault @ Stop::Fault(_)) => failed::<GetOrder>(&fault).respond(&visit).await,
    }
}

async fn receipt(visit: &Visit, order: Order, email: Option<String>) -> HttpResponse {
    let ids = order
        .items
        .iter()
        .map(|line| line.item.product.clone())
        .collect();
    let products = visit
        .port
        .ask_within(FindProducts { ids }, EXTRAS_TIMEOUT)
        .await;
    // The order stands whether or not the catalogue can be asked for names and pictures.
    match lines(&order, &products.unwrap_or_default()) {
        Ok(lines) => {
            let view = page::Order {
                id: order.id.to_string(),
                tracking_id: order.tracking.to_string(),
                lines,
                shipping: shown(&order.shipping_cost),
                total: shown(&order.total),
                email,
            };
            visit.page(StatusCode::OK, page::order(&visit.frame_with(0), &view))
        }
        Err(trouble) => trouble.respond(visit).await,
    }
}

fn lines(order: &Order, products: &[Product]) -> Result<Vec<Line>, Trouble> {
    let of_item = |line: &checkout_contract::OrderItem| {
        let (item, cost) = (&line.item, &line.cost);
        let sum = cost
            .times(item.quantity.get())
            .map_err(|error| Trouble::internal(&error))?;
        let product = products.iter().find(|product| product.id == item.product);
        Ok(match product {
            Some(product) => basket::line(item.quantity, product, cost, &sum),
            None => Line {
                product_id: item.product.to_string(),
                name: item.product.to_string(),
                quantity: item.quantity.get(),
                unit_price: shown(cost),
                line_price: shown(&sum),
                ..Line::default()
            },
        })
    };
    order.items.iter().map(of_item).collect()
}
