//! Something that goes wrong at a certain time, and is over after another.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{
    disk::{Crash, DiskFault},
    shop::Shop,
};

/// How long a machine works on, when nothing is written, before it loses power.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// What goes wrong, and when. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mishap {
    pub(crate) at_ms: u64,
    pub(crate) what: What,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A node's process is killed.
    Kill { node: usize, down_ms: u64 },
    /// A node's machine loses power in the middle of its next writes and syncs, after so many.
    Power {
        node: usize,
        writes: u32,
        down_ms: u64,
    },
    /// A disk fails, or is slow.
    Disk {
        node: usize,
        fault: DiskFault,
        for_ms: u64,
    },
    /// Two nodes do not reach each other.
    Part {
        one: usize,
        other: usize,
        for_ms: u64,
    },
    /// The connection of two nodes breaks, with all calls on it.
    Cut { one: usize, other: usize },
}

impl Mishap {
    /// Lets it happen, and waits until it is over.
    ///
    /// # Errors
    /// What must not come of it.
    pub(super) async fn befall(&self, shop: &Shop) -> Result<(), String> {
        sleep(Duration::from_millis(self.at_ms)).await;
        shop.trace.line(format_args!("{:?}", self.what));
        match self.what {
            What::Kill { node, down_ms } => {
                shop.crash(node, Crash::Kill, Duration::from_millis(down_ms))
                    .await?;
            }
            What::Power {
                node,
                writes,
                down_ms,
            } => {
                let disk = shop.disk(node);
                disk.lose_power_after(writes);
                _ = timeout(IDLE_MAX, disk.lost_power()).await;
                shop.crash(node, Crash::Power, Duration::from_millis(down_ms))
                    .await?;
            }
            What::Disk {
                node,
                fault,
                for_ms,
            } => {
                shop.disk(node).set_fault(fault);
                sleep(Duration::from_millis(for_ms)).await;
                shop.disk(node).set_fault(DiskFault::None);
            }
            What::Part { one, other, for_ms } => {
                shop.net.part(one, other, true);
                sleep(Duration::from_millis(for_ms)).await;
                shop.net.part(one, other, false);
            }
            What::Cut { one, other } => shop.net.cut(one, other),
        }
        Ok(())
    }
}
