//! What an evaluation finds: violations with their subjects, and a sum for each rule.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Acceptance, Account, Activity, Found, TagRow, Why, WorkerLife};
use crate::quay::{OperationId, PolicyRowId, PolicyText, PolicyUuid, Scope, UnixMillis};
use crate::rules::{RemedyKind, RuleId, Severity};

/// A tag that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagSubject {
    /// The row as it was judged.
    pub row: TagRow,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
    /// Everything that was found about it, whether it excuses or not; empty where the rule takes
    /// no excuse, and nothing was looked for. No part of a plan's document: it is looked for again.
    #[serde(skip)]
    pub account: Account,
}

/// A policy that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// Its text, as stored.
    pub text: PolicyText,
    /// Whether it is active.
    pub activity: Activity,
    /// The unfinished operation that owns it.
    pub owner: Option<OwningOperation>,
    /// The policy that stays where it goes, for a rule that compares two.
    pub twin: Option<PolicyTwin>,
}

/// A policy that another one repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTwin {
    /// Its uuid.
    pub uuid: PolicyUuid,
    /// Whether it is active.
    pub activity: Activity,
    /// Whether it surely decides every tag as the other does.
    pub decides: Decides,
    /// The unfinished operation that owns it.
    pub owner: Option<OwningOperation>,
}

/// How two policies with one pattern decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decides {
    /// Every tag alike.
    Alike,
    /// One makes its pattern's matches immutable, the other everything else.
    Otherwise,
}

/// An unfinished operation that owns a policy.
pub type OwningOperation = (OperationId, WorkerLife);

/// An unfinished operation that is judged, or that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationSubject {
    /// Its id.
    pub id: OperationId,
    /// What it is, as the journal spells it.
    pub kind: &'static str,
    /// How far it is, as the journal spells it.
    pub phase: &'static str,
    /// Whether its worker lives.
    pub life: WorkerLife,
    /// Who works, or worked, on it.
    pub worker: String,
    /// Since when.
    pub started: DateTime<Utc>,
    /// The namespace's name; empty for a fix run, which is about no single scope.
    pub namespace: String,
    /// The repository's name, for an operation on a repository's policy.
    pub repository: Option<String>,
}

/// A row that a user's own query returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSubject {
    /// Its place in the answer, from 1.
    pub number: i32,
    /// The column `namespace`, or nothing.
    pub namespace: String,
    /// The column `repository`.
    pub repository: Option<String>,
    /// The column `name`, or the row itself.
    pub name: String,
}

/// The row that a violation is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tag.
    Tag(TagSubject),
    /// A policy.
    Policy(PolicySubject),
    /// An operation.
    Operation(OperationSubject),
    /// A row of a user's own query.
    Row(RowSubject),
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
    /// At least one subject is pending; none is violated or undecided.
    Settling,
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
    /// How many of these are less severe than the rule, and how severe they are.
    pub milder: Option<(Severity, u64)>,
    /// How many violate it, and were known before; they are not among the violations.
    pub known: u64,
    /// How many would, but for evidence.
    pub explained: u64,
    /// How many could not be decided.
    pub undecided: Undecided,
    /// How many could not be decided because of a policy of which that is accepted.
    pub accepted: u64,
    /// How many Quay, or an operation of ours, may be at work on.
    pub settling: u64,
    /// Who may be, on the first of them.
    pub settled_by: Option<String>,
    /// Why the rule itself could not be carried out.
    pub failed: Option<String>,
    /// Why it was skipped, where it was.
    pub skipped: Option<String>,
}

impl RuleOutcome {
    /// How the rule came out. "Not known" outweighs "violated": it must not be overlooked.
    pub fn status(&self) -> Status {
        if self.skipped.is_some() {
            Status::Skipped
        } else if self.undecided.subjects > 0 || self.failed.is_some() {
            Status::Undecided
        } else if self.violations > 0 {
            Status::Violated
        } else if self.settling > 0 {
            Status::Settling
        } else {
            Status::Held
        }
    }

