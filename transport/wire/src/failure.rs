//! Why the transport of the serving side did not answer a request with a reply.

/// What a serving process answers when its handler gave no reply.
///
/// Refusals and faults of the handler itself are not among them: they travel inside replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request or the reply is larger than the limit.
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The limit of the serving side.
        bytes_max: u64,
    },
    /// Too many requests, or too many bytes of them, are in service. Nothing was started.
    Overloaded {
        /// When another try is worth it, in milliseconds.
        retry_after_ms: u32,
    },
    /// The process is shutting down.
    Stopped {
        /// What it says about it.
        reason: String,
    },
    /// The handler panicked.
    Panicked,
    /// The deadline had passed when the request could have been started. Nothing was started.
    Late,
    /// The request was cancelled before it was answered.
    Cancelled,
}

pub(crate) mod code {
    pub(crate) const TOO_LARGE: u8 = 1;
    pub(crate) const OVERLOADED: u8 = 2;
    pub(crate) const STOPPED: u8 = 3;
    pub(crate) const PANICKED: u8 = 4;
    pub(crate) const LATE: u8 = 5;
    pub(crate) const CANCELLED: u8 = 6;
}
