//! Partitions: the parts into which a module is divided, by the keys of its messages.

use std::{cell::Cell, fmt};

use modulith_contract::{Message, partition_of};
use serde::{Deserialize, Serialize};

/// How many partitions a module may have. Every one has a thread and two open files where it is
/// hosted, and the number cannot be changed later: enough to spread one module over a large cluster.
pub const PARTITIONS_MAX: u16 = 256;

/// One partition of a module, and how many there are.
///
/// What has no key (an event without one) belongs to the first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u16)", into = "(u16, u16)")]
pub struct Partition {
    index: u16,
    count: u16,
}

impl Partition {
    /// The only one, of a module that is not divided.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Partition `index`, from 0, of `count`. None when there is no such partition.
    pub fn new(index: u16, count: u16) -> Option<Self> {
        (index < count && count <= PARTITIONS_MAX).then_some(Self { index, count })
    }

    /// All partitions of a module with that many.
    pub fn all(count: u16) -> impl Iterator<Item = Self> {
        (0..count).map(move |index| Self { index, count })
    }

    /// Which one, from 0.
    pub fn index(self) -> u16 {
        self.index
    }

    /// How many there are.
    pub fn count(self) -> u16 {
        self.count
    }

    /// Whether there is more than one.
    pub fn is_divided(self) -> bool {
        self.count > 1
    }

    /// As a store writes it down.
    pub(crate) fn words(self) -> (u32, u32) {
        (self.index.into(), self.count.into())
    }

    /// What it is called, and its store: `cart`, or `cart/2` where cart is divided.
    pub fn name(self, module: &str) -> String {
        if self.is_divided() {
            format!("{module}/{}", self.index)
        } else {
            module.to_string()
        }
    }
}

impl TryFrom<(u16, u16)> for Partition {
    type Error = String;

    fn try_from((index, count): (u16, u16)) -> Result<Self, String> {
        Self::new(index, count).ok_or_else(|| format!("there is no partition {index} of {count}"))
    }
}

impl From<Partition> for (u16, u16) {
    fn from(partition: Partition) -> Self {
        (partition.index, partition.count)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} of {}", self.index, self.count)
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// The module in the name of one of its partitions, and which one, if the name says so.
pub fn named(name: &str) -> (&str, Option<u16>) {
    let parted = name.split_once('/');
    let parsed = parted.and_then(|(module, index)| Some((module, index.parse().ok()?)));
    match parsed {
        Some((module, index)) => (module, Some(index)),
        None => (name, None),
    }
}

/// The partition, of `count`, that a message's key belongs to; none when it has no key.
pub(crate) fn of_message<M: Message>(message: &M, count: u16) -> Option<u16> {
    thread_local! {
        /// Kept, so that asking costs no allocation.
        static KEY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    // Taken out, because a key may be written by code of a contract.
    let mut key = KEY.take();
    key.clear();
    let partition = message
        .write_key(&mut key)
        .then(|| partition_of(&key, count.into()));
    KEY.set(key);
    partition.map(|partition| u16::try_from(partition).expect("a partition is below their count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_one_of_those_there_are() {
        assert_eq!(Partition::new(0, 1), Some(Partition::WHOLE));
        assert!(Partition::new(3, 4).is_some());
        assert_eq!(Partition::new(4, 4), None);
        assert_eq!(Partition::new(0, 0), None);
        assert_eq!(Partition::new(0, PARTITIONS_MAX + 1), None);
    }

    #[test]
    fn names_lead_back_to_partitions() {
        let names: Vec<_> = Partition::all(2).map(|one| one.name("cart")).collect();
        assert_eq!(names, ["cart/0", "cart/1"]);
        assert_eq!(named(&names[1]), ("cart", Some(1)));
        assert_eq!(Partition::WHOLE.name("cart"), "cart");
        assert_eq!(named("cart"), ("cart", None));
        assert_eq!(named("cart/x"), ("cart/x", None));
    }
}
