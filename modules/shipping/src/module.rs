//! The module itself: its settings, what it declares, and how each message is handled.

use modulith_kernel::{
    Answer, Context, Declaration, Fault, Handle, Ledger, Module, Outcome, Setup, SetupError,
    Snapshot, Tx,
};
use serde::Deserialize;
use shipping_contract::{CancelShipment, GetQuote, ShipOrder, ShipOrderRefusal};

use crate::{
    rules,
    store::{self, SHIPMENTS, StoredItem, StoredShipment},
};

/// What `[module.shipping]` may set.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShippingSettings {
    /// Countries we do not deliver to, in any case. Default none: the shop ships everywhere.
    pub no_delivery_to: Vec<String>,
}

/// Quotes and ships.
#[derive(Debug)]
pub struct Shipping {
    settings: ShippingSettings,
}

impl Module for Shipping {
    const NAME: &'static str = "shipping";
    type Settings = ShippingSettings;

    fn new(settings: &ShippingSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self {
            settings: settings.clone(),
        })
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration
            .answers::<GetQuote>()
            .handles::<ShipOrder>()
            .handles::<CancelShipment>();
    }

    fn ledger(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
        store::keep(snapshot, ledger)
    }
}

impl Answer<GetQuote> for Shipping {
    async fn answer(&self, query: GetQuote, _: &Context) -> Outcome<GetQuote> {
        Ok(rules::quote(&query.items))
    }
}

impl Handle<ShipOrder> for Shipping {
    fn handle(&self, command: ShipOrder, tx: &mut Tx<'_>) -> Outcome<ShipOrder> {
        let ShipOrder {
            reference,
            address,
            items,
        } = command;
        match tx.get(&SHIPMENTS, &reference)? {
            Some(StoredShipment::Shipped { tracking, .. }) => return Ok(tracking),
            Some(StoredShipment::Cancelled { .. }) => {
                return Err(ShipOrderRefusal::Cancelled { reference }.into());
            }
            None => rules::check(&items, &address, &self.settings.no_delivery_to)?,
        }
        let tracking = rules::tracking_id(tx.random_u128());
        let shipment = StoredShipment::Shipped {
            tracking: tracking.clone(),
            address: address.into(),
            items: items.into_iter().map(StoredItem::from).collect(),
            at: tx.now(),
        };
        tx.put(&SHIPMENTS, &reference, &shipment)?;
        Ok(tracking)
    }
}

impl Handle<CancelShipment> for Shipping {
    fn handle(&self, command: CancelShipment, tx: &mut Tx<'_>) -> Outcome<CancelShipment> {
        let tracking = match tx.get(&SHIPMENTS, &command.reference)? {
            Some(StoredShipment::Cancelled { .. }) => return Ok(()),
            Some(StoredShipment::Shipped { tracking, .. }) => Some(tracking),
            None => None,
        };
        let cancelled = StoredShipment::Cancelled {
            tracking,
            at: tx.now(),
        };
        Ok(tx.put(&SHIPMENTS, &command.reference, &cancelled)?)
    }
}
