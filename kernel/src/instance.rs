//! The value of a module, and making it anew after a panic.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::{Module, Setup, SetupError, home::Home};

/// A hosted module: its current value and all that is needed to make another.
pub(crate) struct Instance<M: Module> {
    pub(crate) home: Arc<Home>,
    current: ArcSwap<M>,
    settings: M::Settings,
    setup: Setup,
}

impl<M: Module> Instance<M> {
    pub(crate) fn new(
        home: Arc<Home>,
        settings: M::Settings,
        setup: Setup,
    ) -> Result<Self, SetupError> {
        let module = M::new(&settings, &setup)?;
        Ok(Self {
            home,
            current: ArcSwap::from_pointee(module),
            settings,
            setup,
        })
    }

    pub(crate) fn current(&self) -> Guard<Arc<M>> {
        self.current.load()
    }

    /// A value that may be held across an await.
    pub(crate) fn held(&self) -> Arc<M> {
        self.current.load_full()
    }

    /// Makes the module anew; what the old value remembered is gone, what it stored is not.
    pub(crate) fn renew(&self) -> Result<(), SetupError> {
        self.current
            .store(Arc::new(M::new(&self.settings, &self.setup)?));
        Ok(())
    }
}
