//! The kinds of message, and what each carries with its type.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use crate::{Fingerprint, Refusal, Schema};

/// Whether a message changes state, reads it, or tells what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Asks for a change; handled one at a time per module partition, in a transaction.
    Command,
    /// Asks for an answer; read concurrently, on a snapshot.
    Query,
    /// A query that is answered by a sequence of items instead of one reply.
    StreamQuery,
    /// Tells what happened; appended to its module's log, in the commit that made it true.
    Event,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Command => "command",
            Self::Query => "query",
            Self::StreamQuery => "stream query",
            Self::Event => "event",
        })
    }
}

/// What all messages have: a home module, a name, a key and a schema.
///
/// Implemented by the derives, not by hand.
pub trait Message:
    Schema + Serialize + DeserializeOwned + fmt::Debug + Send + Sync + 'static
{
    /// The module that handles, answers or publishes this message.
    const MODULE: &'static str;
    /// The message's name, unique within its module.
    const NAME: &'static str;
    /// Whether it is a command, a query, a stream query or an event.
    const KIND: Kind;
    /// Whether it has a key, which decides the partition of its module that it belongs to.
    const KEYED: bool;

    /// Appends the bytes of the message's key, which decide its partition; returns false, and
    /// appends nothing, when its type has no key.
    fn write_key(&self, out: &mut Vec<u8>) -> bool;

    /// Digests everything both sides of a connection must agree on to exchange this message.
    fn fingerprint() -> Fingerprint;
}

/// A message that is asked and answered: a [`Command`] or a [`Query`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be asked",
    label = "neither a command nor a query",
    note = "what is asked has `#[derive(Command)]` or `#[derive(Query)]` in its module's contract"
)]
pub trait Request: Message {
    /// What the asker gets back.
    type Reply: Schema + Serialize + DeserializeOwned + fmt::Debug + Send + 'static;
    /// How the business may say no. [`crate::Never`] where it cannot.
    type Refusal: Refusal;

    /// How it is asked of every partition of a divided module; none when it is asked of one.
    fn fan_out() -> Option<FanOut<Self>> {
        None
    }
}

/// A request for a change of state.
///
/// Its handler runs alone in its partition, inside a transaction; the reply is sent when the
/// change is durable.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    label = "not a command",
    note = "a command has `#[derive(Command)]` in its module's contract"
)]
pub trait Command: Request {}

/// A question that changes nothing.
///
/// Answered concurrently, on a snapshot of what is durable; safe to repeat.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a query",
    label = "not a query",
    note = "a query has `#[derive(Query)]` in its module's contract, and `reply` instead of `stream`"
)]
pub trait Query: Request {}

/// A query that every partition of its module is asked, and what their replies make together.
///
/// Declared by `fan_out = all` or `fan_out = some` in the query's attributes:
///
/// ```
/// use modulith_contract::{Gather, Query};
/// use serde::{Deserialize, Serialize};
///
/// /// Counts the baskets there are.
/// #[derive(Debug, Clone, Serialize, Deserialize, Query)]
/// #[query(module = "basket", reply = u64, fan_out = all)]
/// pub struct CountBaskets {}
///
/// impl Gather for CountBaskets {
///     fn gather(replies: Vec<u64>, _missing: u16) -> u64 {
///         replies.into_iter().sum()
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` fans out, and nothing says what the replies of all partitions make together",
    label = "no `impl Gather for {Self}`",
    note = "a query with `fan_out` is asked of every partition of its module: implement `Gather` \
            for it in its contract, and derive `Clone`"
)]
pub trait Gather: Query + Clone {
    /// Makes one reply of those of the partitions, in order of partition, at least one.
    ///
    /// A partition that refused has nothing to add and is left out. `missing` is how many could
    /// not be asked: always 0 with `fan_out = all`. Where that can matter to the asker, the reply
    /// has a field for it.
    fn gather(replies: Vec<Self::Reply>, missing: u16) -> Self::Reply;
}

/// When a query that fans out fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FanOutRule {
    /// `fan_out = all`: with the fault of any partition.
    All,
    /// `fan_out = some`: when no partition replies. The reply is told how many are missing.
    Some,
}

/// How a query is asked of every partition. Written by the derive.
pub struct FanOut<R: Request> {
    /// When it fails.
    pub rule: FanOutRule,
    /// Makes one for another partition.
    pub copy: fn(&R) -> R,
    /// As [`Gather::gather`].
    pub gather: fn(Vec<R::Reply>, u16) -> R::Reply,
}

/// How a query that says how its replies are gathered fans out.
///
/// A function of its own, so that a missing [`Gather`] is told of in its words.
pub fn fan_out<Q: Gather>(rule: FanOutRule) -> FanOut<Q> {
    FanOut {
        rule,
        copy: Q::clone,
        gather: Q::gather,
    }
}

impl<R: Request> fmt::Debug for FanOut<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}

/// A question that is answered by a sequence of items, as many as there are.
///
/// For answers too long to be one value: exports, listings without pages, results that are ready
/// one by one. Like a [`Query`] it changes nothing. The items arrive in the order in which they
/// were made; the sequence ends whole, or with the refusal or fault that cut it short.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not answered by a stream",
    label = "not a stream query",
    note = "a stream query has `#[derive(Query)]` and `stream = Item` in its module's contract"
)]
pub trait StreamQuery: Message {
    /// What the sequence is made of.
    type Item: Schema + Serialize + DeserializeOwned + fmt::Debug + Send + 'static;
    /// How the business may say no, at the beginning or later. [`crate::Never`] where it cannot.
    type Refusal: Refusal;
}

/// A fact, named in the past tense.
///
/// Appended to its module's log in the commit that made it true; every subscriber handles it
/// once, in the log's order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "an event has `#[derive(Event)]` in its module's contract"
)]
pub trait Event: Message {}
