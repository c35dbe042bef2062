//! Modules as actors that own a store and speak by typed messages.
//!
//! The way of a message, which is also the order to read this crate in:
//!
//! - a [`Module`] makes its [`Declaration`]: what it handles, answers, publishes, listens to and
//!   asks;
//! - a [`Node`] hosts the modules of one process and gives each a [`Port`];
//! - `port` takes a request to its module (`divided` to the right [`Partition`] of it): a query is
//!   answered where it stands, a command goes into the module's `mailbox`, and a `stream` is made as
//!   its items are taken;
//! - `actor` runs what waits there in one transaction ([`Tx`]) on the module's `store`, commits,
//!   and replies;
//! - a command that needs others is a [`Flow`], whose journal is in that store too;
//! - `inbox` knows commands that come again;
//! - `feed` brings the events of that commit to those who listen, `follow` has them handled there,
//!   `dead` keeps those that cannot be, and `retention` removes what everybody has had;
//! - `network` does the same for modules in other processes, with everything encoded by `codec`.
//!
//! What the kernel leaves to others: moving bytes between processes (a [`Network`]), reading
//! configuration, and everything about the outside world, which comes in as an [`Environment`].

mod actor;
mod audit;
mod carried;
pub mod codec;
mod context;
mod dead;
mod declaration;
mod divided;
mod environment;
mod expiry;
mod faults;
mod feed;
mod flow;
mod follow;
pub mod graph;
mod head;
mod home;
mod inbox;
mod instance;
mod ledger;
mod log;
mod mailbox;
mod module;
mod network;
mod node;
mod operation;
mod options;
pub mod partition;
mod port;
mod retention;
mod status;
pub mod storage;
mod store;
mod stream;
mod thread;
mod work;

pub use modulith_contract::*;

pub use actor::{BATCH_COMMANDS_MAX, GIVE_UP_PANICS, GIVE_UP_WINDOW, MAILBOX_MESSAGES_MAX};
pub use audit::{Audit, Check, Counted, Finding, Followed};
pub use carried::{Carried, Priority, TAG_BYTES_MAX};
pub use context::Context;
pub use dead::{DEAD_LETTERS_LISTED_MAX, DeadLetter, DeadLetterError};
pub use declaration::{Declaration, DeclaredMessage, Manifest, MessageName};
pub use environment::{
    Clock, Environment, Randomness, SeededRandomness, SystemClock, SystemRandomness,
};
pub use feed::{FEED_BYTES_MAX, FEED_EVENTS_MAX, feed_message};
pub use flow::{
    Ask, Commit, Expected, FLOWS_RUNNING_MAX, Flow, FlowLine, FlowPart, FlowStand, Retry, Run,
};
pub use ledger::{Account, Announced, Entry, Ledger};
pub use log::EventLine;
pub use module::{Answer, Conduct, Handle, Listen, Module, Setup, SetupError};
pub use network::{Call, Network, fault_in};
pub use node::{CONDUCT_DRAIN_MAX, Neighbour, Node, NodeBuilder, NodeError};
pub use operation::{Answered, EVENTS_LISTED_MAX, LetterId, Operation, OperationError};
pub use options::{Durability, ListenFrom, OPTION_KEYS, Options, Poison};
pub use partition::{PARTITIONS_MAX, Partition};
pub use port::{Port, REPLY_TIMEOUT};
pub use retention::{TRIM_EVENTS_MAX, Trimmed};
pub use status::{LogStatus, ModuleStatus, SubscriberStatus, SubscriptionStatus};
pub use store::{
    Backup, BackupError, Record, RestoreError, Restored, STORE_CACHE_BYTES, STORE_CACHE_BYTES_MIN,
    Snapshot, StoreError, StoreInfo, Table, Tx, restore,
};
pub use stream::{AnswerStream, Items};
