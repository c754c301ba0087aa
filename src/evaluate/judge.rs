//! One rule, one subject: condition, what must hold, and what follows from a fact that is unknown.

use std::fmt;

use crate::quay::OperationId;
use crate::rules::{Fact, Rule};

/// Whether a fact is true of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It cannot be told.
    Unknown(Why),
}

impl Truth {
    /// Whether it surely is.
    pub fn is_yes(&self) -> bool {
        *self == Self::Yes
    }
}

impl From<bool> for Truth {
    fn from(truth: bool) -> Self {
        if truth { Self::Yes } else { Self::No }
    }
}

/// Whether the operator has accepted that a policy cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// `--accept-undecided` names it.
    Accepted,
    /// It does not.
    NotAccepted,
}

/// Why a fact cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The pattern of this policy cannot be decided here.
    Pattern {
        /// The policy's uuid.
        policy: String,
        /// The reason.
        reason: String,
        /// Whether the operator has accepted that.
        acceptance: Acceptance,
    },
    /// This policy is younger than `--grace`: Quay may be in the middle of its pass.
    Settling {
        /// The policy's uuid.
        policy: String,
    },
    /// This operation of ours has not ended, and its worker may be at work.
    AtWork {
        /// Its id.
        operation: OperationId,
    },
    /// A feature flag of Quay's was not stated.
    Flag(&'static str),
    /// A table cannot be read.
    Unreadable(&'static str),
    /// Quay itself fails on this policy.
    Policy {
        /// The policy's uuid.
        policy: String,
        /// The reason.
        reason: String,
    },
    /// The repository is not in the snapshot's census.
    Repository,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern { policy, reason, .. } => {
                write!(
                    f,
                    "the pattern of policy {policy} cannot be decided: {reason}"
                )
            }
            Self::Policy { policy, reason } => {
                write!(f, "Quay fails on policy {policy}: {reason}")
            }
            Self::Settling { policy } => {
                write!(
                    f,
                    "policy {policy} is younger than --grace: Quay may still be applying it"
                )
            }
            Self::AtWork { operation } => {
                write!(
                    f,
                    "operation {operation} has not ended, and its worker may be at work"
                )
            }
            Self::Flag(flag) => write!(f, "it is not stated whether {flag} is on"),
            Self::Unreadable(table) => write!(f, "the role may not read {table}"),
            Self::Repository => f.write_str("the tag's repository does not exist"),
        }
    }
}

/// What a rule says of a row, before evidence is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The rule is not about this row.
    NotASubject,
    /// What must hold does.
    Sound,
    /// Nothing of what must hold does.
    Violated,
    /// It depends on a fact that cannot be told.
    Undecided(Why),
}

/// Judges one row by one rule. Facts are asked for in the order in which the rule names them, and
/// no further than needed: cheap ones stand first in the rule files.
pub fn judge(rule: &Rule, mut fact: impl FnMut(Fact) -> Truth) -> Verdict {
    let mut unknown = None;
    for condition in &rule.condition {
        match fact(*condition) {
            Truth::Yes => {}
            Truth::No => return Verdict::NotASubject,
            Truth::Unknown(why) => unknown = unknown.or(Some(why)),
        }
    }
    for required in &rule.must_hold {
        match fact(*required) {
            Truth::Yes => return Verdict::Sound,
            Truth::No => {}
            Truth::Unknown(why) => unknown = unknown.or(Some(why)),
        }
    }
    unknown.map_or(Verdict::Violated, Verdict::Undecided)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> Rule {
        Rule::parse(
            "x.toml",
            r#"
            id = "x"
            summary = ""
            reason = ""
            severity = "error"
            subject = "tag"
            condition = ["live", "mutable"]
            must-hold = ["immutable", "matched-by-active-policy"]
            message = ""
            "#,
        )
        .expect("a valid rule")
    }

    #[test]
    fn an_unknown_fact_makes_undecided_only_what_depends_on_it() {
        let unknown = || Truth::Unknown(Why::Repository);
        let verdict = |live: Truth, mutable: Truth, immutable: Truth, matched: Truth| {
            judge(&rule(), |fact| match fact {
                Fact::Live => live.clone(),
                Fact::Mutable => mutable.clone(),
                Fact::Immutable => immutable.clone(),
                _ => matched.clone(),
            })
        };
        let (yes, no) = (|| Truth::Yes, || Truth::No);
        assert_eq!(verdict(yes(), yes(), no(), no()), Verdict::Violated);
        assert_eq!(verdict(yes(), no(), no(), no()), Verdict::NotASubject);
        assert_eq!(verdict(unknown(), no(), no(), no()), Verdict::NotASubject);
        assert_eq!(verdict(unknown(), yes(), no(), yes()), Verdict::Sound);
        assert_eq!(verdict(yes(), yes(), unknown(), yes()), Verdict::Sound);
        let undecided = Verdict::Undecided(Why::Repository);
        assert_eq!(verdict(unknown(), yes(), no(), no()), undecided);
        assert_eq!(verdict(yes(), yes(), no(), unknown()), undecided);
    }
}
