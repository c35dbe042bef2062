//! What a module is: its name, its settings, what it declares, and its handlers.

use std::{future::Future, path::PathBuf};

use modulith_contract::{Command, Event, Fault, Outcome, Query};

use crate::{Context, Declaration, Ledger, Snapshot, Tx, flow::Flow};

/// A business capability: it owns its data and speaks by messages.
///
/// A module is one value, or one for each of its partitions, shared by everything it handles at once; what it remembers belongs in
/// its store. After a handler panics, a new value is made from the settings.
///
/// ```
/// use modulith_kernel::{Declaration, Module, Setup, SetupError};
///
/// struct Greeting;
///
/// impl Module for Greeting {
///     const NAME: &'static str = "greeting";
///     type Settings = ();
///
///     fn new(_: &(), _: &Setup) -> Result<Self, SetupError> {
///         Ok(Self)
///     }
///
///     fn declare(_: &mut Declaration<Self>) {}
/// }
/// ```
pub trait Module: Sized + Send + Sync + 'static {
    /// The module's name, a singular business noun in lower case.
    const NAME: &'static str;

    /// The version of what the module stores. Raise it together with a step in
    /// [`Module::migrate`] whenever a stored type changes.
    const STORE_VERSION: u32 = 1;

    /// What `[module.NAME]` in the configuration may set; `()` for nothing.
    type Settings: Clone + Send + Sync + 'static;

    /// Makes the module.
    ///
    /// # Errors
    /// When the settings ask for what cannot be, such as a file that is not there; the process
    /// then does not start, and prints the reason.
    fn new(settings: &Self::Settings, setup: &Setup) -> Result<Self, SetupError>;

    /// Declares every message the module handles, answers, publishes, listens to and asks.
    ///
    /// What is not declared cannot be sent or received.
    fn declare(declaration: &mut Declaration<Self>);

    /// Enters what the store says of the business into accounts, which `verify` balances against
    /// those of other modules. Nothing unless a module says otherwise.
    ///
    /// ```ignore
    /// let charges = ledger.account("charges");
    /// for (reference, charge) in snapshot.range(&CHARGES, .., usize::MAX)? {
    ///     charges.settled(reference, &[("total", &charge.amount)]);
    /// }
    /// ```
    ///
    /// # Errors
    /// A fault: the store cannot be read.
    fn ledger(snapshot: &Snapshot, ledger: &mut Ledger) -> Result<(), Fault> {
        let _ = (snapshot, ledger);
        Ok(())
    }

    /// Brings a store written by version `from` to [`Module::STORE_VERSION`], in one transaction.
    ///
    /// # Errors
    /// A fault refuses the start; the store is left as it was.
    fn migrate(from: u32, tx: &mut Tx<'_>) -> Result<(), Fault> {
        let _ = tx;
        Err(Fault::Store {
            module: Self::NAME.to_string(),
            reason: format!(
                "no migration from version {from} to {}",
                Self::STORE_VERSION
            ),
        })
    }
}

/// What a module is made from besides its settings.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The module's own folder, for files other than its store; where it is divided, the folder of
    /// this partition. Not created yet.
    pub folder: PathBuf,
}

/// Why a module cannot be made: a sentence for the person who wrote the settings.
pub type SetupError = Box<dyn std::error::Error + Send + Sync>;

/// Handles a command: one at a time, inside a transaction, without waiting.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{C}`",
    label = "no `impl Handle<{C}> for {Self}`",
    note = "implement `Handle` for what is declared with `handles`, `Conduct` for `conducts`"
)]
pub trait Handle<C: Command>: Module {
    /// Checks, decides and changes the store; the kernel commits, then replies.
    ///
    /// # Errors
    /// A refusal or a fault, and then nothing is changed.
    fn handle(&self, command: C, tx: &mut Tx<'_>) -> Outcome<C>;
}

/// Answers a query: concurrently with everything else, on the thread it arrived on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not answer `{Q}`",
    label = "no `impl Answer<{Q}> for {Self}`",
    note = "implement `Answer` for what is declared with `answers`"
)]
pub trait Answer<Q: Query>: Module {
    /// Answers from a snapshot of the store, from memory, or by asking other modules.
    ///
    /// # Errors
    /// A refusal or a fault.
    fn answer(&self, query: Q, context: &Context) -> impl Future<Output = Outcome<Q>> + Send;
}

/// Conducts a command that needs other modules or the outside world: as a flow, whose steps are
/// journaled, resumed after a crash and undone on failure.
///
/// ```ignore
/// flow.ask(Charge { .. }).undo(Refund { .. }).await?;
/// flow.ask(ShipOrder { .. }).undo(CancelShipment { .. }).await?;
/// flow.commit("record", move |tx| Ok(tx.put(&ORDERS, &id, &order)?)).await?;
/// ```
///
/// After a crash the code runs again from its beginning with the answers it had, so it must take
/// the same steps whenever it gets the same answers: time, chance and everything that is read
/// come through the [`Flow`]. A journal that does not fit the code parks the flow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not conduct `{C}`",
    label = "no `impl Conduct<{C}> for {Self}`",
    note = "implement `Conduct` for what is declared with `conducts`, `Handle` for `handles`"
)]
pub trait Conduct<C: Command>: Module {
    /// The version of the steps. Raise it when they change, so that flows begun before are known:
    /// [`Flow::version`] says with which version one was begun.
    const VERSION: u32 = 1;

    /// The oldest version whose flows the code can finish; older ones are parked. Raise it to
    /// [`Conduct::VERSION`] when the code no longer asks for the version.
    const OLDEST: u32 = 1;

    /// Takes the steps the command needs. Callers are told what it returns.
    ///
    /// # Errors
    /// A refusal or a fault; what steps named an undo is then taken back, the last first, before
    /// callers are told.
    fn conduct(&self, command: C, flow: &Flow) -> impl Future<Output = Outcome<C>> + Send;
}

/// Listens to another module's event: like [`Handle`], driven by the event log.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not listen to `{E}`",
    label = "no `impl Listen<{E}> for {Self}`",
    note = "implement `Listen` for what is declared with `listens`"
)]
pub trait Listen<E: Event>: Module {
    /// Changes the store as the event requires; the place in the log is kept in the same commit.
    ///
    /// # Errors
    /// A fault keeps the event for another try, and those after it waiting.
    fn listen(&self, event: E, tx: &mut Tx<'_>) -> Result<(), Fault>;
}
