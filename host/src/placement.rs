//! Which of a process's instances this one is, and what that means for it.

use modulith_kernel::Manifest;

/// One instance among those of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    /// Counted from 0. Those of a process with stores are below `replicas`; of another they are
    /// numbers that no other living instance has.
    pub(crate) replica: u16,
    /// How many instances there are.
    pub(crate) replicas: u16,
}

impl Placement {
    /// The one instance of its process.
    pub(crate) const ONLY: Self = Self {
        replica: 0,
        replicas: 1,
    };

    /// What the instance is called: in the run folder, in the log, in `status`.
    pub(crate) fn name(self, process: &str) -> String {
        match self {
            Self::ONLY => process.to_string(),
            Self { replica, .. } => format!("{process}.{replica}"),
        }
    }

    /// Whether a module of the process lives in this instance.
    ///
    /// One without a store lives in each. One with a store lives where its partition does: partition
    /// p in instance p modulo `replicas`, and so a module of one partition in the first.
    pub(crate) fn hosts(self, module: &Manifest) -> bool {
        !module.is_stateful() || self.replica == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_is_alone_has_the_name_of_its_process() {
        let of = |replica, replicas| Placement { replica, replicas }.name("shop");
        assert_eq!(of(0, 1), "shop");
        assert_eq!(of(0, 3), "shop.0");
        assert_eq!(of(2, 3), "shop.2");
        assert_eq!(of(1, 1), "shop.1", "it takes over from the first");
    }
}
