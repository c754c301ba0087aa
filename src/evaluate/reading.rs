//! What becomes of a stored policy when Quay evaluates it, as far as that can be told here.

use std::sync::Arc;

use super::{Acceptance, PolicyRow, Why};
use crate::pattern::{self, Compiled, Slowness, Undecidable};
use crate::quay::{Polarity, PolicyText, StoredPolicy, Unusable};

/// A policy's text, read.
#[derive(Clone, Debug)]
pub enum Reading {
    /// A pattern that was compiled, which does not say that it is valid.
    Pattern(StoredPolicy, Arc<Compiled>),
    /// Quay raises on it, so that pushes into the scope fail.
    Raises(Unusable),
    /// What Quay makes of the text is not told here.
    NotTold(String),
}

/// Why a reading does not decide a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoDecision {
    /// Quay fails on it.
    Raises(String),
    /// It cannot be decided here.
    Undecided(String),
}

impl NoDecision {
    pub(super) fn about(self, row: &PolicyRow, acceptance: Acceptance) -> Why {
        let policy = row.uuid.0.clone();
        match self {
            Self::Raises(reason) => Why::Policy { policy, reason },
            Self::Undecided(reason) => Why::Pattern {
                policy,
                reason,
                acceptance,
            },
        }
    }
}

impl Reading {
    /// Reads a text.
    pub(super) fn of(text: &PolicyText, mut compile: impl FnMut(&str) -> Arc<Compiled>) -> Self {
        match text.parse() {
            Ok(policy) => {
                let compiled = compile(&policy.pattern);
                Self::Pattern(policy, compiled)
            }
            Err(Unusable::PythonOnly) => Self::NotTold(Unusable::PythonOnly.to_string()),
            Err(unusable) => Self::Raises(unusable),
        }
    }

    /// Whether the policy makes a tag immutable.
    pub(super) fn decide(&self, tag: &str) -> Result<bool, NoDecision> {
        match self {
            Self::Raises(unusable) => Err(NoDecision::Raises(unusable.to_string())),
            Self::NotTold(why) => Err(NoDecision::Undecided(why.clone())),
            Self::Pattern(policy, compiled) => {
                let matches = match compiled.as_ref() {
                    Compiled::Valid(matcher) => matcher
                        .decide(tag)
                        .map_err(|why| NoDecision::Undecided(why.to_string()))?,
                    // To Quay a pattern that does not compile is one that matches nothing.
                    Compiled::Invalid(_) => false,
                    Compiled::Undecidable(why) => {
                        return Err(NoDecision::Undecided(why.to_string()));
                    }
                };
                Ok(policy.polarity.applies(matches))
            }
        }
    }

    /// Whether the policy, were it active, makes a tag immutable; or why that is not known.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn on(&self, tag: &str) -> Result<bool, String> {
        self.decide(tag).map_err(|why| match why {
            NoDecision::Raises(reason) | NoDecision::Undecided(reason) => reason,
        })
    }

    /// The pattern as stored, where the text has one.
    pub fn pattern(&self) -> Option<&str> {
        match self {
            Self::Pattern(policy, _) => Some(&policy.pattern),
            Self::Raises(_) | Self::NotTold(_) => None,
        }
    }

    /// What the policy does with its pattern's matches, where it has a pattern.
    pub fn polarity(&self) -> Option<Polarity> {
        match self {
            Self::Pattern(policy, _) => Some(policy.polarity),
            Self::Raises(_) | Self::NotTold(_) => None,
        }
    }

    /// Whether both surely decide every tag alike: the same pattern, the same polarity.
    pub(super) fn decides_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Pattern(one, _), Self::Pattern(two, _)) => one == two,
            _ => false,
        }
    }

    /// Why Quay cannot use the policy, where it surely cannot.
    pub(super) fn why_unusable(&self) -> Option<String> {
        match self {
            Self::Raises(unusable) => Some(unusable.to_string()),
            Self::NotTold(_) => None,
            Self::Pattern(_, compiled) => match compiled.as_ref() {
                Compiled::Valid(_) => None,
                Compiled::Invalid(why) => Some(format!("its pattern is invalid {why}")),
                Compiled::Undecidable(why @ Undecidable::EngineFault) => Some(why.to_string()),
                Compiled::Undecidable(_) => None,
            },
        }
    }

    /// Why the policy cannot be decided here, where that is so and Quay may decide it.
    pub(super) fn why_undecidable(&self) -> Option<String> {
        match self {
            Self::Raises(_) => None,
            Self::NotTold(why) => Some(why.clone()),
            Self::Pattern(_, compiled) => match compiled.as_ref() {
                Compiled::Undecidable(Undecidable::EngineFault) => None,
                Compiled::Undecidable(why) => Some(why.to_string()),
                Compiled::Valid(_) | Compiled::Invalid(_) => None,
            },
        }
    }
}

impl Reading {
    /// Whether Quay's engine can run into its time-out; none where it runs on nothing.
    pub(super) fn slowness(&self) -> Option<Slowness> {
        match self {
            Self::Raises(_) => None,
            Self::NotTold(_) => Some(Slowness::Unknown),
            Self::Pattern(policy, compiled) => Some(match compiled.as_ref() {
                Compiled::Valid(matcher) => matcher.slowness(),
                Compiled::Invalid(_) | Compiled::Undecidable(_) => {
                    pattern::slow_judgement(&policy.pattern)
                }
            }),
        }
    }

    /// Why Quay's engine can run into its time-out.
    pub(super) fn why_slow(&self) -> Option<String> {
        match self.slowness()? {
            Slowness::CanBeSlow(why) => Some(why.to_string()),
            Slowness::Fast | Slowness::Unknown => None,
        }
    }
}

impl Why {
    /// Whether the operator has accepted it.
    pub(super) fn is_accepted(&self) -> bool {
        matches!(
            self,
            Self::Pattern {
                acceptance: Acceptance::Accepted,
                ..
            }
        )
    }
}
