//! Values that travel in messages and are kept nowhere.

use std::{cell::Cell, fmt};

use serde::{Deserialize, Serialize, Serializer};

use crate::{Schema, Shape};

/// A value for the handler's eyes only, such as a card: it travels inside a message, and
/// everything that outlasts the message leaves it out.
///
/// When the kernel writes a message down (a flow's journal, a table, an event, the digest that
/// tells a command sent again from another one) the secret is withheld, and reading it back gives
/// one without its value. Printing shows nothing of it.
///
/// ```
/// use modulith_contract::Secret;
///
/// let pin = Secret::new(1234);
/// assert_eq!(pin.reveal(), Some(&1234));
/// assert_eq!(format!("{pin:?}"), "withheld");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(Option<T>);

impl<T> Secret<T> {
    /// Makes a value secret.
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// The value; none when it comes from something that was written down.
    pub fn reveal(&self) -> Option<&T> {
        self.0.as_ref()
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("withheld")
    }
}

impl<T: Schema> Schema for Secret<T> {
    fn shape() -> Shape {
        Shape::Option(T::shape)
    }
}

impl<T: Serialize> Serialize for Secret<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(value) if !WITHHELD.get() => serializer.serialize_some(value),
            _ => serializer.serialize_none(),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self)
    }
}

thread_local! {
    /// Whether what this thread serialises now is written down rather than sent. A thread-local,
    /// because serde lets nothing travel from the caller of `serialize` to a field's own.
    static WITHHELD: Cell<bool> = const { Cell::new(false) };
}

/// Serialises with secrets withheld. For whoever writes messages down: the kernel's codec.
pub fn withholding_secrets<T>(serialise: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHHELD.set(self.0);
        }
    }
    let _restore = Restore(WITHHELD.replace(true));
    serialise()
}
