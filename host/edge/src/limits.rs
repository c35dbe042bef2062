//! What a client may take of the server.

use std::time::Duration;

/// The largest request body, in bytes.
///
/// 64 KiB: a checkout form filled to its limits is under 4 KiB.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// How long a client may take to send a request's head, and how long an idle connection is kept.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
