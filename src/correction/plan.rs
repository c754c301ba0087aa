//! The plan: what would be corrected, what needs a decision, what is left to others.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{Choices, Correction, ExpiryChange, TagTarget};
use crate::evaluate::{Features, PolicySubject, Stated, Subject, TagSubject, Violation};
use crate::quay::{OperationId, RepositoryId, TagId, UnixMillis};
use crate::rules::{Catalogue, Doer, RemedyKind, Rule, RuleId, Severity};

/// A correction with the rule that asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The rule.
    pub rule: RuleId,
    /// The correction.
    pub correction: Correction,
}

/// A question: violations of one rule in one repository (or one policy) that somebody decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenDecision {
    /// The rule.
    pub rule: RuleId,
    /// The namespace's name.
    pub namespace: String,
    /// The repository's name.
    pub repository: String,
    /// How many subjects wait for it.
    pub subjects: u64,
    /// What can be chosen.
    pub options: Vec<RemedyKind>,
    /// Those of them that `fix` carries out itself.
    pub doable: Vec<RemedyKind>,
    /// The names of the first few.
    pub examples: Vec<String>,
}

/// An unfinished operation, with the policy that it owns: `recover` finishes it or takes it back,
/// not `fix`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftAlone {
    /// The policy, where a rule complains of it.
    pub policy: Option<PolicySubject>,
    /// The operation.
    pub operation: OperationId,
}

/// How many names a question shows.
const EXAMPLES: usize = 3;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What would be done.
    pub corrections: Vec<Planned>,
    /// What somebody has to decide first.
    pub decisions: Vec<OpenDecision>,
    /// What is not ours to correct.
    pub left: Vec<LeftAlone>,
    /// Decisions by scope that decided nothing, a sentence each.
    pub idle_decisions: Vec<String>,
    /// How many violations there are beyond those that were kept; they are not in the plan.
    pub beyond: u64,
}

impl Plan {
    /// Makes a plan. Tags are ordered by repository and name, which is the order of the batches;
    /// policies come after tags.
    pub fn new(
        violations: Vec<Violation>,
        catalogue: &Catalogue,
        choices: &Choices,
        features: Features,
    ) -> Self {
        let mut plan = Self::default();
        let mut used = BTreeSet::new();
        let mut open: BTreeMap<(RuleId, String, String), OpenDecision> = BTreeMap::new();
        for violation in violations {
            // A violation's rule is of this catalogue; another has no remedy here.
            let known = catalogue.get(&violation.rule.0).ok();
            let chosen = known.and_then(|rule| choices.remedy_on(rule, &violation.subject));
            let remedy = chosen.map(|(remedy, by)| {
                used.extend(by);
                remedy
            });
            if remedy.is_none() && violation.severity == Severity::Info {
                // Worth knowing, and nobody has to decide anything about it.
                continue;
            }
            let doable = known.map_or_else(Vec::new, doable);
            let Violation {
                rule,
                subject,
                remedies,
                ..
            } = violation;
            match (subject, remedy) {
                (Subject::Policy(policy), _) if policy.owner.is_some() => {
                    if let Some((operation, _)) = policy.owner {
                        plan.leave(operation, Some(policy));
                    }
                }
                (Subject::Operation(operation), _) => plan.leave(operation.id, None),
                (subject, Some(remedy)) => {
                    if let Some(correction) = correction(subject, remedy, features) {
                        plan.corrections.push(Planned { rule, correction });
                    }
                }
                (subject, None) => ask(&mut open, rule, subject, (remedies, doable)),
            }
        }
        plan.order();
        plan.decisions = open.into_values().collect();
        plan.idle_decisions = choices.decisions().idle(&used);
        plan
    }

    /// Puts the corrections into the order of the batches: by repository and name, as four of the
    /// tag table's indexes are, which a batch then changes in one place.
    pub(super) fn order(&mut self) {
        self.corrections.sort_by(|a, b| place(a).cmp(&place(b)));
    }

