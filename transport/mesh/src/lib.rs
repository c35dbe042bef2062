//! Which replica a call goes to, whether it is sent again, how soon, and what traffic policy says
//! of it.
//!
//! Decisions alone: no I/O, no clock, no randomness. Time and random numbers are passed in, so
//! every decision can be tested and simulated; whoever carries calls (`host/src/mesh`) does the
//! rest. On the way of every call there are only atomics: a pick costs some tens of nanoseconds
//! and allocates nothing.
//!
//! - [`Group`] and [`Replica`]: power of two choices over calls in flight and latency, and which
//!   replicas are left alone because they fail.
//! - [`Budget`], [`backoff`] and [`Again`]: how often and how soon something is sent again.
//! - [`Policy`]: what the configuration says of a message, and the [`Decision`] for one call.

mod again;
mod backoff;
mod balance;
mod budget;
mod health;
mod latency;
mod policy;
mod ticks;

pub use again::{Again, again};
pub use backoff::{BACKOFF_FIRST, BACKOFF_MAX, backoff};
pub use balance::{Group, Replica};
pub use budget::{Budget, BudgetOptions};
pub use health::{Change, Ejection, Verdict};
pub use policy::{Decision, Injection, Mirror, Policy};
