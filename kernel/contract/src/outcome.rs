//! How an exchange ends: a reply, a refusal, or a fault.

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Fault, Request, Schema, Shape};

/// What asking `M` comes to: its reply, or why there is none.
pub type Outcome<M> = Result<<M as Request>::Reply, Stop<<M as Request>::Refusal>>;

/// Why there is no reply.
///
/// `?` turns both a refusal and a [`Fault`] into it, so a handler can pass either on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop<R> {
    /// The business said no; the asker decides what that means.
    Refused(R),
    /// The message may not have arrived, or could not be handled; the asker retries or copes.
    Fault(Fault),
}

impl<R: Refusal> Stop<R> {
    /// Turns the refusal into another contract's, leaving a fault as it is.
    pub fn map_refusal<S>(self, to: impl FnOnce(R) -> S) -> Stop<S> {
        match self {
            Self::Refused(refusal) => Stop::Refused(to(refusal)),
            Self::Fault(fault) => Stop::Fault(fault),
        }
    }
}

impl<R: Refusal> From<R> for Stop<R> {
    fn from(refusal: R) -> Self {
        Self::Refused(refusal)
    }
}

impl<R> From<Fault> for Stop<R> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Stop<Never> {
    /// The fault: a request whose refusal is [`Never`] can fail in no other way.
    pub fn into_fault(self) -> Fault {
        match self {
            Self::Refused(never) => match never {},
            Self::Fault(fault) => fault,
        }
    }
}

impl<R: fmt::Display> fmt::Display for Stop<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl<R: fmt::Debug + fmt::Display> std::error::Error for Stop<R> {}

/// The business says no: a typed part of the contract, one variant per state of the world that
/// stands in the way.
///
/// Derived: `#[refusal(kind, "message with {fields}")]` on each variant.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a refusal",
    label = "not a refusal",
    note = "a refusal is an enum with `#[derive(Refusal)]` whose variants say \
            `#[refusal(kind, \"words\")]`"
)]
pub trait Refusal:
    Schema + Serialize + DeserializeOwned + fmt::Debug + fmt::Display + Send + Sync + 'static
{
    /// What sort of no it is, for edges that speak in status codes.
    fn kind(&self) -> RefusalKind;
}

/// The sorts of refusal that HTTP and gRPC tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The request makes no sense whatever the state: HTTP 422, gRPC `INVALID_ARGUMENT`.
    Invalid,
    /// What it names does not exist: HTTP 404, gRPC `NOT_FOUND`.
    NotFound,
    /// The state of the world does not allow it: HTTP 409, gRPC `FAILED_PRECONDITION`.
    Precondition,
}

/// The refusal of a request that the business never refuses. It has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Never {}

impl fmt::Display for Never {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Schema for Never {
    fn shape() -> Shape {
        Shape::Enum {
            name: "Never",
            module: module_path!(),
            docs: "",
            variants: &[],
        }
    }
}

impl Refusal for Never {
    fn kind(&self) -> RefusalKind {
        match *self {}
    }
}