    /// Why it is undecided, skipped or pending.
    pub fn reason(&self) -> Option<&str> {
        self.skipped
            .as_deref()
            .or(self.failed.as_deref())
            .or(self.undecided.reason.as_deref())
            .or(self.settled_by.as_deref())
    }

    /// How many violations are at least this severe.
    pub fn violations_from(&self, least: Severity) -> u64 {
        let (milder, count) = self.milder.unwrap_or((self.severity, 0));
        let full = if self.severity >= least {
            self.violations - count
        } else {
            0
        };
        full + if milder >= least { count } else { 0 }
    }

    /// An undecided subject: settling, accepted, or not known.
    pub(super) fn undecided(&mut self, why: &Why) {
        self.subjects += 1;
        match why {
            Why::Settling { .. } | Why::AtWork { .. } => {
                self.settling += 1;
                self.settled_by.get_or_insert_with(|| why.to_string());
            }
            Why::Pattern {
                acceptance: Acceptance::Accepted,
                ..
            } => self.accepted += 1,
            _ => {
                self.undecided.subjects += 1;
                self.undecided.reason.get_or_insert_with(|| why.to_string());
            }
        }
    }

    /// Adds the sums of another count by the same rule.
    pub(super) fn absorb(&mut self, more: Self) {
        self.subjects += more.subjects;
        self.violations += more.violations;
        if let Some((severity, count)) = more.milder {
            self.milder.get_or_insert((severity, 0)).1 += count;
        }
        self.known += more.known;
        self.explained += more.explained;
        self.undecided.subjects += more.undecided.subjects;
        if self.undecided.reason.is_none() {
            self.undecided.reason = more.undecided.reason;
        }
        self.accepted += more.accepted;
        self.settling += more.settling;
        self.settled_by = self.settled_by.take().or(more.settled_by);
    }

    /// One of the violations of this severity was known before.
    pub(super) fn was_known(&mut self, severity: Severity) {
        self.violations = self.violations.saturating_sub(1);
        if let Some((milder, count)) = &mut self.milder
            && *milder == severity
        {
            *count = count.saturating_sub(1);
        }
        self.known += 1;
    }

    /// A violation of this severity.
    pub(super) fn violated(&mut self, severity: Severity) {
        self.violations += 1;
        if severity != self.severity {
            self.milder.get_or_insert((severity, 0)).1 += 1;
        }
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
    pub fn order(&self) -> (&str, &str, i64) {
        let (namespace, repository) = self.place();
        let id = match self {
            Self::Tag(tag) => i64::from(tag.row.id.0),
            Self::Policy(policy) => i64::from(policy.id.0),
            Self::Operation(operation) => operation.id.0,
            Self::Row(row) => i64::from(row.number),
        };
        (namespace, repository, id)
    }

    /// Namespace and repository, each empty where there is none.
    pub fn place(&self) -> (&str, &str) {
        let (namespace, repository) = match self {
            Self::Tag(tag) => return (&tag.namespace, &tag.repository),
            Self::Policy(policy) => (&policy.namespace, &policy.repository),
            Self::Operation(operation) => (&operation.namespace, &operation.repository),
            Self::Row(row) => (&row.namespace, &row.repository),
        };
        (namespace, repository.as_deref().unwrap_or_default())
    }
}

impl PolicySubject {
    /// The twin that gives every protection that this policy gives: it decides alike, it is active
    /// unless neither is, and no operation owns either.
    pub fn stand_in(&self) -> Option<&PolicyTwin> {
        self.twin.as_ref().filter(|twin| {
            twin.decides == Decides::Alike
                && (twin.activity == Activity::Active || self.activity == Activity::Inactive)
                && twin.owner.is_none()
                && self.owner.is_none()
        })
    }
}

impl TagSubject {
    /// The operation that covers the tag and was interrupted, where there is one.
    pub fn interrupted(&self) -> Option<OperationId> {
        self.account.iter().find_map(Found::interrupted)
    }

    /// When the tag ends, if it does.
    pub fn ends(&self) -> Option<UnixMillis> {
        self.row.expiry.0
    }
}
