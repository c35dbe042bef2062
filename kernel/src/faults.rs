//! The faults that several parts of the kernel word alike.

use modulith_contract::{Fault, Message};

use crate::{MessageName, codec::CodecError};

pub(crate) fn malformed<M: Message>(error: &CodecError) -> Fault {
    Fault::Malformed {
        message: MessageName::of::<M>().to_string(),
        reason: error.to_string(),
    }
}

pub(crate) fn unencodable<M: Message>(error: &CodecError) -> Fault {
    match error {
        CodecError::TooLarge { bytes } => Fault::TooLarge {
            bytes: *bytes as u64,
            bytes_max: crate::codec::ENCODED_BYTES_MAX as u64,
        },
        other => malformed::<M>(other),
    }
}

pub(crate) fn stopped(module: &str, reason: impl Into<String>) -> Fault {
    Fault::Stopped {
        module: module.to_string(),
        reason: reason.into(),
    }
}

/// When another try at a full module is worth it, in milliseconds: about what it takes to work a
/// full mailbox off.
const RETRY_AFTER_MS: u32 = 100;

pub(crate) fn overloaded(module: &str) -> Fault {
    Fault::Overloaded {
        module: module.to_string(),
        retry_after_ms: RETRY_AFTER_MS,
    }
}
