//! How large and how many: every bound of the protocol, by name and unit.

/// The bounds one side of a connection keeps and expects.
///
/// Both sides of a connection should use the same values; where they differ the stricter one
/// decides, with an error that names the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The longest frame on the lane, in bytes, its length prefix not counted.
    ///
    /// A message whose frame would be longer travels on a stream of its own. Default 64 KiB: a
    /// frame is copied twice on its way, and one that is longer delays the small ones behind it.
    pub frame_bytes_max: u32,
    /// The longest hello, in bytes. Default 256 KiB: 4,096 messages with names of 50 bytes.
    pub hello_bytes_max: u32,
    /// The longest body of a request or a reply, in bytes. Default 16 MiB.
    pub body_bytes_max: u32,
    /// How many bytes of request bodies one peer may have in service at once. Default 128 MiB:
    /// eight of the largest bodies.
    pub served_bytes_max: u64,
    /// How many modules a hello may list. Default 256.
    pub modules_max: u16,
    /// How many messages a hello may list. Default 4,096.
    pub messages_max: u16,
    /// The longest name of an application, process, module or message, in bytes. Default 128.
    pub name_bytes_max: u8,
    /// How many requests may be unanswered on one connection, in each direction.
    ///
    /// Default 4,096: at the 0.8 M requests per second a lane carries, that is 5 ms of work.
    pub requests_in_flight_max: u32,
    /// How many answers may be streams of items at once on one connection.
    ///
    /// They count among the requests in flight too. Default 48: each may hold a window of data
    /// that nobody takes yet, in all 60 MiB.
    pub streams_in_flight_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 64 << 10,
            hello_bytes_max: 256 << 10,
            body_bytes_max: 16 << 20,
            served_bytes_max: 128 << 20,
            modules_max: 256,
            messages_max: 4096,
            name_bytes_max: 128,
            requests_in_flight_max: 4096,
            streams_in_flight_max: 48,
        }
    }
}
