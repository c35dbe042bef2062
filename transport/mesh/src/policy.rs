//! What the configuration says of a message on its way, and what that means for one call.

use std::{sync::Arc, time::Duration};

/// How calls of one message, or of all messages of a module, are treated. `P` names a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy<P> {
    /// The longest that callers wait, whatever they say. None: as long as they say.
    pub timeout: Option<Duration>,
    /// How often a call is sent again at most. Default 2: three attempts.
    pub retries: u8,
    /// After how long without an answer a second replica is asked as well. None: never.
    pub hedge_after: Option<Duration>,
    /// How calls are shared out among processes, by weight. Empty: all to the only one.
    pub split: Vec<(P, u32)>,
    /// Where calls go that carry a tag, whatever the weights.
    pub split_tag: Vec<(Arc<str>, P)>,
    /// Where copies go.
    pub mirror: Option<Mirror<P>>,
    /// Faults put in on purpose.
    pub injection: Injection,
}

/// Where copies of calls go, and of how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror<P> {
    /// The process.
    pub process: P,
    /// Of how many in a hundred.
    pub percent: u8,
}

/// Faults put in on purpose, to see what becomes of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injection {
    /// How long a call is held back.
    pub delay: Duration,
    /// How many calls in a hundred are held back.
    pub delay_percent: u8,
    /// How many calls in a hundred fail before they are sent.
    pub abort_percent: u8,
}

impl Injection {
    /// Whether there is nothing to put in.
    pub fn is_none(&self) -> bool {
        self.abort_percent == 0 && (self.delay_percent == 0 || self.delay.is_zero())
    }
}

/// What the policy means for one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision<'a, P> {
    /// Which process is asked; none where the policy does not say.
    pub process: Option<&'a P>,
    /// Where a copy goes.
    pub mirror: Option<&'a P>,
}

impl<P> Default for Policy<P> {
    fn default() -> Self {
        Self {
            timeout: None,
            retries: 2,
            hedge_after: None,
            split: Vec::new(),
            split_tag: Vec::new(),
            mirror: None,
            injection: Injection::default(),
        }
    }
}

impl<P> Policy<P> {
    /// Decides for one call that carries this tag.
    pub fn decide(&self, tag: Option<&str>, random: u64) -> Decision<'_, P> {
        let mirror = self.mirror.as_ref();
        let mirror = mirror.filter(|mirror| is_chosen(mirror.percent, random >> 32));
        Decision {
            process: self.tagged(tag).or_else(|| self.weighed(random)),
            mirror: mirror.map(|mirror| &mirror.process),
        }
    }

    fn tagged(&self, tag: Option<&str>) -> Option<&P> {
        let tag = tag?;
        let mut rules = self.split_tag.iter();
        rules
            .find(|(wanted, _)| **wanted == *tag)
            .map(|(_, process)| process)
    }

    fn weighed(&self, random: u64) -> Option<&P> {
        let total: u64 = self
            .split
            .iter()
            .map(|(_, weight)| u64::from(*weight))
            .sum();
        let mut rest = ((random & 0xffff_ffff) * total) >> 32;
        for (process, weight) in &self.split {
            match rest.checked_sub(u64::from(*weight)) {
                None => return Some(process),
                Some(beyond) => rest = beyond,
            }
        }
        None
    }
}

impl Injection {
    /// What happens to one call: for how long it is held back, and whether it fails then.
    pub fn decide(&self, random: u64) -> (Duration, bool) {
        let is_delayed = is_chosen(self.delay_percent, random);
        let delay = if is_delayed {
            self.delay
        } else {
            Duration::ZERO
        };
        (delay, is_chosen(self.abort_percent, random >> 32))
    }
}

/// Whether the lower 32 bits of a random number fall into a share of so many in a hundred.
fn is_chosen(percent: u8, random: u64) -> bool {
    ((random & 0xffff_ffff) * 100) >> 32 < u64::from(percent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split() -> Policy<&'static str> {
        Policy {
            split: vec![("old", 90), ("new", 10)],
            split_tag: vec![("next".into(), "new")],
            mirror: Some(Mirror {
                process: "new",
                percent: 25,
            }),
            ..Policy::default()
        }
    }

    /// How many of ten thousand calls are like this.
    fn of_10k(is: impl Fn(u64) -> bool) -> usize {
        let mut random = fastrand::Rng::with_seed(11);
        (0..10_000).filter(|_| is(random.u64(..))).count()
    }

    #[test]
    fn calls_are_shared_out_by_weight() {
        let policy = split();
        let new = of_10k(|random| policy.decide(None, random).process == Some(&"new"));
        assert!((900..1100).contains(&new), "{new}");
    }

    #[test]
    fn a_tag_goes_before_weights_and_an_unknown_one_does_not_count() {
        let policy = split();
        assert_eq!(
            of_10k(|random| policy.decide(Some("next"), random).process == Some(&"new")),
            10_000
        );
        let new = of_10k(|random| policy.decide(Some("other"), random).process == Some(&"new"));
        assert!((900..1100).contains(&new), "{new}");
    }

    #[test]
    fn a_share_is_mirrored() {
        let policy = split();
        let copied = of_10k(|random| policy.decide(None, random).mirror.is_some());
        assert!((2400..2600).contains(&copied), "{copied}");
    }

    #[test]
    fn faults_come_as_often_as_they_are_put_in() {
        let injection = Injection {
            delay: Duration::from_millis(100),
            delay_percent: 10,
            abort_percent: 1,
        };
        let delayed = of_10k(|random| !injection.decide(random).0.is_zero());
        let aborted = of_10k(|random| injection.decide(random).1);
        assert!((900..1100).contains(&delayed), "{delayed}");
        assert!((60..150).contains(&aborted), "{aborted}");
        assert!(Injection::default().is_none());
    }

    proptest! {
        #[test]
        fn what_has_no_weight_gets_nothing_and_what_has_all_gets_all(
            random: u64,
            weight in 1_u32..=1000,
        ) {
            let policy = Policy {
                split: vec![("none", 0), ("all", weight), ("nothing", 0)],
                ..Policy::default()
            };
            prop_assert_eq!(policy.decide(None, random).process, Some(&"all"));
        }

        #[test]
        fn none_and_all_of_a_hundred_are_meant_literally(random: u64) {
            prop_assert!(!is_chosen(0, random));
            prop_assert!(is_chosen(100, random));
        }

        #[test]
        fn a_policy_that_says_nothing_decides_nothing(random: u64) {
            let policy = Policy::<&str>::default();
            let decision = policy.decide(Some("tag"), random);
            prop_assert_eq!(decision, Decision { process: None, mirror: None });
        }
    }
}
