//! All that others may know of email: the letter that confirms an order.

use checkout_contract::{EmailAddress, Order};
use modulith_contract::Command;
use serde::{Deserialize, Serialize};

/// Sends the letter that confirms an order.
///
/// The reply says that the letter is taken on: it is delivered then, however long that takes. Sent
/// twice for one order it sends one letter. A crash between delivering a letter and noting that it
/// was delivered may deliver it again, with the same `Message-ID`, by which mail programs know it.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "email")]
pub struct SendConfirmation {
    /// Where the letter goes.
    pub to: EmailAddress,
    /// The order it confirms.
    pub order: Order,
}
