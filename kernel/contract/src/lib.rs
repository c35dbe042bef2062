//! What every Modulith message is.
//!
//! A module's contract crate holds all that other modules may know of it: its messages, refusals
//! and ids, as plain data. This crate gives those their vocabulary and nothing else: no actor, no
//! store, no socket, no codec. It depends on serde alone and changes rarely, because every
//! contract, and so every module, is compiled against it.
//!
//! ```
//! use modulith_contract::{Command, Event, Id, Never, Query, Refusal, Schema};
//! use serde::{Deserialize, Serialize};
//!
//! /// Names one shopper.
//! #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Id)]
//! pub struct ShopperId(String);
//!
//! /// Adds one thing to the basket. Sent twice, it adds two things.
//! #[derive(Debug, Clone, Serialize, Deserialize, Command)]
//! #[command(module = "basket", key = shopper, reply = u32, refusal = AddThingRefusal)]
//! pub struct AddThing {
//!     /// Whose basket.
//!     pub shopper: ShopperId,
//! }
//!
//! /// Why a thing is not added.
//! #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Refusal)]
//! pub enum AddThingRefusal {
//!     /// The basket holds all it can.
//!     #[refusal(precondition, "the basket already holds {max} things")]
//!     BasketIsFull {
//!         /// How many things fit.
//!         max: u32,
//!     },
//! }
//!
//! let refusal = AddThingRefusal::BasketIsFull { max: 10 };
//! assert_eq!(refusal.to_string(), "the basket already holds 10 things");
//! ```

mod fault;
mod id;
mod key;
mod message;
mod outcome;
mod schema;
mod secret;
mod time;

pub use fault::Fault;
pub use id::{ID_BYTES_MAX, InvalidId};
pub use key::{Key, MalformedKey, partition_of};
pub use message::{
    Command, Event, FanOut, FanOutRule, Gather, Kind, Message, Query, Request, StreamQuery,
};
pub use modulith_derive::{Command, Event, Id, Query, Refusal, Schema};
pub use outcome::{Never, Outcome, Refusal, RefusalKind, Stop};
pub use schema::{Field, Fingerprint, Schema, Shape, Variant};
pub use secret::{Secret, withholding_secrets};
pub use time::Timestamp;

/// What the derives name in the code they write. Not part of the contract vocabulary.
#[doc(hidden)]
pub mod derive_support {
    pub use crate::{id::check_id, message::fan_out};
    pub use serde;
}

// Lets this crate's own tests use the derives, which name the crate by path.
#[cfg(test)]
extern crate self as modulith_contract;
