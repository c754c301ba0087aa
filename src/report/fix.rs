//! The outcomes of a plan, of its application and of an undo.

use super::{Exceptions, Settling};
use crate::correction::{Plan, PlanDigest};
use crate::evaluate::{RuleOutcome, Status};
use crate::quay::{OperationId, RunId};
use crate::rules::{RuleId, Severity};

/// A plan and the check that it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanReport {
    /// The plan.
    pub plan: Plan,
    /// How the rules came out; empty where the plan was read from a document.
    pub rules: Vec<RuleOutcome>,
    /// The rules that could not be decided, as far as they count.
    pub undecided_rules: Vec<RuleId>,
    /// Why something is pending that Quay or an operation may still be at work on, where that is not let pass.
    pub pending: Option<String>,
    /// The digest of the document that it was written to, or read from.
    pub digest: Option<PlanDigest>,
}

impl PlanReport {
    /// A plan, and the check that it was made from. As in a check, what is not known counts from a severity on.
    pub fn new(
        plan: Plan,
        rules: Vec<RuleOutcome>,
        (fail_on, settling): (Severity, Settling),
    ) -> Self {
        let counts = |rule: &&RuleOutcome| rule.severity >= fail_on;
        let undecided = |rule: &&RuleOutcome| rule.status() == Status::Undecided;
        let mut pending = rules.iter().filter(counts).filter(|rule| rule.settling > 0);
        let pending = pending.find_map(|rule| rule.settled_by.clone());
        Self {
            pending: pending.filter(|_| settling == Settling::NotKnown),
            undecided_rules: rules
                .iter()
                .filter(counts)
                .filter(undecided)
                .map(|r| r.id.clone())
                .collect(),
            plan,
            rules,
            digest: None,
        }
    }

    /// Why the plan may lack what it would ask for: a rule could not be decided, or something is pending.
    pub fn unknown(&self) -> Option<String> {
        if self.undecided_rules.is_empty() {
            return self.pending.clone();
        }
        let rules: Vec<&str> = self
            .undecided_rules
            .iter()
            .map(|id| id.0.as_str())
            .collect();
        Some(format!("some rules are undecided: {}", rules.join(", ")))
    }
}

/// How an operation ended that a run conducted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConductedEnd {
    /// As it was meant.
    Done,
    /// It was not begun: why.
    Skipped(String),
    /// As if it had never been: why.
    RolledBack(String),
    /// It is unfinished, or it is not known how it ended: why.
    Left(String),
}

/// An operation that a run conducted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conducted {
    /// The remedy.
    pub remedy: &'static str,
    /// What it was to do, in a sentence.
    pub sentence: String,
    /// The operation, where one began.
    pub operation: Option<OperationId>,
    /// How it ended.
    pub end: ConductedEnd,
    /// Tags that it changed.
    pub tags_changed: u64,
}

/// What a run did.
#[derive(Clone, Debug, PartialEq)]
pub struct ApplyReport {
    /// The run, for `fix undo`.
    pub run: RunId,
    /// Corrections carried out.
    pub applied: u64,
    /// Corrections whose precondition no longer held.
    pub skipped: u64,
    /// Those of them that somebody else holds, each with its holder; the first of them.
    pub held: Vec<String>,
    /// Expiry dates that were cleared.
    pub expirations_cleared: u64,
    /// Write transactions.
    pub batches: u64,
    /// The longest of them, in milliseconds.
    pub longest_batch_ms: u64,
    /// Tags that could not be changed as asked.
    pub exceptions: Exceptions,
    /// Subjects that wait for a decision.
    pub undecided: u64,
    /// Policies that an unfinished operation owns.
    pub left: u64,
    /// Why it is not known whether that is all: a rule could not be decided, or something is pending.
    pub unknown: Option<String>,
    /// The operations that it conducted.
    pub operations: Vec<Conducted>,
    /// Runs that belong to it: its operations brought more to light.
    pub further: Vec<RunId>,
    /// What is known to be left to do, or is not known, after its operations.
    pub more: Option<MoreToDo>,
    /// How long it took.
    pub seconds: f64,
}

/// What operations brought to light and was not corrected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoreToDo {
    /// So many corrections that the same command would make.
    Again {
        /// How many.
        corrections: u64,
    },
    /// It could not be looked at, or not be corrected to the end; why.
    Unknown(String),
}

impl ApplyReport {
    /// Whether an operation was conducted to its end: the rules then look at other policies.
    pub fn conducted(&self) -> bool {
        self.operations
            .iter()
            .any(|conducted| conducted.end == ConductedEnd::Done)
    }

    /// What waits and what is unknown, as a later plan sees it.
    pub fn stands_as(&mut self, later: &PlanReport) {
        self.undecided = later.plan.undecided();
        self.left = later.plan.left.len() as u64;
        self.unknown = later.unknown();
    }

    /// Adds a run that belongs to this one.
    pub fn add(&mut self, further: Self) {
        self.applied += further.applied;
        self.skipped += further.skipped;
        self.held.extend(further.held);
        self.expirations_cleared += further.expirations_cleared;
        self.batches += further.batches;
        self.longest_batch_ms = self.longest_batch_ms.max(further.longest_batch_ms);
        self.exceptions.append(further.exceptions);
        self.operations.extend(further.operations);
        self.further.push(further.run);
        self.seconds += further.seconds;
    }

    /// Whether an operation is unfinished, or was rolled back after a fault.
    pub fn cut_short(&self) -> bool {
        self.operations.iter().any(|conducted| {
            matches!(
                conducted.end,
                ConductedEnd::RolledBack(_) | ConductedEnd::Left(_)
            )
        })
    }
}

/// What an undo did.
#[derive(Clone, Debug, PartialEq)]
pub struct UndoReport {
    /// The run.
    pub run: RunId,
    /// Rows taken back.
    pub undone: u64,
    /// Rows that were not.
    pub refused: u64,
    /// The first of them: what, and why.
    pub refusals: Vec<(String, String)>,
    /// Tags that are not as before.
    pub exceptions: Exceptions,
    /// How long it took.
    pub seconds: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::Undecided;

    fn rule(severity: Severity, undecided: u64, settling: u64) -> RuleOutcome {
        RuleOutcome {
            id: RuleId("a-rule".to_owned()),
            severity,
            summary: String::new(),
            subjects: 1,
            violations: 0,
            milder: None,
            known: 0,
            explained: 0,
            undecided: Undecided {
                subjects: undecided,
                reason: None,
            },
            accepted: 0,
            settling,
            settled_by: Some("Quay".to_owned()),
            failed: None,
            skipped: None,
        }
    }

    #[test]
    fn what_is_not_known_counts_from_a_severity_on_as_in_a_check() {
        let (info, warning) = (Severity::Info, Severity::Warning);
        for (of, fail_on, undecided, settling, unknown) in [
            (info, warning, 1, 0, false),
            (info, warning, 0, 1, false),
            (info, info, 1, 0, true),
            (info, info, 0, 1, true),
            (warning, warning, 1, 0, true),
            (warning, warning, 0, 1, true),
            (warning, warning, 0, 0, false),
        ] {
            let rules = vec![rule(of, undecided, settling)];
            let counts = (fail_on, Settling::NotKnown);
            let report = PlanReport::new(Plan::default(), rules, counts);
            assert_eq!(report.unknown().is_some(), unknown, "{of:?} {fail_on:?}");
        }
    }
}
