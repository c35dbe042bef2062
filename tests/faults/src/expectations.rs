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

/// Whether an order whose record could not be synced is either placed or undone.
///
/// Known gap: checkout takes a failed sync for "not recorded" and gives the charge back, and the
/// record may show up when the store is opened again. While this is false, an order that no shopper
/// was shown may be refunded if a disk failed. (Seeds 1478 and 4363 of `simulate`.)
pub(crate) const RECORDED_OR_UNDONE: bool = false;

/// Whether what is added to a cart while it is being bought stays in it.
///
/// Known gap: emptying a cart that was bought takes out all that is in it by then, and not what was
/// bought. While this is false, as much may be missing from a cart as was added, or may have been,
/// after its shopper first ordered. (Seeds 344 and 1212 of `simulate`, 11 of `lossy`.)
pub(crate) const ADDED_WHILE_BOUGHT_STAYS: bool = false;
