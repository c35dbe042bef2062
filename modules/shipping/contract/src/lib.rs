//! All that others may know of shipping: addresses, quotes and shipments.

use cart_contract::CartItem;
use currency_contract::Money;
use modulith_contract::{Command, Id, Query, Refusal, Schema};
use serde::{Deserialize, Serialize};

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub struct Address {
    /// Street and house number.
    pub street: String,
    /// City.
    pub city: String,
    /// State, province or region.
    pub state: String,
    /// Country.
    pub country: String,
    /// Postal code, as a number.
    pub zip_code: u32,
}

/// What the sender calls a shipment: one reference, one shipment.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct ShipmentReference(String);

/// The carrier's number for a shipment: two capital letters, digits and dashes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct TrackingId(String);

/// Asks what shipping costs, in US dollars; nothing for no items.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "shipping", reply = Money)]
pub struct GetQuote {
    /// Where to, once the shopper has said.
    pub address: Option<Address>,
    /// What is to be shipped.
    pub items: Vec<CartItem>,
}

/// Ships items. Sent twice with one reference, it ships once and returns the first tracking id.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "shipping", key = reference, reply = TrackingId, refusal = ShipOrderRefusal)]
pub struct ShipOrder {
    /// What the sender calls this shipment.
    pub reference: ShipmentReference,
    /// Where to.
    pub address: Address,
    /// What to ship.
    pub items: Vec<CartItem>,
}

/// Takes a shipment back: the undo of [`ShipOrder`].
///
/// Cancelling twice, or what was never shipped, changes nothing; a reference once cancelled
/// ships no more, so that an undo overtaking its shipment wins.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "shipping", key = reference)]
pub struct CancelShipment {
    /// What the sender calls the shipment.
    pub reference: ShipmentReference,
}

/// Why items are not shipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum ShipOrderRefusal {
    /// There is nothing to ship.
    #[refusal(invalid, "there is nothing to ship")]
    NothingToShip,
    /// No carrier goes there.
    #[refusal(precondition, "we do not deliver to {country}")]
    NoDelivery {
        /// The country asked for.
        country: String,
    },
    /// The shipment was cancelled before.
    #[refusal(precondition, "shipment {reference} was cancelled")]
    Cancelled {
        /// The sender's reference.
        reference: ShipmentReference,
    },
}
