//! Where the pages are: at a new port whenever the process that serves them was started again.

use std::sync::{Arc, Mutex, PoisonError};

/// The address of the pages as all shoppers know it.
#[derive(Clone, Default)]
pub(crate) struct Shop {
    address: Arc<Mutex<String>>,
}

impl Shop {
    /// From now on the pages are at this address, such as `127.0.0.1:8080`.
    pub(crate) fn moves_to(&self, address: &str) {
        let mut known = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        *known = format!("http://{address}");
    }

    pub(super) fn page(&self, path: &str) -> String {
        let known = self.address.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{known}{path}")
    }
}
