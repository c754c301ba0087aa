//! What an evaluation finds: violations with their subjects, and a sum for each rule.

use serde::Serialize;

use super::{Account, TagRow, WorkerLife};
use crate::quay::{OperationId, PolicyRowId, PolicyUuid, Scope, UnixMillis};
use crate::rules::{RemedyKind, RuleId, Severity};

/// A tag that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSubject {
    /// The row as it was judged.
    pub row: TagRow,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
}

/// A policy that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySubject {
    /// Its row id.
    pub id: PolicyRowId,
    /// Its uuid.
    pub uuid: PolicyUuid,
    /// What it governs.
    pub scope: Scope,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name, for a repository's policy.
    pub repository: Option<String>,
    /// Its pattern, or its whole text where that cannot be read.
    pub pattern: String,
    /// The unfinished operation that owns it.
    pub owner: Option<OwningOperation>,
}

/// An unfinished operation that owns a policy.
pub type OwningOperation = (OperationId, WorkerLife);

/// The row that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tag.
    Tag(TagSubject),
    /// A policy.
    Policy(PolicySubject),
}

/// What must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: RuleId,
    /// Its severity.
    pub severity: Severity,
    /// The row.
    pub subject: Subject,
    /// What is wrong, in a sentence that begins with the subject.
    pub message: String,
    /// Evidence that explains it; such a violation counts only when that is asked for.
    pub evidence: Account,
    /// What can be done, the preferred first.
    pub remedies: Vec<RemedyKind>,
}

/// Subjects that a rule could not decide, and one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undecided {
    /// How many.
    pub subjects: u64,
    /// Why, for the first of them.
    pub reason: Option<String>,
}

/// How a rule came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every subject is sound or explained.
    Held,
    /// At least one subject violates it, and none is undecided.
    Violated,
    /// At least one subject could not be decided, whatever the others are.
    Undecided,
    /// It does not apply here.
    Skipped,
}

/// The sum of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOutcome {
    /// The rule.
    pub id: RuleId,
    /// Its severity.
    pub severity: Severity,
    /// What must hold.
    pub summary: String,
    /// How many rows it was about.
    pub subjects: u64,
    /// How many violate it.
    pub violations: u64,
    /// How many would, but for evidence.
    pub explained: u64,
    /// How many could not be decided.
    pub undecided: Undecided,
    /// Why it was skipped, where it was.
    pub skipped: Option<String>,
}

impl RuleOutcome {
    /// How the rule came out. "Not known" outweighs "violated": it must not be overlooked.
    pub fn status(&self) -> Status {
        if self.skipped.is_some() {
            Status::Skipped
        } else if self.undecided.subjects > 0 {
            Status::Undecided
        } else if self.violations > 0 {
            Status::Violated
        } else {
            Status::Held
        }
    }

    /// Why it is undecided or skipped.
    pub fn reason(&self) -> Option<&str> {
        self.skipped.as_deref().or(self.undecided.reason.as_deref())
    }
}

impl Violation {
    /// Whether it is about this policy.
    pub fn is_about(&self, uuid: &PolicyUuid) -> bool {
        matches!(&self.subject, Subject::Policy(policy) if policy.uuid == *uuid)
    }
}

impl Subject {
    /// What subjects are ordered by: namespace, repository, then the row.
    pub fn order(&self) -> (&str, &str, i32) {
        match self {
            Self::Tag(tag) => (&tag.namespace, &tag.repository, tag.row.id.0),
            Self::Policy(policy) => {
                let repository = policy.repository.as_deref().unwrap_or_default();
                (&policy.namespace, repository, policy.id.0)
            }
        }
    }
}

impl TagSubject {
    /// When the tag ends, if it does.
    pub fn ends(&self) -> Option<UnixMillis> {
        self.row.expiry.0
    }
}
