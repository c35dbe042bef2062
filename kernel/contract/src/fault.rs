//! What can go wrong with a message apart from the business saying no.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The message may not have arrived, or could not be handled.
///
/// Faults are the kernel's and the transport's; a contract never lists them, and every request
/// can meet them. After [`Fault::Overloaded`], [`Fault::Denied`], [`Fault::Mismatch`],
/// [`Fault::KeyReused`] and [`Fault::Panicked`] a command took no effect; after any other it may
/// have, because a reply can be lost on its way: send it again under its idempotency key to learn
/// which. A flow that ends with a fault has undone what it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The deadline passed before there was a reply.
    Late,
    /// No process that hosts the module could be reached, or the connection broke.
    Unreachable {
        /// The module asked.
        module: String,
        /// What stood in the way.
        reason: String,
    },
    /// A bounded queue on the way was full; nothing was started.
    Overloaded {
        /// The module asked.
        module: String,
        /// When another try is worth it, in milliseconds.
        retry_after_ms: u32,
    },
    /// The module failed too often and was stopped, or its process is shutting down.
    Stopped {
        /// The module asked.
        module: String,
        /// Why it stopped.
        reason: String,
    },
    /// The handler panicked; what it had changed was rolled back.
    Panicked {
        /// The module asked.
        module: String,
    },
    /// The module's store could not read or commit.
    Store {
        /// The module asked.
        module: String,
        /// What the store said.
        reason: String,
    },
    /// The encoded message is larger than the limit and was not sent, or the reply is and was not.
    TooLarge {
        /// Its encoded size, where known.
        bytes: u64,
        /// The limit, in bytes.
        bytes_max: u64,
    },
    /// The asker's declaration does not list the message.
    Denied {
        /// Who asked.
        caller: String,
        /// What was asked, as `module.Message`.
        message: String,
    },
    /// The two processes were built with different definitions of the message.
    Mismatch {
        /// The message, as `module.Message`.
        message: String,
    },
    /// Bytes that do not decode to the message they claim to be.
    Malformed {
        /// The message, as `module.Message`.
        message: String,
        /// What the decoder said.
        reason: String,
    },
    /// The idempotency key belongs to another command, or to this one with other contents.
    KeyReused {
        /// The message sent under it now, as `module.Message`.
        message: String,
    },
    /// The flow was cancelled by an operator; what it had done is undone.
    Cancelled {
        /// The flow, in hexadecimal.
        flow: String,
    },
    /// The flow cannot go on by itself and waits for an operator; nothing of it is lost.
    Parked {
        /// The flow, in hexadecimal.
        flow: String,
        /// Why it cannot go on.
        reason: String,
    },
}

impl Fault {
    /// Whether the same message may fare better later, so that trying again makes sense.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Late
            | Self::Unreachable { .. }
            | Self::Overloaded { .. }
            | Self::Stopped { .. }
            | Self::Panicked { .. }
            | Self::Store { .. } => true,
            Self::TooLarge { .. }
            | Self::Denied { .. }
            | Self::Mismatch { .. }
            | Self::Malformed { .. }
            | Self::KeyReused { .. }
            | Self::Cancelled { .. }
            | Self::Parked { .. } => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => write!(f, "no reply before the deadline"),
            Self::Unreachable { module, reason } => {
                write!(f, "module {module} is unreachable: {reason}")
            }
            Self::Overloaded {
                module,
                retry_after_ms,
            } => {
                write!(
                    f,
                    "module {module} is overloaded, try again in {retry_after_ms} ms"
                )
            }
            Self::Stopped { module, reason } => write!(f, "module {module} is stopped: {reason}"),
            Self::Panicked { module } => {
                write!(
                    f,
                    "module {module} panicked; the message left nothing behind"
                )
            }
            Self::Store { module, reason } => {
                write!(f, "the store of module {module} failed: {reason}")
            }
            Self::TooLarge { bytes, bytes_max } => {
                write!(
                    f,
                    "{bytes} bytes are more than the limit of {bytes_max} bytes for a message"
                )
            }
            Self::Denied { caller, message } => {
                write!(f, "{caller} does not declare that it asks {message}")
            }
            Self::Mismatch { message } => {
                write!(
                    f,
                    "the two processes define {message} differently; run one version of both"
                )
            }
            Self::Malformed { message, reason } => {
                write!(f, "bytes that do not decode to {message}: {reason}")
            }
            Self::KeyReused { message } => {
                write!(
                    f,
                    "the idempotency key of this {message} was used for another one"
                )
            }
            Self::Cancelled { flow } => write!(f, "flow {flow} was cancelled"),
            Self::Parked { flow, reason } => write!(f, "flow {flow} is parked: {reason}"),
        }
    }
}

impl std::error::Error for Fault {}
