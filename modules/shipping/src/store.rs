//! How shipments are kept: the one place that knows both the stored and the contract's form.

use std::num::NonZeroU32;

use cart_contract::CartItem;
use catalog_contract::ProductId;
use modulith_kernel::{Fault, Ledger, Snapshot, Table, Timestamp};
use serde::{Deserialize, Serialize};
use shipping_contract::{Address, ShipmentReference, TrackingId};

/// The shipments, by what their sender calls them.
pub(crate) const SHIPMENTS: Table<ShipmentReference, StoredShipment> = Table::new("shipments");

/// Enters every shipment that was not cancelled.
pub(crate) fn keep(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
    let shipments = ledger.account("shipments");
    for (reference, shipment) in snapshot.range(&SHIPMENTS, .., usize::MAX)? {
        if let StoredShipment::Shipped { tracking, .. } = shipment {
            shipments.settled(reference, &[("tracking", &tracking)]);
        }
    }
    Ok(())
}

/// What became of a shipment.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum StoredShipment {
    /// It was sent.
    Shipped {
        /// The carrier's number for it.
        tracking: TrackingId,
        /// Where it went.
        address: StoredAddress,
        /// What was in it.
        items: Vec<StoredItem>,
        /// When it was sent.
        at: Timestamp,
    },
    /// It was taken back, or called off before it was sent. Where it was to go is forgotten.
    Cancelled {
        /// The carrier's number, if it had one.
        tracking: Option<TrackingId>,
        /// When it was cancelled.
        at: Timestamp,
    },
}

/// An address as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredAddress {
    street: String,
    city: String,
    state: String,
    country: String,
    zip_code: u32,
}

/// A product and how many of it, as they are stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredItem {
    product: ProductId,
    quantity: NonZeroU32,
}

impl From<Address> for StoredAddress {
    fn from(address: Address) -> Self {
        let Address {
            street,
            city,
            state,
            country,
            zip_code,
        } = address;
        Self {
            street,
            city,
            state,
            country,
            zip_code,
        }
    }
}

impl From<CartItem> for StoredItem {
    fn from(CartItem { product, quantity }: CartItem) -> Self {
        Self { product, quantity }
    }
}
