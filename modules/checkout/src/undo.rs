//! Taking steps back: tried again until done, whatever has become of the message that began them.

use std::time::Duration;

use checkout_contract::OrderId;
use modulith_kernel::{Command, Fault, Never, Port, Stop};
use payment_contract::{ChargeReference, Refund};
use shipping_contract::{CancelShipment, ShipmentReference};
use tokio::time::sleep;
use tracing::{error, warn};

use crate::rules::Reached;

/// How often one step back is tried. With [`TRY_MAX`] and [`PAUSE`], it takes 6.5 s at the most.
const TRIES_MAX: u32 = 5;

/// How long one try may take. Not counted from the message's deadline: when a step failed because
/// it was late, that has passed already.
const TRY_MAX: Duration = Duration::from_secs(1);

/// The pause after a first failed try; doubled after each further one.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes back what an order may have reached: its shipment first, then its charge.
///
/// # Errors
/// The fault of a step back that could not be done; the other one is tried nonetheless.
pub(crate) async fn undo(order: &OrderId, reached: Reached, port: &Port) -> Result<(), Fault> {
    let shipment = match reached {
        Reached::Shipment => {
            let cancel = CancelShipment {
                reference: shipment_reference(order),
            };
            insist(
                cancel,
                order,
                "shipment not cancelled; cancel it by hand",
                port,
            )
            .await
        }
        Reached::Charge | Reached::Nothing => Ok(()),
    };
    let charge = match reached {
        Reached::Shipment | Reached::Charge => {
            let refund = Refund {
                reference: charge_reference(order),
            };
            insist(
                refund,
                order,
                "charge not given back; refund it by hand",
                port,
            )
            .await
        }
        Reached::Nothing => Ok(()),
    };
    shipment.and(charge)
}

/// What payment knows an order's charge by.
pub(crate) fn charge_reference(order: &OrderId) -> ChargeReference {
    ChargeReference::new(order.as_str()).expect("what is one plain id is another")
}

/// What shipping knows an order's shipment by.
pub(crate) fn shipment_reference(order: &OrderId) -> ShipmentReference {
    ShipmentReference::new(order.as_str()).expect("what is one plain id is another")
}

async fn insist<C>(step: C, order: &OrderId, in_vain: &str, port: &Port) -> Result<(), Fault>
where
    C: Command<Reply = (), Refusal = Never> + Clone,
{
    let mut pause = PAUSE;
    let mut tries = 1;
    loop {
        let tried = port
            .ask_within(step.clone(), TRY_MAX)
            .await
            .map_err(Stop::into_fault);
        match tried {
            Ok(()) => return Ok(()),
            Err(fault) if tries == TRIES_MAX => {
                error!(%order, step = C::NAME, tries, %fault, "{in_vain}");
                return Err(fault);
            }
            Err(fault) => {
                warn!(%order, step = C::NAME, tries, %fault, "step back failed; trying again");
            }
        }
        sleep(pause).await;
        pause *= 2;
        tries += 1;
    }
}
