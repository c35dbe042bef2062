//! A contract with everything a contract may have.

use std::collections::BTreeMap;

use modulith_contract::{
    Command, Event, Fingerprint, Id, Kind, Message, Query, Refusal, RefusalKind, Schema, Shape,
    StreamQuery,
};
use serde::{Deserialize, Serialize};

/// Names a shopper.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
pub struct ShopperId(String);

/// A thing, and things inside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub struct Thing {
    /// What it weighs.
    pub grams: Option<f64>,
    /// What is inside.
    pub inside: Vec<Thing>,
    /// What it is called in which language.
    pub names: BTreeMap<String, String>,
}

/// A newtype, a tuple, a variant of each form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
pub enum Wrapping {
    /// None.
    Bare,
    /// In paper, of a colour.
    Paper(u8, String),
    /// In a box.
    Boxed {
        /// Millimetres.
        size: (u32, u32),
    },
}

/// Adds a thing.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "basket", key = shopper, reply = Vec<u32>, refusal = AddThingRefusal)]
pub struct AddThing {
    /// Whose.
    pub shopper: ShopperId,
    /// What.
    pub thing: Thing,
    /// In what.
    pub wrapping: Wrapping,
}

/// Neither key nor reply nor refusal, and no fields.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(module = "basket")]
pub struct Sweep;

/// A key that is a pair.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "basket", key = place, reply = Option<Thing>)]
pub struct FindThing {
    /// Whose, and which.
    pub place: (ShopperId, u32),
}

/// Answered by a sequence.
#[derive(Debug, Clone, Serialize, Deserialize, Query)]
#[query(module = "basket", key = shopper, stream = Thing, refusal = AddThingRefusal)]
pub struct ListThings {
    /// Whose.
    pub shopper: ShopperId,
}

/// The same by another name, of one value.
mod of_one {
    use super::*;

    #[derive(Debug, Clone, Serialize, Deserialize, Query)]
    #[query(module = "basket", key = shopper, reply = Thing, refusal = AddThingRefusal)]
    pub struct ListThings {
        pub shopper: ShopperId,
    }
}

fn items_of<Q: StreamQuery<Item = Thing, Refusal = AddThingRefusal>>() {}

/// A thing was added.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(module = "basket", key = shopper,)]
pub struct ThingAdded {
    /// Whose.
    pub shopper: ShopperId,
}

/// Why a thing is not added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
pub enum AddThingRefusal {
    /// The basket holds all it can.
    #[refusal(precondition, "the basket already holds {max} things")]
    BasketIsFull {
        /// How many fit.
        max: u32,
    },
    /// Nobody knows the thing.
    #[refusal(not_found, "there is no thing {_0:?}")]
    UnknownThing(String),
    /// It cannot be.
    #[refusal(invalid, "a thing weighs {{something}}")]
    Weightless,
}

fn main() {
    assert_eq!((AddThing::MODULE, AddThing::NAME), ("basket", "AddThing"));
    assert_eq!(AddThing::KIND, Kind::Command);
    assert_eq!(FindThing::KIND, Kind::Query);
    assert_eq!(ThingAdded::KIND, Kind::Event);
    assert_eq!(ListThings::KIND, Kind::StreamQuery);
    items_of::<ListThings>();
    assert_ne!(ListThings::fingerprint(), of_one::ListThings::fingerprint());
    let shopper = ShopperId::new("ann").unwrap();
    let mut key = Vec::new();
    assert!(ThingAdded { shopper: shopper.clone() }.write_key(&mut key));
    assert_eq!(key, b"ann\0\0");
    assert!(!Sweep.write_key(&mut key));
    let pair = FindThing { place: (shopper, 7) };
    assert!(pair.write_key(&mut key));
    assert_eq!(key, b"ann\0\0ann\0\0\0\0\0\x07");
    assert!(ShopperId::new("not an id").is_err());
    assert_ne!(AddThing::fingerprint(), Sweep::fingerprint());
    assert_ne!(Sweep::fingerprint(), Fingerprint(0));
    assert!(matches!(Thing::shape(), Shape::Struct { fields, .. } if fields.len() == 3));
    let words = [
        (
            AddThingRefusal::BasketIsFull { max: 9 },
            "the basket already holds 9 things",
            RefusalKind::Precondition,
        ),
        (
            AddThingRefusal::UnknownThing("mug".to_string()),
            "there is no thing \"mug\"",
            RefusalKind::NotFound,
        ),
        (
            AddThingRefusal::Weightless,
            "a thing weighs {something}",
            RefusalKind::Invalid,
        ),
    ];
    for (refusal, text, kind) in words {
        assert_eq!((refusal.to_string().as_str(), refusal.kind()), (text, kind));
    }
}
