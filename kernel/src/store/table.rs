//! Typed tables: which bytes are which entity.

use std::marker::PhantomData;

use modulith_contract::{Fault, Key};
use serde::{Serialize, de::DeserializeOwned};

use crate::codec;

/// Names a table of a module's store and types its keys and values.
///
/// ```
/// use modulith_kernel::Table;
///
/// /// How many pieces of each thing are in stock.
/// const STOCK: Table<String, u32> = Table::new("stock");
/// ```
///
/// Values are encoded by serde through the kernel's codec, without field names: changing the
/// type of a value changes what is stored, so raise `Module::STORE_VERSION` and migrate.
#[derive(Debug)]
pub struct Table<K, V> {
    pub(crate) name: &'static str,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Table<K, V> {
    /// Names a table. Names beginning with `modulith.` are the kernel's.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            types: PhantomData,
        }
    }
}

impl<K: Key, V: Serialize + DeserializeOwned> Table<K, V> {
    pub(crate) fn key_bytes(&self, key: &K) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(24);
        key.write(&mut bytes);
        bytes
    }

    pub(crate) fn value_bytes(&self, module: &str, value: &V) -> Result<Vec<u8>, Fault> {
        codec::encode_kept(value).map_err(|error| self.fault(module, &error))
    }

    pub(crate) fn value(&self, module: &str, bytes: &[u8]) -> Result<V, Fault> {
        codec::decode(bytes).map_err(|error| self.fault(module, &error))
    }

    pub(crate) fn key(&self, module: &str, mut bytes: &[u8]) -> Result<K, Fault> {
        K::read(&mut bytes).map_err(|error| self.fault(module, &error))
    }

    fn fault(&self, module: &str, error: &dyn std::error::Error) -> Fault {
        Fault::Store {
            module: module.to_string(),
            reason: format!("table {}: {error}", self.name),
        }
    }
}
