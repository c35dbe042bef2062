//! Processes by their number, and only those that ours have started.
//!
//! A number may be another process's by the time it is used, as when a run file outlives who wrote
//! it. So a process is first held, by a descriptor that never becomes another's; then its parent
//! is looked at, which cannot be another's either, because we have not waited for it; and then it
//! is killed by the descriptor.

use std::{fs, io, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A child of one of our children.
pub(super) struct Kin {
    number: u32,
    held: OwnedFd,
}

impl Kin {
    /// Takes hold of a process, if this child of ours is its parent and it has not ended.
    pub(super) fn of(parent: u32, number: u32) -> Option<Self> {
        let held = pidfd_open(pid(number)?, PidfdFlags::empty()).ok()?;
        let is_ours = Standing::of(number).is_some_and(|it| it.parent == parent && !it.has_ended);
        is_ours.then_some(Self { number, held })
    }

    /// All that a child of ours has started.
    pub(super) fn all(parent: u32) -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let kin = numbers.filter_map(|number: u32| Self::of(parent, number));
        kin.collect()
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn kill(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.held, Signal::KILL)?)
    }

    /// Whether it has let go of everything. It may still wait to be waited for.
    pub(super) fn has_ended(&self) -> bool {
        Standing::of(self.number).is_none_or(|it| it.has_ended)
    }
}

pub(super) fn pid(number: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(number).ok()?)
}

struct Standing {
    parent: u32,
    has_ended: bool,
}

impl Standing {
    /// From `/proc/NUMBER/stat` (proc(5)): number, name in parentheses, state, parent.
    fn of(number: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
        // A name may have parentheses and spaces in it.
        let (_, rest) = text.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?;
        Some(Self {
            has_ended: matches!(state, "Z" | "X"),
            parent: fields.next()?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn only_children_of_the_parent_are_taken_hold_of() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let us = std::process::id();
        assert!(Kin::of(us, child.id()).is_some());
        assert!(Kin::of(child.id(), us).is_none());
        assert!(Kin::of(us, us).is_none());
        let kin = Kin::of(us, child.id()).unwrap();
        kin.kill().unwrap();
        child.wait().unwrap();
        assert!(kin.has_ended());
        assert!(kin.kill().is_err());
        assert!(Kin::of(us, child.id()).is_none());
    }
}
