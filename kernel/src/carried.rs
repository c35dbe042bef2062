//! What travels with a message besides its contents, and with everything asked because of it.

use std::sync::Arc;

/// How much a message matters when not everything can be served.
///
/// Under overload the less important is refused first; nothing overtakes what waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Priority {
    /// What keeps the application running: health, operators.
    Critical = 0,
    /// What has begun and is worth finishing, such as an order.
    High = 1,
    /// Everything that says nothing else.
    #[default]
    Normal = 2,
    /// What nobody misses, such as a copy of traffic for a trial.
    Low = 3,
}

impl Priority {
    /// How much of something bounded this priority may fill, the rest being kept for what matters
    /// more.
    pub(crate) fn share_of(self, most: usize) -> usize {
        match self {
            Self::Critical => most,
            Self::High => most - most / 16,
            Self::Normal => most - most / 8,
            Self::Low => most / 2,
        }
    }

    /// The priority as a frame carries it; a number that is none is the lowest.
    pub fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Critical,
            1 => Self::High,
            2 => Self::Normal,
            _ => Self::Low,
        }
    }
}

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;

/// What a message carries along. Whatever is asked while it is answered carries the same.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Carried {
    /// How much it matters.
    pub priority: Priority,
    tag: Option<Arc<str>>,
}

impl Carried {
    /// What a message of this priority carries, without a tag.
    pub fn of(priority: Priority) -> Self {
        Self {
            priority,
            tag: None,
        }
    }

    /// What a flow's steps and the kernel's own work carry: what has begun is finished before
    /// something new begins.
    pub(crate) fn begun() -> Self {
        Self::of(Priority::High)
    }

    /// The same with a tag by which traffic policy may route it; without one if the tag is empty
    /// or longer than [`TAG_BYTES_MAX`].
    #[must_use]
    pub fn tagged(self, tag: &str) -> Self {
        let fits = (1..=TAG_BYTES_MAX).contains(&tag.len());
        Self {
            tag: fits.then(|| tag.into()),
            ..self
        }
    }

    /// The tag by which traffic policy may route it.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }
}
