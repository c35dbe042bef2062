//! One letter of an order at a time.
//!
//! A conducted command runs beside others, so two that confirm one order could both find it
//! unsent and both deliver. Each order belongs to one lane, and a lane lets one in at a time.

use std::time::Duration;

use checkout_contract::OrderId;
use modulith_kernel::{Fault, Key, Module, REPLY_TIMEOUT, partition_of};
use tokio::{
    sync::{Mutex, MutexGuard},
    time::timeout,
};

use crate::Email;

/// How many letters are delivered at once; so also how many connections a mail server sees.
const LANES: usize = 8;

/// How long a command waits for its lane: as long as whoever asked usually waits for a reply.
const LANE_WAIT: Duration = REPLY_TIMEOUT;

/// When another try at a busy lane is worth it, in milliseconds.
const RETRY_AFTER_MS: u32 = 1_000;

/// All lanes.
#[derive(Debug, Default)]
pub(crate) struct Lanes([Mutex<Lane>; LANES]);

/// What one lane remembers.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The order whose letter was delivered last. Should noting it have failed, the next try
    /// notes it without delivering again.
    pub(crate) delivered: Option<OrderId>,
}

impl Lanes {
    /// Waits for the order's lane, and holds it.
    pub(crate) async fn enter(&self, order: &OrderId) -> Result<MutexGuard<'_, Lane>, Fault> {
        let lane = &self.0[place(order)];
        timeout(LANE_WAIT, lane.lock())
            .await
            .map_err(|_| Fault::Overloaded {
                module: Email::NAME.to_string(),
                retry_after_ms: RETRY_AFTER_MS,
            })
    }
}

fn place(order: &OrderId) -> usize {
    let mut key = Vec::new();
    order.write(&mut key);
    partition_of(&key, LANES as u32) as usize
}
