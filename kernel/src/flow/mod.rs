//! Durable workflows: commands whose steps reach beyond one store.
//!
//! A flow is the code of [`Conduct`](crate::Conduct), run with a journal. What its steps came to
//! is kept in the module's store, so that after a crash the code runs again from its beginning
//! and gets the same answers up to where it was: the code must therefore take the same steps in
//! the same order whenever it gets the same answers.
//!
//! What is asked of others carries an id made from the flow's and the step's, and the one asked
//! keeps its reply under it (`inbox`), so that asking again after a crash changes nothing. This is
//! why the journal need not be on disk after every step: answers that could turn out otherwise (a
//! query's, the time, chance) are written down before the next step that others would notice, and
//! a command's answer whenever something else is.
//!
//! - `step` is what a flow can do, with `ask`, `commit`, `effect` and `wait` for its larger steps;
//! - `journal` is the memory of one flow, and knows what has to be written when;
//! - `run` takes a flow from its start or its last journal entry to its end, undoing on failure;
//! - `flows` holds the flows of a module that are running, and whoever waits for them;
//! - `record` is their stored form.

mod ask;
mod commit;
mod effect;
mod flows;
mod journal;
mod operate;
mod path;
mod record;
mod retry;
mod run;
mod step;
mod wait;

pub use operate::{FlowLine, FlowPart, FlowStand};
pub use retry::Retry;
pub use step::Flow;
pub use wait::Expected;

pub use ask::Ask;
pub use commit::Commit;
pub use effect::Run;
pub use flows::FLOWS_RUNNING_MAX;

pub(crate) use flows::Flows;
pub(crate) use operate::{
    Order, ended_ids, ids_of_steps, ids_of_waits, list, order, parked_count, show, unended,
    with_prefix,
};
pub(crate) use path::Path;
pub(crate) use record::{ENDED, STEPS};
pub(crate) use run::{Resume, begin, orphan, resume, unfinished};
pub(crate) use wait::arrived;