    /// Leaves an operation to `recover`; it is named once, whichever rules complain of it.
    fn leave(&mut self, operation: OperationId, policy: Option<PolicySubject>) {
        match self
            .left
            .iter_mut()
            .find(|left| left.operation == operation)
        {
            Some(left) => left.policy = left.policy.take().or(policy),
            None => self.left.push(LeftAlone { policy, operation }),
        }
    }

    /// Whether there is nothing to do and nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.corrections.is_empty() && self.decisions.is_empty() && self.left.is_empty()
    }

    /// How many expiry dates would be cleared, and how many would be if it were known whether
    /// immutable tags may expire.
    pub fn expiries_at_stake(&self) -> (u64, u64) {
        let mut cleared = 0;
        let mut not_known = 0;
        for planned in &self.corrections {
            match planned.correction {
                Correction::Protect(_, ExpiryChange::Cleared(_)) => cleared += 1,
                Correction::Protect(_, ExpiryChange::NotKnown(_)) => not_known += 1,
                _ => {}
            }
        }
        (cleared, not_known)
    }

    /// How many subjects wait for a decision.
    pub fn undecided(&self) -> u64 {
        self.decisions
            .iter()
            .map(|decision| decision.subjects)
            .sum()
    }
}

fn correction(subject: Subject, remedy: RemedyKind, features: Features) -> Option<Correction> {
    match (subject, remedy) {
        (Subject::Tag(tag), RemedyKind::Release) => Some(Correction::Release(target(tag))),
        (Subject::Tag(tag), RemedyKind::Keep) => Some(Correction::Keep(target(tag))),
        (Subject::Tag(tag), RemedyKind::Protect) => {
            let change = expiry_change(tag.ends(), features);
            Some(Correction::Protect(target(tag), change))
        }
        (Subject::Policy(policy), RemedyKind::Delete) => Some(Correction::DeletePolicy(policy)),
        // Refused where the choice is read, or of no meaning for the subject.
        _ => None,
    }
}

fn target(subject: TagSubject) -> TagTarget {
    TagTarget { subject }
}

/// Where a correction stands: tags by repository and name, then the rest.
fn place(planned: &Planned) -> (bool, Option<(RepositoryId, &str, TagId)>) {
    let tag = planned.correction.tag();
    let place = tag.map(|tag| (tag.repository(), tag.subject.row.name.as_str(), tag.id()));
    (place.is_none(), place)
}

/// What making a tag immutable does to its expiry.
fn expiry_change(ends: Option<UnixMillis>, features: Features) -> ExpiryChange {
    match (ends, features.can_expire) {
        (None, _) | (_, Stated::On) => ExpiryChange::Untouched,
        (Some(end), Stated::Off) => ExpiryChange::Cleared(end),
        (Some(end), Stated::Unknown) => ExpiryChange::NotKnown(end),
    }
}

fn doable(rule: &Rule) -> Vec<RemedyKind> {
    let by_fix = rule.remedies.iter().filter(|remedy| remedy.by == Doer::Fix);
    by_fix.map(|remedy| remedy.name).collect()
}

fn ask(
    open: &mut BTreeMap<(RuleId, String, String), OpenDecision>,
    rule: RuleId,
    subject: Subject,
    (options, doable): (Vec<RemedyKind>, Vec<RemedyKind>),
) {
    let (namespace, repository) = subject.place();
    let (namespace, repository) = (namespace.to_owned(), repository.to_owned());
    let name = match subject {
        Subject::Tag(tag) => tag.row.name,
        Subject::Policy(policy) => policy.pattern,
        Subject::Operation(operation) => operation.id.to_string(),
        Subject::Row(row) => row.name,
    };
    let decision = open
        .entry((rule.clone(), namespace.clone(), repository.clone()))
        .or_insert_with(|| OpenDecision {
            rule,
            namespace,
            repository,
            subjects: 0,
            options,
            doable,
            examples: Vec::new(),
        });
    decision.subjects += 1;
    if decision.examples.len() < EXAMPLES {
        decision.examples.push(name);
    }
}
