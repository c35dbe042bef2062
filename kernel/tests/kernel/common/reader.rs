//! A reader: listens to postings as the shelf does, stands in a gate when it is told to, and
//! fails as it is told to.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU32, Ordering::SeqCst},
};

use modulith_kernel::{Declaration, Fault, Listen, Module, Setup, SetupError, Tx};

use super::{Gate, ledger::Posted};

/// What a test holds on to while the reader runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReaderSettings {
    pub(crate) gate: Arc<Gate>,
    /// What every event ends in.
    pub(crate) fault: Arc<Mutex<Option<Fault>>>,
    /// How many events were begun.
    pub(crate) begun: Arc<AtomicU32>,
}

impl ReaderSettings {
    pub(crate) fn set_fault(&self, fault: Option<Fault>) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

pub(crate) struct Reader(ReaderSettings);

impl Module for Reader {
    const NAME: &'static str = "reader";
    type Settings = ReaderSettings;

    fn new(settings: &ReaderSettings, _: &Setup) -> Result<Self, SetupError> {
        Ok(Self(settings.clone()))
    }

    fn declare(declaration: &mut Declaration<Self>) {
        declaration.listens::<Posted>();
    }
}

impl Listen<Posted> for Reader {
    fn listen(&self, _: Posted, _: &mut Tx<'_>) -> Result<(), Fault> {
        self.0.begun.fetch_add(1, SeqCst);
        self.0.gate.pass();
        let fault = self.0.fault.lock();
        let fault = fault.unwrap_or_else(PoisonError::into_inner).clone();
        fault.map_or(Ok(()), Err)
    }
}
