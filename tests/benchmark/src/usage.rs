//! What processes cost: processor time and memory, as Linux tells them below `/proc`.
//!
//! A process counts with its descendants, because some servers have a process per connection.
//! What cannot be read counts as nothing: on another system the figures are missing, not wrong.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The processes that take part in a measurement: this one and the servers it talks to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes {
    servers: Vec<u32>,
}

impl Processes {
    /// This process and a server with all it started.
    pub(crate) fn with_server(pid: u32) -> Self {
        Self { servers: vec![pid] }
    }

    /// The time all of them had a core, since they started. Threads that ended are not in it.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        Some(cpu_of(std::process::id())? + self.cpu_of_servers()?)
    }

    /// The time the servers had a core.
    pub(crate) fn cpu_of_servers(&self) -> Option<Duration> {
        family(&self.servers).into_iter().map(cpu_of).sum()
    }

    /// Forgets earlier peaks, so that [`Processes::peak_bytes`] tells of what follows.
    pub(crate) fn forget_peak(&self) {
        for pid in self.weighed() {
            // Writing 5 resets the high-water mark (proc_pid_clear_refs(5)). Without the right to
            // do so the peak is the one since the start, and still an upper bound.
            _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    /// The most memory that was resident: of the server, or of this process if there is none.
    ///
    /// Of a server with children it is what all of them have now, each shared page counted once:
    /// their peaks cannot be added up.
    pub(crate) fn peak_bytes(&self) -> Option<u64> {
        match self.weighed()[..] {
            [alone] => status_bytes(alone, "VmHWM:"),
            ref several => several.iter().map(|pid| proportional_bytes(*pid)).sum(),
        }
    }

    fn weighed(&self) -> Vec<u32> {
        if self.servers.is_empty() {
            vec![std::process::id()]
        } else {
            family(&self.servers)
        }
    }
}

/// The memory of one process that is resident now.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    status_bytes(pid, "VmRSS:")
}

/// Its own memory, and its share of what it has in common with others.
fn proportional_bytes(pid: u32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    bytes_in(&rollup, "Pss:")
}

fn status_bytes(pid: u32, key: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    bytes_in(&status, key)
}

/// A figure in a file of lines such as `VmHWM:  1234 kB`.
fn bytes_in(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The first number of `schedstat` is the nanoseconds a thread had a core: finer than the ticks
/// of `stat`, of which a short window has few.
fn cpu_of(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_nanos(nanoseconds))
    };
    // A thread may end between being listed and being read.
    Some(threads.flatten().filter_map(of_thread).sum())
}

/// Processes and all their descendants.
fn family(roots: &[u32]) -> Vec<u32> {
    if roots.is_empty() {
        return Vec::new();
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = pids
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, parent_in(&stat)?))
        })
        .collect();
    let belongs = |pid: &u32| {
        let line = std::iter::successors(Some(*pid), |pid| parents.get(pid).copied());
        line.take(parents.len()).any(|pid| roots.contains(&pid))
    };
    parents.keys().copied().filter(belongs).collect()
}

/// The parent in a line of `stat`. The name before it is in parentheses and may hold anything.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_parent_is_found_behind_any_name() {
        assert_eq!(parent_in("7 (sh) S 3 7 7 0"), Some(3));
        assert_eq!(parent_in("7 (a) b) S 42 7"), Some(42));
        assert_eq!(parent_in("7 sh S 42 7"), None);
    }

    #[test]
    fn a_child_of_a_child_is_family_and_weighs_something() {
        // The inner shell waits for its input, which ends with this test.
        let mut outer = Command::new("sh")
            .args(["-c", "sh -c 'read line; true'; true"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = outer.id();
        let server = Processes::with_server(pid);
        let begun = std::time::Instant::now();
        while family(&[pid]).len() < 2 && begun.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        assert_eq!(family(&[pid]).len(), 2);
        assert!(server.peak_bytes().unwrap() > 0);
        assert!(resident_bytes(pid).unwrap() > 0);
        drop(outer.stdin.take());
        outer.wait().unwrap();
    }

    #[test]
    fn a_figure_is_found_by_its_whole_name() {
        let text = "VmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\nPss:  12 kB\nPss_Anon: 7 kB\n";
        assert_eq!(bytes_in(text, "VmHWM:"), Some(2048 * 1024));
        assert_eq!(bytes_in(text, "Pss:"), Some(12 * 1024));
        assert_eq!(bytes_in(text, "VmSwap:"), None);
    }

    #[test]
    fn work_shows_in_the_time_used() {
        let own = Processes::default();
        let before = own.cpu().unwrap();
        let begun = std::time::Instant::now();
        while own.cpu().unwrap() == before && begun.elapsed() < Duration::from_secs(10) {
            std::hint::spin_loop();
        }
        assert!(own.cpu().unwrap() > before);
    }
}
