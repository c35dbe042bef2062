//! What is promised by now. What is not is not checked, and each gap has a test that says so.
//!
//! There is no gap at present. When one is found, it gets a field here that is off in [`TODAY`], and
//! a test in `simulate` that fails when it closes.

/// What a simulation expects of the kernel and the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expectations {
    /// The kernel takes a command once however often it arrives.
    ///
    /// Without it, commands whose second arrival has an effect of its own are never duplicated.
    pub(crate) commands_once: bool,
    /// An order that a crash cut short goes on by itself, and has its letter.
    ///
    /// Without it, every shopper orders once more at the end, a minute after the last fault, which
    /// gives back what an order cut short had charged; and an order's letter may be lost. (Seed 243
    /// of `simulate`; for the letter, 14 and 16.)
    pub(crate) orders_resume: bool,
    /// An order whose record could not be synced is either placed or undone.
    ///
    /// Without it, an order that no shopper was shown may be refunded if a disk failed. (Seeds 1478
    /// and 4363 of `simulate`.)
    pub(crate) recorded_or_undone: bool,
    /// What is added to a cart while it is being bought stays in it.
    ///
    /// Without it, as much may be missing from a cart as was added, or may have been, after its
    /// shopper first ordered. (Seeds 344 and 1212 of `simulate`, 11 of `lossy`.)
    pub(crate) added_while_bought_stays: bool,
}

/// What holds today.
pub(crate) const TODAY: Expectations = Expectations {
    commands_once: true,
    orders_resume: true,
    recorded_or_undone: true,
    added_while_bought_stays: true,
};

/// Commands that do not arrive twice unless they are expected to take effect once. All others are
/// the same the second time, by their contracts.
pub(crate) const NOT_TWICE: [&str; 2] = ["cart.AddItem", "checkout.PlaceOrder"];
