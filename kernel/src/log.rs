//! Reading a module's event log for people and tools.

use std::ops::ControlFlow;

use modulith_contract::{Fault, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Event, Node, codec, codec::CodecError, partition, retention, store::EVENTS};

/// How many encoded bytes a listing reads at most, unless its first row is larger: 16 MiB.
pub(crate) const LISTED_BYTES_MAX: usize = 16 << 20;

/// One event of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    /// Its number in the log.
    pub number: u64,
    /// Its name.
    pub name: String,
    /// When it was published.
    pub at: Timestamp,
    /// The id of the message that caused it, in hexadecimal digits.
    pub cause: String,
    /// The event, as JSON text.
    pub body: String,
}

/// An event the module publishes, and how to print it.
pub(crate) struct Published {
    pub(crate) name: &'static str,
    pub(crate) print: Print,
    pub(crate) partition: PartitionOf,
}

/// The partition, of so many that a subscriber has, that an encoded event is for.
///
/// The key is read out of the event rather than kept beside it: logs stay what they were, and
/// only events that a divided subscriber asks for are decoded.
pub(crate) type PartitionOf = fn(&[u8], u16) -> u16;

/// What has no key is for the first partition, and what cannot be decoded: one of them has to
/// find that out.
pub(crate) fn partition<E: Event>(body: &[u8], count: u16) -> u16 {
    let event = codec::decode::<E>(body).ok();
    let partition = event.and_then(|event| partition::of_message(&event, count));
    partition.unwrap_or(0)
}

/// Turns an encoded event into JSON text.
pub(crate) type Print = fn(&[u8]) -> Result<String, CodecError>;

pub(crate) fn print<E: Event>(body: &[u8]) -> Result<String, CodecError> {
    let event: E = codec::decode(body)?;
    serde_json::to_string(&event).map_err(|error| CodecError::Unencodable(error.to_string()))
}

/// The event as JSON text; a JSON string that says why not, where that is impossible.
pub(crate) fn printed(print: Option<Print>, body: &[u8]) -> String {
    let reason = match print.map(|print| print(body)) {
        Some(Ok(text)) => return text,
        Some(Err(error)) => error.to_string(),
        None => "it is not declared any more".to_string(),
    };
    let text = format!("{} bytes that cannot be printed: {reason}", body.len());
    serde_json::Value::from(text).to_string()
}

impl Node {
    /// The events of a module that follow a number, at most `limit` of them, and fewer when they
    /// are large: read on after the last one until there is none.
    ///
    /// # Errors
    /// [`Fault::Unreachable`] when the module does not run in this node, [`Fault::Denied`] when
    /// it has no store, [`Fault::Store`] when its disk fails.
    pub fn events(&self, module: &str, after: u64, limit: usize) -> Result<Vec<EventLine>, Fault> {
        let (home, tools) = self.tools(module)?;
        let mut lines = Vec::new();
        let mut bytes_left = LISTED_BYTES_MAX;
        let from = after.saturating_add(1);
        let snapshot = home.store()?.snapshot()?;
        snapshot.walk(&EVENTS, from.., |number, record, bytes| {
            if lines.len() >= limit || bytes_left == 0 {
                return ControlFlow::Break(());
            }
            bytes_left = bytes_left.saturating_sub(bytes);
            let declared = tools.published.iter().find(|e| e.name == record.name);
            lines.push(EventLine {
                number,
                body: printed(declared.map(|event| event.print), &record.body),
                name: record.name,
                at: record.at,
                cause: format!("{:032x}", record.cause),
            });
            ControlFlow::Continue(())
        })?;
        Ok(lines)
    }

    /// Removes the events of a module that are due to be removed, at once rather than at the next
    /// check. Returns how many they were.
    ///
    /// # Errors
    /// As [`Node::events`].
    pub async fn trim_events(&self, module: &str) -> Result<u64, Fault> {
        let (home, _) = self.tools(module)?;
        retention::trim(home).await
    }
}
