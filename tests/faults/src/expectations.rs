//! What the kernel promises by now: switched on as it comes, and what is not is not checked.

/// Whether the kernel takes a command once however often it arrives.
///
/// Known gap: it does not. While this is false, commands whose second arrival has an effect of its
/// own are never duplicated.
pub(crate) const COMMANDS_ONCE: bool = false;

/// Commands that are not to arrive twice until [`COMMANDS_ONCE`].
pub(crate) const NOT_TWICE: [&str; 2] = ["cart.AddItem", "checkout.PlaceOrder"];

/// Whether an order that a crash cut short goes on by itself.
///
/// Known gap: it does not. While this is false, every shopper orders once more at the end, a minute
/// after the last fault, which gives back what an order cut short had charged; and an order's letter
/// may be lost.
pub(crate) const ORDERS_RESUME: bool = false;
